"""Rate limits by key, or by IP address for requests without a valid one: a token bucket in the cache.

The bucket is stored as one number, the time at which it will be full again. Each request moves it
forward by the refill time of one token. `incr` is atomic in every cache, so concurrent requests do not
share a token. All web processes share the cache.
"""

import time

from django.core.cache import cache
from django.http import HttpRequest

from videos.api.errors import ApiError

KEPT = 3600  # seconds; after such a pause the bucket is full anyway


def take(request: HttpRequest, what: str, a_minute: int) -> None:
    """Take one token from a bucket that holds `a_minute` tokens and refills in a minute; 0: no limit.

    Sets the RateLimit-* headers of the response. Raises ApiError 429 when the bucket is empty.
    """
    if not a_minute:
        return
    now, one = int(time.time() * 1000), 60_000 // a_minute  # milliseconds
    full_at = _moved(f"bucket:{what}", now, one)
    left = a_minute - -(-(full_at - now) // one)
    if left < 0:
        _moved(f"bucket:{what}", now, -one)  # a rejected request takes no token
    request.rate_limit = {  # type: ignore[attr-defined]
        "RateLimit-Limit": str(a_minute),
        "RateLimit-Remaining": str(max(0, left)),
        "RateLimit-Reset": str((full_at - now) // 1000 + 1),
    }
    if left < 0:
        raise ApiError(
            429,
            f"Rate limit exceeded: {a_minute} requests per minute. Try again shortly.",
            code="rate_limit_exceeded",
            after=-left * one / 1000,
        )


def _moved(name: str, now: int, by: int) -> int:
    try:
        full_at = cache.incr(name, by)
    except ValueError:  # a full bucket is not stored
        full_at = 0
    if full_at < now + by:
        # It was full. Two concurrent requests may take one token together here, which does no harm.
        full_at = now + by
        cache.set(name, full_at, KEPT)
    return full_at
