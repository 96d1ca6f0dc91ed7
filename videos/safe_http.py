"""HTTP requests to untrusted URLs: linked pictures, webhooks and the files of providers. Protects against SSRF.

Such a URL may lead into our own network. So the IP address of every connection is checked at the moment
it is opened, and only https on port 443 is allowed, without credentials, redirects or proxies. Operators
allow networks of their own by PRIVATE_NETWORKS_ALLOWED, where http and other ports are allowed, too.
"""

import asyncio
import ipaddress
import logging
import socket
from typing import Any

import aiohttp
from aiohttp import AddrInfoType
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from yarl import URL

log = logging.getLogger(__name__)

SECONDS = 15  # timeout of a whole request, unless told otherwise
PORT = 443

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Blocked in addition to what Python calls not global, which differs between its releases: cloud metadata
# services (Azure's address is public), protocol assignments, and IPv6 addresses that embed an IPv4 address,
# which a gateway on our side may unwrap.
NEVER = [
    ipaddress.ip_network(block)
    for block in (
        "168.63.129.16/32",
        "192.0.0.0/24",  # RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64, RFC 8215
        "2001::/23",  # Teredo and others, RFC 2928
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # SRv6 segments, RFC 9602
        "::/96",  # IPv4-compatible, RFC 4291
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "fec0::/10",  # site-local, RFC 3879
    )
]


# The same sentence for every error, so that it reveals nothing about our network.
NO_PICTURE = gettext_lazy("No picture of at most 10 MB could be downloaded from this URL.")


class AddressRefused(ValueError):
    """A URL that is not allowed or did not deliver. The text is a sentence for the user."""


def is_public(address: Address) -> bool:
    """Whether this address is on the public internet, as far as one can tell."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in block for block in NEVER if block.version == address.version)


def is_allowed(address: Address) -> bool:
    """Whether this address is public or in PRIVATE_NETWORKS_ALLOWED."""
    return is_public(address) or _is_opened(address)


def check_url(url: str) -> None:
    """Raise AddressRefused for a URL that is not allowed, as far as that shows without DNS."""
    parts, host = _parts_of(url)
    literal = _literal(host)
    if literal is not None and not is_allowed(literal):
        raise AddressRefused(_("Private addresses are not allowed."))
    if literal is not None and _is_opened(literal):
        return
    if parts.scheme != "https":
        raise AddressRefused(_("Only https URLs are allowed."))
    if parts.port != PORT:
        raise AddressRefused(_("Only the default https port is allowed."))


def check_server(url: str) -> None:
    """Raise AddressRefused for a server that must not get a provider key, or from which no file is fetched. Resolves the host name."""
    parts, host = _parts_of(url)
    addresses = _addresses_of(host)
    if not all(map(is_allowed, addresses)):
        raise AddressRefused(
            _("%(host)s is in a private network. Add it to PRIVATE_NETWORKS_ALLOWED to allow it.")
            % {"host": host}
        )
    # Any port is allowed, because staff, not users, enter this URL.
    if parts.scheme != "https" and not all(map(_is_opened, addresses)):
        raise AddressRefused(_("Only https URLs are allowed."))


def fetch(url: str, max_bytes: int, seconds: float = SECONDS) -> bytes:
    """Up to `max_bytes` bytes from this URL. Raises AddressRefused, with the same sentence whatever went wrong.

    Takes no longer than `seconds`, even if DNS hangs (asyncio.run would wait for the resolver's thread).
    """
    check_url(url)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(_fetch(url, max_bytes), max(seconds, 0)))
    except TimeoutError:
        log.info("No picture from %s: timeout", URL(url).host)
        raise AddressRefused(NO_PICTURE) from None
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def session(timeout: aiohttp.ClientTimeout | None = None) -> aiohttp.ClientSession:
    """A client that connects to allowed addresses only. aiohttp follows redirects: pass allow_redirects=False."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=_socket_to, use_dns_cache=False, force_close=True),
        timeout=timeout or aiohttp.ClientTimeout(total=SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "aivideo"},
    )


async def _fetch(url: str, max_bytes: int) -> bytes:
    try:
        async with session() as client, client.get(url, allow_redirects=False) as response:
            if response.status == 200 and response.headers.get("Content-Encoding", "identity") == "identity":
                data = bytearray()
                async for piece in response.content.iter_chunked(64 * 1024):
                    data += piece
                    if len(data) > max_bytes:
                        break
                else:
                    return bytes(data)
            log.info("No picture from %s: status %s", URL(url).host, response.status)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        log.info("No picture from %s: %r", URL(url).host, error)
    raise AddressRefused(NO_PICTURE)


def _socket_to(target: AddrInfoType) -> socket.socket:
    """The final check, on the resolved IP address that is connected to, however the host was written or resolved."""
    family, kind, proto, _name, address = target
    if not is_allowed(ipaddress.ip_address(str(address[0]).partition("%")[0])):
        raise OSError(f"{address[0]} is not allowed")
    return socket.socket(family, kind, proto)


def _parts_of(url: str) -> tuple[URL, str]:
    """The parsed URL and its host. Raises AddressRefused if it is not a web address or contains credentials."""
    try:
        parts = URL(url)  # the same parser as the client's
        host, _port = parts.host, parts.port
    except ValueError:
        raise AddressRefused(_("This is not a valid URL.")) from None
    if not host or parts.scheme not in ("http", "https") or not url.isprintable() or " " in url:
        raise AddressRefused(_("This is not a valid URL."))
    if parts.user is not None or parts.password is not None:
        raise AddressRefused(_("A URL with a user name is not allowed."))
    return parts, host


def _addresses_of(host: str) -> list[Address]:
    """Every IP address that this host name (or unusual spelling of an address) resolves to now."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(_("%(host)s cannot be found. Check the name.") % {"host": host}) from None
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_rest, address in found]


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_opened(address: Any) -> bool:
    return any(address in network for network in settings.PRIVATE_NETWORKS_ALLOWED)
