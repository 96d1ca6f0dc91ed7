"""Limits of what a person may do in an hour, counted by all processes together."""

import time

from django.core.cache import cache

HOUR = 3600  # seconds


def count(name: str, most: int) -> int:
    """Count one more in this hour. The seconds until the next hour if that is more than `most`, else 0."""
    hour, passed = divmod(int(time.time()), HOUR)
    name = f"{name}:{hour}"
    try:
        counted = cache.incr(name)
    except ValueError:  # the first in this hour; two concurrent ones count as one
        counted = 1
        cache.set(name, counted, HOUR)
    return HOUR - passed if counted > most else 0
