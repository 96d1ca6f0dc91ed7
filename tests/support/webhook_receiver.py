"""Somebody who takes webhooks: a small HTTP server that remembers what came, and answers as it is told."""

import json
import time
from typing import NamedTuple

import openai

from tests.support.http_server import Handler, LocalServer

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


class Receiver(LocalServer):
    """`refusals` are the statuses of the first answers; all later ones are 200."""

    def __init__(self, port: int = 0) -> None:
        self.arrivals: list[Arrival] = []
        self.refusals: list[int] = []
        receiver = self

        class ReceiverHandler(Handler):
            def do_POST(self) -> None:
                arrival = Arrival(time.time(), self.headers["webhook-id"], dict(self.headers), self.body())
                receiver.arrivals.append(arrival)
                self.reply(receiver.refusals.pop(0) if receiver.refusals else 200)

        super().__init__(ReceiverHandler, port)
        self.url += "/hook"

    @property
    def environment(self) -> dict[str, str]:
        """For a simulator that is to tell this receiver."""
        return {"SIMULATOR_WEBHOOK_URL": self.url, "SIMULATOR_WEBHOOK_SECRET": SECRET}

    def about(self, ref: str) -> list[Arrival]:
        """What came about one job."""
        return [arrival for arrival in self.arrivals if arrival.event["data"]["id"] == ref]
