"""Where strangers' addresses may lead us, and where never."""

import gzip
import http.server
import ipaddress
import random
import socket
from ipaddress import ip_address, ip_network

import pytest

from tests.support.fixtures import serve
from videos import safe_http
from videos.safe_http import AddressRefused

# Written down from the registries of IANA, not from the code: what is nobody's place on the internet.
PRIVATE = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/29 192.0.0.8/32
    192.0.0.170/31 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
    224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 168.63.129.16/32
    ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:2::/48
    2001:10::/28 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""
PRIVATE = [ip_network(block) for block in PRIVATE.split()]


def some_address(chance):
    """Half of them anywhere, half of them in or beside one of the blocks above."""
    if chance.random() < 0.5:
        version = chance.choice([4, 6])
        bits = chance.getrandbits(32 if version == 4 else 128)
    else:
        block = chance.choice(PRIVATE)
        version = block.version
        bits = int(block.network_address) + chance.choice(
            [-1, 0, 1, block.num_addresses - 1, block.num_addresses]
        )
        bits += chance.choice([0, chance.randrange(block.num_addresses)])
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return kind(bits % 2 ** (32 if version == 4 else 128))


def test_A13_a_hundred_thousand_addresses_against_an_independent_table():
    chance = random.Random(13)
    for _ in range(100_000):
        address = some_address(chance)
        plain = getattr(address, "ipv4_mapped", None) or address
        if any(plain in block for block in PRIVATE if block.version == plain.version):
            assert not safe_http.is_public(address), address


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001::1"]
)
def test_the_internet_is_open(address):
    assert safe_http.is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "//example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:text/html,x",
        "https://user@example.com/",
        "https://example.com:8443/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://127.0.0.1/",
        "https://１２７.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://0.0.0.0/",
        "https://100.100.100.200/",
    ],
)
def test_A15_such_an_address_is_refused_at_sight(url):
    with pytest.raises(AddressRefused):
        safe_http.check_url(url)


@pytest.fixture
def server():
    """A server of our own network, and how many requests it got."""

    class Handler(http.server.BaseHTTPRequestHandler):
        requests: list[tuple[str, dict[str, str]]] = []
        answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

        def do_GET(self):
            self.requests.append((self.path, dict(self.headers)))
            status, headers, body = self.answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    Handler.requests, Handler.answers = [], {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serve(server)
    server.port = server.server_port
    server.handler = Handler
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def opened(settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1.nip.example", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"]
)
def test_A14_a_name_that_leads_home_is_connected_to_nowhere(server, monkeypatch, host):
    real = socket.getaddrinfo

    def lie(name, *rest, **also):
        # The first answer is a public address, as a check would get it, and all later ones are ours.
        return real("127.0.0.1" if "nip" in str(name) else name, *rest, **also)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    monkeypatch.setattr(safe_http, "PORT", server.port)
    with pytest.raises(AddressRefused):
        safe_http.fetch(f"https://{host}:{server.port}/", 100)
    assert server.handler.requests == []


def test_a_picture_is_fetched_where_the_operator_allows_it(server, opened):
    server.handler.answers["/kite.png"] = (200, {}, b"picture")
    assert safe_http.fetch(f"http://127.0.0.1:{server.port}/kite.png", 100) == b"picture"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_A15_redirects_are_not_followed(server, opened, status):
    server.handler.answers["/"] = (status, {"Location": "/secret"}, b"")
    server.handler.answers["/secret"] = (200, {}, b"secret")
    with pytest.raises(AddressRefused):
        safe_http.fetch(f"http://127.0.0.1:{server.port}/", 100)
    assert [path for path, _headers in server.handler.requests] == ["/"]


def test_A16_no_proxy_no_cookie_and_no_password_goes_along(server, opened, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.handler.answers["/"] = (200, {"Set-Cookie": "a=b"}, b"x")
    for _ in range(2):
        assert safe_http.fetch(f"http://127.0.0.1:{server.port}/", 100) == b"x"
    for _path, headers in server.handler.requests:
        assert not {"Cookie", "Authorization", "Referer"} & set(headers)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"x" * 101),
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 50)),
        (404, {}, b""),
        (500, {}, b""),
        (200, {"Content-Length": "50"}, b"short"),
    ],
)
def test_A17_A18_whatever_is_wrong_the_sentence_is_the_same(server, opened, answer):
    server.handler.answers["/"] = answer
    sentences = set()
    for url in (f"http://127.0.0.1:{server.port}/", "http://127.0.0.1:9/"):
        with pytest.raises(AddressRefused) as refusal:
            safe_http.fetch(url, 100)
        sentences.add(str(refusal.value))
    assert len(sentences) == 1


def test_A17_a_server_that_drips_is_left_in_time(opened, monkeypatch):
    monkeypatch.setattr(safe_http, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(AddressRefused):
        safe_http.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/", 100)
