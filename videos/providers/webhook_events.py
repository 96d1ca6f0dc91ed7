"""Parses provider webhooks in OpenAI's format, which other servers of its protocol share."""

import json
from dataclasses import dataclass

from videos.providers.base import Unavailable, storable

ENDED = ("video.completed", "video.failed")


@dataclass(frozen=True)
class Event:
    """The kind of event and the id of its job; each is "" if missing."""

    kind: str
    ref: str

    @property
    def says_it_ended(self) -> bool:
        return self.kind in ENDED


def parse_webhook(body: bytes) -> Event:
    """The event in the body of a webhook. Raises Unavailable if it is not a JSON object."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable("it is signed, but not JSON") from error
    if not isinstance(payload, dict):
        raise Unavailable("it is signed, but not a JSON object")
    data = payload.get("data")
    return Event(_text(payload.get("type")), _text(data.get("id")) if isinstance(data, dict) else "")


def _text(value: object) -> str:
    """A string that the database can store; "" for anything else."""
    return value if isinstance(value, str) and value == storable(value) else ""
