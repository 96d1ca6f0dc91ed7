"""Log lines about videos: one per step, with the id that is used in pages and in the API.

A line is written only once its event is committed. The dispatcher loads videos with few of their columns, so
nothing here reads fields that the state change itself does not bring along.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

if TYPE_CHECKING:
    from videos.models import Video

log = logging.getLogger(__name__)

MAX_PROMPT = 60  # characters of a prompt
MAX_DETAIL = 300  # characters of a provider's message
FOR_OPERATORS = ("provider_refused", "unconfirmed", "no_file")


def public_id(pk: UUID, kind: str = "video") -> str:
    """The public id of a row."""
    return f"{kind}_{pk.hex}"


def queued(video: "Video", model: str) -> Callable[[], None]:
    """Returns a callable that logs an order; to be called in the order's transaction."""
    line = (
        f"{video.public_id} queued: {model}, {video.size}, {video.seconds} s, {video.credits} credits:"
        f" {one_line(video.prompt, MAX_PROMPT)}"
    )
    return lambda: _log(logging.INFO, [line])


def submitting(video: "Video") -> None:
    """Log that an order is being submitted. Its intent is already committed."""
    log.info("%s submitting to %s", video.public_id, video.channel)


def moved(video: "Video", status: str, reason: str, fields: Mapping[str, object]) -> None:
    """Log a state change; to be called in its transaction, with the fields that it writes."""
    if status == "submitting" or "channel_id" in fields:
        return  # logged by `submitting` and `went_on`
    name, level, lines = video.public_id, logging.INFO, []
    if status == "in_progress":
        channel = video._state.fields_cache.get("channel") or f"channel {video.channel_id}"
        lines = [f"{name} accepted by {channel} as job {one_line(str(fields.get('ref', '')), MAX_DETAIL)}"]
    elif status == "completed":
        size, length = fields.get("bytes"), fields.get("duration")
        lines = [
            f"{name} stored: {fields.get('file')}, {size} bytes, {length} s",
            f"{name} completed{_time_since(video.created_at)}",
        ]
    elif status == "failed":
        code, detail = fields.get("error_code", ""), fields.get("error_detail", "")
        level = logging.ERROR if code in FOR_OPERATORS else logging.INFO
        lines = [f"{name} failed ({code}): {one_line(str(detail), MAX_DETAIL)}"]
    else:
        level = logging.WARNING if status == "unconfirmed" else logging.INFO
        lines = [f"{name} {status}" + (f": {one_line(reason, MAX_DETAIL)}" if reason else "")]
    _log(level, lines)


def progressed(tenths: Iterable[tuple["Video", int]]) -> None:
    """Log videos that have reached another tenth of their progress, in percent."""
    if lines := [f"{video.public_id} at {percent} %" for video, percent in tenths]:
        _log(logging.INFO, lines)


def went_on(video: "Video", channel: Any, reason: str) -> None:
    """Log that a video was rerouted to this channel."""
    _log(logging.INFO, [f"{video.public_id} rerouted to {channel}: {one_line(reason, MAX_DETAIL)}"])


def one_line(text: str, limit: int) -> str:
    """At most `limit` characters of an untrusted text; line breaks and other unprintable characters are escaped."""
    beginning = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in beginning)


def _log(level: int, lines: list[str]) -> None:
    transaction.on_commit(partial(_write, level, lines), robust=True)


def _write(level: int, lines: list[str]) -> None:
    for line in lines:
        log.log(level, "%s", line)


def _time_since(at: datetime) -> str:
    return f" after {(timezone.now() - at).total_seconds():.1f} s"
