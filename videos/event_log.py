"""What the log tells of a video: a line a step, by the id that its owner and programs know.

A line is written only when what it tells is committed. Rows in a pump's hands lack most of their fields, so
nothing here reads more than a move itself brings along.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

if TYPE_CHECKING:
    from videos.models import Video

log = logging.getLogger(__name__)

BEGINNING = 60  # characters of a prompt
MAX_WORDS = 300  # characters of what a provider says
OURS_TO_MEND = ("provider_refused", "unconfirmed", "no_file")


def public_id(pk: UUID, kind: str = "video") -> str:
    """The id by which a row is known outside."""
    return f"{kind}_{pk.hex}"


def queued(video: "Video", model: str) -> Callable[[], None]:
    """What tells of an order, when called in its transaction."""
    line = (
        f"{video.public_id} queued: {model}, {video.size}, {video.seconds} s, {video.credits} credits:"
        f" {one_line(video.prompt, BEGINNING)}"
    )
    return lambda: _tell(logging.INFO, [line])


def submitting(video: "Video") -> None:
    """A pump sends the order; that it would is committed."""
    log.info("%s submitting to %s", video.public_id, video.channel)


def moved(video: "Video", status: str, why: str, fields: dict[str, Any]) -> None:
    """Tell of a change of state. To be called in its transaction, with the fields that it writes."""
    if status == "submitting" or "channel_id" in fields:
        return  # told by who submits it, or sends it on
    name, level, lines = video.public_id, logging.INFO, []
    if status == "in_progress":
        channel = video._state.fields_cache.get("channel") or f"channel {video.channel_id}"
        lines = [f"{name} accepted by {channel} as job {one_line(str(fields.get('ref', '')), MAX_WORDS)}"]
    elif status == "completed":
        size, length = fields.get("bytes"), fields.get("duration")
        lines = [
            f"{name} stored: {fields.get('file')}, {size} bytes, {length} s",
            f"{name} completed{_time_since(video.created_at)}",
        ]
    elif status == "failed":
        code, detail = fields.get("error_code", ""), fields.get("error_detail", "")
        level = logging.ERROR if code in OURS_TO_MEND else logging.INFO
        lines = [f"{name} failed ({code}): {one_line(detail, MAX_WORDS)}"]
    else:
        level = logging.WARNING if status == "unconfirmed" else logging.INFO
        lines = [f"{name} {status}" + (f": {one_line(why, MAX_WORDS)}" if why else "")]
    _tell(level, lines)


def progressed(tenths: Iterable[tuple["Video", int]]) -> None:
    """Tell of videos that have come to another tenth of their work, in per cent."""
    if lines := [f"{video.public_id} at {percent} %" for video, percent in tenths]:
        _tell(logging.INFO, lines)


def went_on(video: "Video", channel: Any, why: str) -> None:
    _tell(logging.INFO, [f"{video.public_id} goes on to {channel}: {one_line(why, MAX_WORDS)}"])


def one_line(text: str, most: int) -> str:
    """The beginning of somebody's words; what could begin another line, or hide one, is escaped."""
    beginning = text[:most] + ("…" if len(text) > most else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in beginning)


def _tell(level: int, lines: list[str]) -> None:
    transaction.on_commit(partial(_write, level, lines), robust=True)


def _write(level: int, lines: list[str]) -> None:
    for line in lines:
        log.log(level, "%s", line)


def _time_since(at: datetime) -> str:
    return f" after {(timezone.now() - at).total_seconds():.1f} s"
