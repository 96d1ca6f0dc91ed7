"""The product's settings, plus the simple views that benchmarks compare with."""

from aivideo.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
