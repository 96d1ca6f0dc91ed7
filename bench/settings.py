"""The product's settings, with the simple views that a bench compares with."""

from aivideo.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
