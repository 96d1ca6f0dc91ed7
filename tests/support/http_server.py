"""HTTP servers in threads of the test: what all of them need."""

from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.support.fixtures import serve


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open and logs nothing."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """The body of the request, which has a Content-Length."""
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def reply(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Send a response; in the names of headers, _ stands for -."""
        self.send_response(status)
        headers.setdefault("Content_Type", "application/json")
        headers.setdefault("Content_Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with suppress(OSError):  # the client may have hung up
            self.wfile.write(content)

    def reply_without_end(self, most: int) -> int:
        """Send a body that has no end until the client hangs up, or `most` bytes; how many were sent."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.close_connection = True
        sent = 0
        with suppress(OSError):
            while sent < most:
                sent += self.wfile.write(b" " * 65_536)
        return sent

    def log_message(self, *_: object) -> None:
        pass


class LocalServer:
    """Listens at `url` on 127.0.0.1 while its `with` lasts."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        serve(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
