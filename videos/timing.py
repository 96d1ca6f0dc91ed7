"""Poll intervals, backoff, leases and clocks. All times are in seconds."""

import random
import time
from datetime import datetime

from django.db import connection
from django.utils import timezone

from videos.models import Video

FIRST_POLL, LAST_POLL, SOON = 2.0, 15.0, 6.0
LONGEST_WAIT = 60.0
# How long a lease on a video or a dispatcher slot lasts, and how often dispatchers renew them.
LEASE, RENEW = 5.0, 1.25
# How long a dispatcher holds a running job that it polls again and again, without writing to its row in between. If the
# dispatcher's own lease ends, what it held is due at once (`leases.free_orphans`).
HOLD = 120.0


def next_poll(video: Video, now: datetime) -> float:
    """Seconds until the next poll of a running job.

    About a minute if the channel sends webhooks. Otherwise a tenth of the job's age or, if it reports progress, a third
    of the estimated time left; toward the end, right after it should be done.
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


def is_held_beyond(video: Video, delay: float) -> bool:
    """Whether this process holds a running job until well after its next poll, which is `delay` seconds away, if it is on time.

    If the last one was late, the next one will be.
    """
    return video.held_by != "" and video.held_until > clock() + delay + video.poll_delay + LEASE


def backoff(video: Video, retry_after: float | None = None) -> float:
    """Seconds to wait after another failed attempt: 1, 2, 4 … LONGEST_WAIT, minus a jitter of up to a half.

    `retry_after` is what the provider asked for, if anything; it is used within reasonable bounds.
    """
    if retry_after is not None:
        return min(max(retry_after, 1.0), 2 * LONGEST_WAIT)
    return min(2.0**video.attempts, LONGEST_WAIT) * random.uniform(0.5, 1)


def clock() -> float:
    """Seconds on a monotonic clock that, if there is one, also runs while the machine is suspended."""
    # CLOCK_BOOTTIME exists on Linux only; on macOS CLOCK_MONOTONIC includes sleep as well.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def database_now() -> datetime:
    """The database's clock, which all workers share."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
