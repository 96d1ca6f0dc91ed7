"""Training drills: `/api/video-generation/`, where a request can wait until the video has ended."""

import base64
import binascii
import re
import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation.trans_real import parse_accept_lang_header
from ninja import Router, Schema
from ninja.security import HttpBasicAuth
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from accounts.models import ApiKey
from videos import serializers
from videos.api import actions, bodies, idempotency, moderation, openapi_extra, requests
from videos.api.auth import ApiKeyAuth, KeyedRequest, key_of
from videos.api.compat.shared import QUERY_WORDS
from videos.api.errors import not_found, renamed_params
from videos.catalogue import availability
from videos.models import Video
from videos.providers.base import storable
from videos.thread_budget import Busy, SlowCalls

router = Router()


LONGEST_WAIT = 180  # seconds
POLL_SECONDS = 0.5

# Requests that wait for a video. Further requests get a response immediately.
waiting = SlowCalls(at_once=3)


# By Accept-Language. The reason for a failure is in `error`.
DRILL_MESSAGES = {
    "en": {
        "processing": "The video is being generated",
        "success": "Video generation completed",
        "failed": "Video generation failed",
    },
    "ja": {
        "processing": "動画を生成しています",
        "success": "動画生成が完了しました",
        "failed": "動画生成に失敗しました",
    },
}


class ApiKeyAsPassword(HttpBasicAuth):
    """HTTP Basic with the key as password; any user name."""

    openapi_description = "An API key as the password; any user name."

    def __call__(self, request: HttpRequest) -> ApiKey | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None  # ApiKeyAuth handles everything else
        try:
            _name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            password = ""
        return key_of(request, password)

    def authenticate(self, request: HttpRequest, username: str, password: str) -> ApiKey:
        return key_of(request, password)


def _run_id(value: Any) -> str | int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON, 7.0 is the integer 7
    is_number = type(value) is int and 0 <= value < 2**63
    if is_number or (isinstance(value, str) and 1 <= len(value) <= 90 and value == storable(value)):
        return value
    raise ValueError("expected a string of 1 to 90 characters or a non-negative integer")


RunId = Annotated[
    str | int,
    PlainValidator(_run_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 90},
                {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
            ]
        }
    ),
]


class Drill(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run_id: RunId = Field(description="An id of your choice. The same run_id always means the same video.")
    drill_text: requests.Prompt
    size: requests.Size | None = None
    seconds: requests.Seconds | None = None


WAIT = openapi_extra.header(
    "Prefer",
    f"`wait=N`: respond when the video has ended, or after N seconds (max. {LONGEST_WAIT}). Anything else is ignored.",
    examples=["wait=60"],
)


class DrillAnswer(Schema):
    """`run_id` is returned as it was sent, a number or a string."""

    run_id: str | int
    status: Literal["processing", "success", "failed"]
    message: str
    video_url: str | None
    error: str | None


class Service(Schema):
    service: Literal["video-generation"]
    status: Literal["ok"]
    models: list[str]
    longest_wait: int


@router.get("/api/video-generation/", response=Service, auth=None, tags=["Training drills"])
def drill_service(request: HttpRequest) -> HttpResponse:
    """Service information. Needs no key."""
    return JsonResponse(
        {
            "service": "video-generation",
            "status": "ok",
            "models": [model.slug for model in availability.models()],
            "longest_wait": LONGEST_WAIT,
        }
    )


@router.post(
    "/api/video-generation/generate",
    response={200: DrillAnswer, 202: DrillAnswer},
    auth=[ApiKeyAsPassword(), ApiKeyAuth()],
    tags=["Training drills"],
    openapi_extra=openapi_extra.order(Drill, WAIT),
)
def drill_generate(request: KeyedRequest) -> HttpResponse:
    """Create a video, or retrieve the one with this run_id. With `Prefer: wait=N`, waits up to N seconds (max. 180) for its end."""
    until = time.monotonic() + _wanted_wait(request)
    body = bodies.read(request)
    asked = requests.checked(Drill, body.fields)
    key = f"run:{asked.run_id}"

    def prepare() -> idempotency.Action:
        # What is stored says only that the run was created: a repeat is answered with its status of that time.
        created: tuple[int, dict[str, object]] = (202, {"run_id": asked.run_id})
        if request.user.videos.filter(client_key=key).exists():
            return lambda: created
        asked_for = requests.VideoRequest(prompt=asked.drill_text, size=asked.size, seconds=asked.seconds)
        order = requests.order_of(request.auth, asked_for)
        order = replace(order, client_key=key, metadata={"run_id": asked.run_id})
        order = moderation.one(request.auth, order)

        def place() -> tuple[int, dict[str, object]]:
            actions.place(request.auth, order)
            return created

        return place

    with renamed_params(prompt="drill_text"):
        idempotency.once(request, body.digest, prepare)
    video = _run(request, str(asked.run_id))
    if video.is_live and time.monotonic() < until:
        with suppress(Busy), waiting.turn():
            while video.is_live and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
                video = _run(request, str(asked.run_id))
    return _drill_answer(request, video, asked.run_id)


@router.get(
    "/api/video-generation/status/{run_id}",
    response={200: DrillAnswer, 202: DrillAnswer},
    auth=[ApiKeyAsPassword(), ApiKeyAuth()],
    tags=["Training drills"],
)
def drill_status(request: KeyedRequest, run_id: str) -> HttpResponse:
    """Retrieve the status of a run."""
    video = _run(request, run_id)
    return _drill_answer(request, video, video.metadata.get("run_id", run_id))


def _wanted_wait(request: HttpRequest) -> int:
    """The seconds in the Prefer header (RFC 7240), at most LONGEST_WAIT."""
    match = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})", request.headers.get("Prefer", ""))
    return min(int(match[1]), LONGEST_WAIT) if match else 0


def _run(request: KeyedRequest, run_id: str) -> Video:
    known = "\x00" not in run_id
    videos = request.user.videos.kept().select_related("model")
    video = videos.filter(client_key=f"run:{run_id}").first() if known else None
    if video is None:
        raise not_found("run", run_id, "run_id")
    return video


def _drill_answer(request: HttpRequest, video: Video, run_id: str | int) -> HttpResponse:
    shown = serializers.video_object(video)
    word = QUERY_WORDS[shown["status"]]
    wished = [
        name[:2] for name, _weight in parse_accept_lang_header(request.headers.get("Accept-Language", ""))
    ]
    language = next((name for name in wished if name in DRILL_MESSAGES), "en")
    answer = {
        "run_id": run_id,
        "status": word,
        "message": DRILL_MESSAGES[language][word],
        "video_url": shown["url"],
        "error": shown["error"] and shown["error"]["message"],
    }
    return JsonResponse(answer, status=202 if video.is_live else 200)
