"""A small server that speaks `/v1/chat/completions`, on a free port of this machine: it says what a test wants."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


def completion(content: Any, **choice: Any) -> bytes:
    """The answer of a chat model that said `content`."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop", **choice}]
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": choices}).encode()


class FakeChat(ThreadingHTTPServer):
    """`says` is the body of each answer, `status` its status; `asked` notes what came, as (headers, JSON).

    With `pause` seconds between two bytes the answer takes its time; `silence` are the seconds before it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.reset()

    def reset(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.says, self.status, self.kind = completion("A better kite"), 200, "application/json"
        self.silence = self.pause = 0.0

    @property
    def prompts(self) -> list[str]:
        return [asked["messages"][-1]["content"] for _headers, asked in self.asked]


class _Handler(BaseHTTPRequestHandler):
    server: FakeChat

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = self.server
        if self.path != "/v1/chat/completions":
            return self.send_error(404)
        said.asked.append((dict(self.headers), json.loads(body)))
        time.sleep(said.silence)
        self.send_response(said.status)
        self.send_header("Content-Type", said.kind)
        self.send_header("Content-Length", str(len(said.says)))
        self.end_headers()
        try:
            for byte in said.says if said.pause else ():
                self.wfile.write(bytes([byte]))
                time.sleep(said.pause)
            self.wfile.write(b"" if said.pause else said.says)
        except OSError:
            pass  # nobody waits any more

    def log_message(self, *_: Any) -> None:
        """Say nothing: the tests ask `asked`."""


@contextmanager
def fake_chat() -> Iterator[FakeChat]:
    server = FakeChat()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
