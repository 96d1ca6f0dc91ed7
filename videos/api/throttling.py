"""How many requests a key, or an address without one, may send: a token bucket in the cache.

The bucket is one number, the time at which it will be full again, and every request moves that
forward by what one token takes to come back. `incr` is atomic in every cache, so requests at the same
time do not share a token. The cache is Redis where there is one, else each web process has its own.
"""

import time

from django.core.cache import cache
from django.http import HttpRequest

from videos.api.errors import ApiError

KEPT = 3600  # seconds; who pauses that long has a full bucket anyway


def take(request: HttpRequest, what: str, a_minute: int) -> None:
    """Take one token of a bucket that holds `a_minute` and gets as many back in a minute; 0: no limit.

    Notes the RateLimit-* headers of the answer. Raises ApiError 429 when the bucket is empty.
    """
    if not a_minute:
        return
    now, one = int(time.time() * 1000), 60_000 // a_minute  # milliseconds
    full_at = _moved(f"bucket:{what}", now, one)
    left = a_minute - -(-(full_at - now) // one)
    if left < 0:
        _moved(f"bucket:{what}", now, -one)  # who is refused takes nothing
    request.rate_limit = {  # type: ignore[attr-defined]
        "RateLimit-Limit": str(a_minute),
        "RateLimit-Remaining": str(max(0, left)),
        "RateLimit-Reset": str((full_at - now) // 1000 + 1),
    }
    if left < 0:
        raise ApiError(
            429,
            f"You sent more than {a_minute} requests in a minute. Wait a moment.",
            code="rate_limit_exceeded",
            after=-left * one / 1000,
        )


def _moved(name: str, now: int, by: int) -> int:
    try:
        full_at = cache.incr(name, by)
    except ValueError:  # nothing is known of a bucket that is full
        full_at = 0
    if full_at < now + by:
        # It was full. Two who find that at once take one token together; that is all they gain.
        full_at = now + by
        cache.set(name, full_at, KEPT)
    return full_at
