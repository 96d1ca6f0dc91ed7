"""Somebody who takes webhooks: a small HTTP server that remembers what came, and answers as it is told."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

import openai

from tests.support.fixtures import serve

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMsIG9mIDMyIGJ5dGVz"


class Arrival(NamedTuple):
    at: float  # Unix seconds
    id: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict:
        return json.loads(self.body)

    @property
    def is_genuine(self) -> bool:
        """Whether the official SDK believes it."""
        try:
            openai.OpenAI(api_key="x").webhooks.verify_signature(self.body, self.headers, secret=SECRET)
        except openai.InvalidWebhookSignatureError:
            return False
        return True


class Receiver:
    """`refusals` are the statuses of the first answers; all later ones are 200."""

    def __init__(self, port: int = 0) -> None:
        self.arrivals: list[Arrival] = []
        self.refusals: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.arrivals.append(
                    Arrival(time.time(), self.headers["webhook-id"], dict(self.headers), body)
                )
                self.send_response(receiver.refusals.pop(0) if receiver.refusals else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def __enter__(self) -> Self:
        serve(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """For a simulator that is to tell this receiver."""
        return {"SIMULATOR_WEBHOOK_URL": self.url, "SIMULATOR_WEBHOOK_SECRET": SECRET}

    def about(self, ref: str) -> list[Arrival]:
        """What came about one job."""
        return [arrival for arrival in self.arrivals if arrival.event["data"]["id"] == ref]
