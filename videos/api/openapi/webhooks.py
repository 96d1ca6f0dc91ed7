"""The `webhooks` of the OpenAPI document: the events that are sent to programs, in both formats."""

from typing import Annotated, Literal

from ninja import Schema
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from videos.api.openapi import answers
from videos.api.openapi_extra import REF, Part, header
from videos.api.schemas import BatchObject, UnixSeconds, VideoObject
from videos.webhooks.events import DEFAULT_EVENTS, EVENTS

TAG = "Webhooks"
HEADERS = {
    "webhook-id": "The id of the event, the same at each attempt. In both formats.",
    "webhook-timestamp": "When this attempt was made, in Unix seconds. Standard Webhooks only.",
    "webhook-signature": "Signatures as Standard Webhooks defines them. Standard Webhooks only.",
    "x-openai-signature": "HMAC-SHA256 of the body in hex; its key is the whole text of the secret. Plain format only.",
}


class Event(Schema):
    id: str
    object: Literal["event"]
    created_at: UnixSeconds


class VideoEvent(Event):
    """An event of a video, in the format of Standard Webhooks."""

    type: Literal["video.started", "video.completed", "video.failed"]
    data: VideoObject


class BatchEvent(Event):
    """An event of a batch, in the format of Standard Webhooks."""

    type: Literal["video_batch.completed"]
    data: BatchObject


class Message(Schema):
    message: str


class PingEvent(Event):
    """A test event, which people send from their account page."""

    type: Literal["ping"]
    data: Message


class PlainEvent(Schema):
    """The same in the plain format, for keys that have chosen it."""

    id: str = Field(description="The id of the video or batch; of a test event, its own.")
    status: Literal["queued", "in_progress", "completed", "failed", "ping"]
    url: str | None
    error: Annotated[str, Field(description="Why the video failed.")] | None


# Those of Standard Webhooks, by the first word of the type.
FORMATS: dict[str, type[Event]] = {"video": VideoEvent, "video_batch": BatchEvent, "ping": PingEvent}


def webhooks() -> Part:
    """Each event as an operation of the receiver."""
    described = {kind: _description(kind, str(about)) for kind, about in EVENTS.items()}
    described["ping"] = "A test, sent from the account page."
    return {kind: {"post": _operation(kind, about)} for kind, about in described.items()}


def schemas() -> Part:
    """What the bodies consist of."""
    kinds: list[type[BaseModel]] = [*FORMATS.values(), PlainEvent]
    _, whole = models_json_schema([(kind, "serialization") for kind in kinds], ref_template=REF)
    return whole["$defs"]


def _description(kind: str, about: str) -> str:
    unless_chosen = "" if kind in DEFAULT_EVENTS else " Only for keys that have chosen it."
    return f"Sent when {about}.{unless_chosen}"


def _operation(kind: str, about: str) -> Part:
    standard = FORMATS[kind.partition(".")[0]]
    formats = [{"$ref": REF.format(model=model.__name__)} for model in (standard, PlainEvent)]
    content = {"schema": {"oneOf": formats}, "examples": answers.of_event(kind)}
    return {
        "operationId": kind.replace(".", "_"),
        "summary": kind,
        "tags": [TAG],
        "security": [],  # the signature is in the headers
        "description": about,
        "parameters": [header(name, description) for name, description in HEADERS.items()],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"2XX": {"description": "Accepted. After any other response it is sent again."}},
    }
