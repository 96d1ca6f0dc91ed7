"""Downloads of finished files from URLs that a provider names, without the account's key.

Such a URL may lead into our own network, like those of customers: see videos/safe_http.py. Only the channel's own server,
whose address staff chose, may be anywhere.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import cache

import aiohttp
import httpx2
from yarl import URL

from videos import safe_http
from videos.providers import redirects
from videos.providers.base import NoFile, Unavailable

REDIRECTS = 3
PIECE = 32 * 1024  # bytes; small enough to notice soon that a server trickles
# Seconds. `read` is the longest wait for the response or between two pieces of the body.
TIMEOUT = httpx2.Timeout(connect=5, write=30, read=30, pool=10)


@cache
def tls() -> ssl.SSLContext:
    """The shared TLS context. Loading its certificates takes 25 ms of CPU, as much as a hundred polls."""
    return httpx2.create_ssl_context()


async def stream(url: str, server: str) -> AsyncIterator[bytes]:
    """The file at `url`, in pieces. `server` is the base URL of the channel that named it.

    Raises NoFile, or Unavailable, also for a truncated body and for an address that is not allowed: the file is not lost then,
    staff may still allow its network.
    """
    try:
        at = redirects.target(URL(server), url)
        for _ in range(1 + REDIRECTS):
            async with (
                await _client(at, URL(server)) as client,
                client.get(at, allow_redirects=False) as response,
            ):
                if response.status in (301, 302, 303, 307, 308):
                    at = redirects.target(at, response.headers.get("Location", ""))
                    continue
                if response.status >= 500 or response.status in (408, 429):
                    raise Unavailable(f"url: HTTP {response.status}")
                if response.status != 200:
                    raise NoFile(f"url: HTTP {response.status}")
                expect_a_file(response.headers)
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise Unavailable("url: compressed, although nobody asked for that")
                async for piece in response.content.iter_chunked(PIECE):
                    yield piece
                return
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"url: {error!r}") from error
    raise Unavailable(f"url: more than {REDIRECTS} redirects")


async def _client(url: URL, server: URL) -> aiohttp.ClientSession:
    """A client for one request to this URL. Raises AddressRefused."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT.connect, sock_read=TIMEOUT.read)
    if redirects.is_same_server(url, server):
        return aiohttp.ClientSession(timeout=timeout, headers={"Accept-Encoding": "identity"})
    # Resolves the name, which may take a while. The client checks the address to which it connects once more.
    await asyncio.to_thread(safe_http.check_server, str(url))
    return safe_http.session(timeout)


def expect_a_file(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind == "application/json":
        raise NoFile(f"content is {kind}")
