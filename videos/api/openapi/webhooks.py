"""The `webhooks` of the OpenAPI document: the events that are sent to programs, in both formats."""

from typing import Any

from videos.api.openapi_extra import REF
from videos.webhooks.events import DEFAULT_EVENTS, EVENTS

TEXT = {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}

HEADERS = {
    "webhook-id": "The id of the event, the same at each attempt. In both formats.",
    "webhook-timestamp": "When this attempt was made, in Unix seconds. Standard Webhooks only.",
    "webhook-signature": "Signatures as Standard Webhooks defines them. Standard Webhooks only.",
    "x-openai-signature": "HMAC-SHA256 of the body in hex; its key is the whole text of the secret. Plain format only.",
}


def webhooks() -> dict[str, Any]:
    """Each event as an operation of the receiver."""
    return {kind: {"post": _operation(kind, str(about))} for kind, about in EVENTS.items()}


def schemas() -> dict[str, Any]:
    """What the bodies consist of."""
    return {
        "VideoEvent": _event("VideoEvent", "VideoObject"),
        "BatchEvent": _event("BatchEvent", "BatchObject"),
        "PlainEvent": _object(
            "PlainEvent", {"id": TEXT, "status": TEXT, "url": TEXT_OR_NULL, "error": TEXT_OR_NULL}
        ),
    }


def _operation(kind: str, about: str) -> dict[str, Any]:
    standard = "BatchEvent" if kind.startswith("video_batch") else "VideoEvent"
    formats = [{"$ref": REF.format(model=model)} for model in (standard, "PlainEvent")]
    unless_chosen = "" if kind in DEFAULT_EVENTS else " Only for keys that have chosen it."
    return {
        "operationId": kind.replace(".", "_"),
        "tags": ["Webhooks"],
        "description": f"Sent when {about}.{unless_chosen}",
        "parameters": [
            {"in": "header", "name": name, "required": False, "description": description, "schema": TEXT}
            for name, description in HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": formats}}}},
        "responses": {"2XX": {"description": "Accepted. After any other response it is sent again."}},
    }


def _event(title: str, data: str) -> dict[str, Any]:
    fields = {
        "id": TEXT,
        "object": {"type": "string", "const": "event"},
        "type": TEXT,
        "created_at": {"type": "integer"},
        "data": {"$ref": REF.format(model=data)},
    }
    return _object(title, fields)


def _object(title: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": fields, "required": list(fields)}
