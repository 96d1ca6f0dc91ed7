"""A proxy that loses replies: the site has done what was asked, but the client never gets the whole answer."""

import http.client
import os
import random
import threading
from urllib.parse import urlsplit

from tests.support.http_server import Handler, LocalServer

# How many videos a client orders through it, and which replies are lost then.
ORDERS = int(os.environ.get("ORDERS", 10))
SEED = 7

OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class LossyProxy(LocalServer):
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

        class ProxyHandler(Handler):
            def handle_one_request(self) -> None:
                # A client may leave, or be left, at any time.
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_POST(self) -> None:
                try:
                    reply = proxy.reply(self.command, self.path, dict(self.headers), self.body())
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

            def body(self) -> bytes:
                """Also one that comes in chunks."""
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return super().body()
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

        super().__init__(ProxyHandler)

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
