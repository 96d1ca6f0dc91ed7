"""A proxy that loses replies: the site has done what was asked, but the client never gets the whole answer."""

import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from tests.support.fixtures import serve

OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class LossyProxy:
    """Passes requests on to the site at `upstream`, and loses one reply in `one_in`, at random.

    A lost reply ends with its connection: before its first byte, within its head or its body, or before its last byte.
    `replies` counts all of them, `lost` the lost ones.
    """

    def __init__(self, upstream: str, seed: int, one_in: int = 5) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.random = random.Random(seed)
        self.one_in = one_in
        self.lock = threading.Lock()
        self.replies = self.lost = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                # A client may leave, or be left, at any time.
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_POST(self) -> None:
                try:
                    reply = proxy.reply(self.command, self.path, dict(self.headers), _body(self))
                except (OSError, http.client.HTTPException):  # the site is being restarted
                    self.close_connection = True
                    return
                with proxy.lock:
                    is_lost = proxy.random.randrange(proxy.one_in) == 0
                    sent = proxy.random.choice([0, 20, len(reply) // 2, len(reply) - 1])
                    proxy.replies += 1
                    proxy.lost += is_lost
                self.wfile.write(reply[:sent] if is_lost else reply)
                self.close_connection |= is_lost

            do_GET = do_DELETE = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        serve(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """The site's whole reply, as it goes over the wire."""
        kept = {name: value for name, value in headers.items() if name.lower() not in OF_ONE_CONNECTION}
        connection = http.client.HTTPConnection(self.upstream)
        try:
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [
            f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in OF_ONE_CONNECTION
        ]
        lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
