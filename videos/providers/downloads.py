"""Downloads of finished files from plain URLs, without the account's key."""

import ssl
from collections.abc import AsyncIterator, Mapping
from functools import cache

import httpx2

from videos.providers.base import NoFile, Unavailable

PIECE = 32 * 1024  # bytes; small enough to notice soon that a server trickles
# Seconds. `read` is the longest wait for the response or between two pieces of the body.
TIMEOUT = httpx2.Timeout(connect=5, write=30, read=30, pool=10)


@cache
def tls() -> ssl.SSLContext:
    """The shared TLS context. Loading its certificates takes 25 ms of CPU, as much as a hundred polls."""
    return httpx2.create_ssl_context()


async def stream(url: str) -> AsyncIterator[bytes]:
    """The file at `url`, in pieces. Raises NoFile, or Unavailable, also for a truncated body."""
    try:
        # A separate client, so that the account's key is not sent to a storage host.
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


def expect_a_file(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind == "application/json":
        raise NoFile(f"content is {kind}")
