"""When to ask a provider again, and how long a video will still take. All times are seconds."""

import random
import time
from datetime import datetime

from django.db import connection
from django.utils import timezone

from videos.models import Video

FIRST_POLL, LAST_POLL, SOON = 2.0, 15.0, 6.0
LONGEST_WAIT = 60.0
# How long a video is its pump's before it comes due by itself, and how often a pump renews what it holds.
LEASE, RENEW = 5.0, 1.25


def next_poll(video: Video, now: datetime) -> float:
    """Seconds until the next question about a running job.

    Once a minute where webhooks come. Otherwise a tenth of the job's age; where it tells its progress,
    a third of the time that it will still take by that, and in the end just after it should be done.
    """
    if video.channel.sends_webhooks:
        return LONGEST_WAIT * random.uniform(0.95, 1.05)
    age = (now - (video.accepted_at or now)).total_seconds()
    if video.progress >= 5:
        left = age * (100 - video.progress) / video.progress
        delay = max(left + 0.2, 0.5) if left < SOON else max(left / 3, FIRST_POLL)
    else:
        delay = max(0.1 * age, FIRST_POLL)
    return min(delay, LAST_POLL) * random.uniform(1, 1.05)


def backoff(video: Video, wish: float | None = None) -> float:
    """How long to wait after another try that came to nothing: 1, 2, 4 … LONGEST_WAIT, and up to half less.

    `wish` is what the provider asked for, and is granted within reason.
    """
    if wish is not None:
        return min(max(wish, 1.0), 2 * LONGEST_WAIT)
    return min(2.0**video.attempts, LONGEST_WAIT) * random.uniform(0.5, 1)


def clock() -> float:
    """Seconds on a clock that nobody sets and that, where there is one, also runs while the machine sleeps."""
    # Of Linux; elsewhere CLOCK_MONOTONIC is the nearest, on macOS it runs through sleep as well.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def database_now() -> datetime:
    """The clock that all pumps share."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
