"""A finished file that lies somewhere under a URL: no account, no key."""

import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx2

from videos.providers.base import NoFile, Unavailable

PIECE = 256 * 1024  # bytes
# Seconds. Reading covers the silence before an answer and between two pieces of a file.
TIMEOUT = httpx2.Timeout(connect=5, write=30, read=30, pool=10)


@cache
def tls() -> ssl.SSLContext:
    """What all connections trust. Reading it takes 25 ms of CPU, as much as a poll a hundred times."""
    return httpx2.create_ssl_context()


async def stream(url: str) -> AsyncIterator[bytes]:
    """The bytes behind `url`, in pieces. Raises Unavailable, also for a short body, or NoFile."""
    try:
        # A client of its own: the account's key is nothing for a storage host.
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT, verify=tls()) as client,
            client.stream("GET", url, follow_redirects=True) as response,
        ):
            if response.status_code >= 500 or response.status_code in (408, 429):
                raise Unavailable(f"url: HTTP {response.status_code}")
            if response.status_code != 200:
                raise NoFile(f"url: HTTP {response.status_code}")
            expect_a_file(response.headers)
            async for piece in response.aiter_bytes(PIECE):
                yield piece
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(f"url: {error!r}") from error


def expect_a_file(headers: Any) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind == "application/json":
        raise NoFile(f"content is {kind}")
