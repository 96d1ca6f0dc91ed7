"""What a provider says by itself, in our words: OpenAI's form, which the servers of its protocol share."""

import json
from dataclasses import dataclass
from typing import Any

from videos.providers.base import Unavailable, storable

ENDED = ("video.completed", "video.failed")


@dataclass(frozen=True)
class Event:
    """Of what kind, and about which job; each "" where it does not say."""

    kind: str
    ref: str

    @property
    def says_it_ended(self) -> bool:
        return self.kind in ENDED


def parse_webhook(body: bytes) -> Event:
    """The event in the body of a webhook. Raises Unavailable for what is not a JSON object."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable("it is signed, but not JSON") from error
    if not isinstance(said, dict):
        raise Unavailable("it is signed, but not a JSON object")
    data = said.get("data")
    return Event(_text(said.get("type")), _text(data.get("id")) if isinstance(data, dict) else "")


def _text(value: Any) -> str:
    """A string that could stand in a row; "" for anything else."""
    return value if isinstance(value, str) and value == storable(value) else ""
