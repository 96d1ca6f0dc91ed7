"""The server of a channel may redirect its requests to itself only. Elsewhere could be our own network.

Staff chose the server and its address was checked. Where it sends us is its own choice: a file may lie elsewhere, and
is fetched by `downloads`, which checks that address as well.
"""

from types import SimpleNamespace

import aiohttp
import httpx2
from yarl import URL


class Elsewhere(aiohttp.ClientError):
    """A redirect to another server, to `url`."""

    def __init__(self, url: URL) -> None:
        super().__init__(f"redirected to {url.origin()}")
        self.url = url


def session(headers: dict[str, str], timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """A client that raises Elsewhere in place of following a redirect to another server."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_stay)
    return aiohttp.ClientSession(headers=headers, timeout=timeout, trace_configs=[trace])


async def hook(response: httpx2.Response) -> None:
    """A hook for responses of the SDK's client, which does the same. The SDK knows errors of httpx2 only."""
    if response.has_redirect_location:
        try:
            _check(URL(str(response.request.url)), response.headers["location"])
        except aiohttp.ClientError as error:
            raise httpx2.RequestError(str(error)) from error


async def _stay(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    headers = redirect.response.headers
    _check(redirect.url, headers.get("Location") or headers.get("URI") or "")


def target(url: URL, location: str) -> URL:
    """Where a redirect from `url` leads. Raises aiohttp.InvalidURL."""
    # What is quoted already stays as it is: it may be signed.
    is_quoted = location.isascii() and location.isprintable() and " " not in location
    try:
        to = url.join(URL(location, encoded=is_quoted))
        if to.host and to.scheme in ("http", "https"):
            return to
    except ValueError:
        pass
    raise aiohttp.InvalidURL(location[:200])


def is_same_server(one: URL, other: URL) -> bool:
    return _server(one) == _server(other)


def _server(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, (url.host or "").lower(), url.port


def _check(url: URL, location: str) -> None:
    to = target(url, location)
    if not is_same_server(to, url):
        raise Elsewhere(to)
