"""Three older services whose programs find their own paths and words here. The verbs behind them are the same."""

import base64
import binascii
import re
import threading
import time
from typing import Annotated, Any, Literal, Self

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation.trans_real import parse_accept_lang_header
from ninja import Router, Schema
from ninja.security import HttpBasicAuth
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from accounts.models import ApiKey
from videos import serializers
from videos.api import idempotency, moderation, requests
from videos.api import videos as video_endpoints
from videos.api.auth import ByKey, KeyedRequest, key_of
from videos.api.errors import not_found, renamed
from videos.api.openapi.document import takes
from videos.catalogue import availability
from videos.models import Video
from videos.providers.base import storable

router = Router()


# --- The site API ---------------------------------------------------------------------------------


class SiteOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: requests.Text
    model: requests.Text | None = None
    image_url: str | None = Field(default=None, description="The first frame: an https or data URL.")
    duration: requests.Seconds | None = Field(default=None, description="Seconds.")
    resolution: requests.Text | None = Field(default=None, description="Such as 720p or 1280x720.")


class SiteVideo(Schema):
    id: str
    status: Literal["pending", "processing", "completed", "failed"]
    progress: int
    video_url: str | None
    error: str | None
    credits: int


SITE_WORDS = {"queued": "pending", "in_progress": "processing", "completed": "completed", "failed": "failed"}


@router.post("/api/v1/videos/generate", response={201: SiteVideo}, auth=ByKey(), tags=["Site API"])
@takes(SiteOrder)
def site_generate(request: KeyedRequest) -> HttpResponse:
    """Order a video."""
    body = requests.read(request)

    def prepare() -> idempotency.Deed:
        asked = requests.checked(SiteOrder, body.fields)
        is_size = asked.resolution is not None and "x" in asked.resolution
        asked_for = requests.VideoOrder(
            prompt=asked.prompt,
            model=asked.model,
            seconds=asked.duration,
            size=asked.resolution if is_size else None,
            resolution=None if is_size else asked.resolution,
            input_reference=requests.Picture(image_url=asked.image_url) if asked.image_url else None,
        )
        with renamed(seconds="duration", size="resolution", input_reference="image_url"):
            order = moderation.one(request.auth, requests.order_of(request.auth, asked_for))
        return lambda: (201, _site_video(video_endpoints.start(request.auth, order)))

    return idempotency.once(request, body.digest, prepare)


@router.get("/api/v1/videos/{video_id}", response=SiteVideo, auth=ByKey(), tags=["Site API"])
def site_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """How a video stands."""
    return JsonResponse(_site_video(serializers.video_object(video_endpoints.own(request, video_id))))


def _site_video(video: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": video["id"],
        "status": SITE_WORDS[video["status"]],
        "progress": video["progress"],
        "video_url": video["url"],
        "error": video["error"] and video["error"]["message"],
        "credits": video["credits"],
    }


# --- The gateway's query --------------------------------------------------------------------------


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    video_id: requests.Text | None = None
    task_id: requests.Text | None = Field(default=None, description="Another name of video_id.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.video_id is None and self.task_id is None:
            raise PydanticCustomError("no_id", "say which video", {"param": "video_id"})
        if None not in (self.video_id, self.task_id) and self.video_id != self.task_id:
            raise PydanticCustomError("two_ids", "video_id is another one", {"param": "task_id"})
        return self


class QueryResult(Schema):
    url: str


class QueryAnswer(Schema):
    """`video_id` and `video_result` are empty until success; the message carries the progress."""

    task_id: str
    video_id: str
    task_status: Literal["processing", "success", "failed"]
    message: str
    duration: str
    video_result: str
    video_results: list[QueryResult]


QUERY_WORDS = {
    "queued": "processing",
    "in_progress": "processing",
    "completed": "success",
    "failed": "failed",
}


@router.post("/v1/videos/query", response=QueryAnswer, auth=ByKey(), tags=["Gateway query"])
@takes(Query)
def query(request: KeyedRequest) -> HttpResponse:
    """How a video stands."""
    asked = requests.checked(Query, requests.read(request).fields)
    return _query_answer(request, asked.task_id if asked.video_id is None else asked.video_id)


@router.get("/v1/videos/query/{video_id}", response=QueryAnswer, auth=ByKey(), tags=["Gateway query"])
def query_by_path(request: KeyedRequest, video_id: str) -> HttpResponse:
    """How a video stands."""
    return _query_answer(request, video_id)


def _query_answer(request: KeyedRequest, video_id: str) -> HttpResponse:
    video = serializers.video_object(video_endpoints.own(request, video_id))
    url = video["url"] or ""
    return JsonResponse(
        {
            "task_id": video["id"],
            "video_id": video["id"] if url else "",
            "task_status": QUERY_WORDS[video["status"]],
            "message": _query_message(video),
            "duration": video["seconds"],
            "video_result": url,
            "video_results": [{"url": url}] if url else [],
        }
    )


def _query_message(video: dict[str, Any]) -> str:
    """The gateway's own sentences: programs look for them."""
    if video["error"]:
        return video["error"]["message"]
    if video["url"]:
        return f"Video completed and uploaded to {video['url']}"
    return f"Video is still processing (progress: {video['progress']}%)"


# --- Training drills ------------------------------------------------------------------------------

LONGEST_WAIT = 180  # seconds
# Of the 8 threads of a web process, those that may wait for the end of a video. Whoever comes when they are
# all taken is answered at once, so that the others always have threads.
MOST_WAITING = 4
LOOK = 0.5  # seconds between two looks at a video

_waiting = threading.Semaphore(MOST_WAITING)


# By Accept-Language. What went wrong stands in `error`.
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


class ByPassword(HttpBasicAuth):
    """HTTP Basic with the key as password; any user name."""

    openapi_name = "API key as password"

    def __call__(self, request: HttpRequest) -> ApiKey | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None  # then it is for the other one to say
        try:
            _name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            password = ""
        return key_of(request, password)

    def authenticate(self, request: HttpRequest, username: str, password: str) -> ApiKey:
        return key_of(request, password)


def _run_id(value: Any) -> str | int:
    is_number = type(value) is int and 0 <= value < 2**63
    if is_number or (isinstance(value, str) and 1 <= len(value) <= 90 and value == storable(value)):
        return value
    raise ValueError("expected a text of 1 to 90 characters, or a whole number")


RunId = Annotated[str | int, PlainValidator(_run_id), WithJsonSchema({"type": ["string", "integer"]})]


class Drill(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run_id: RunId = Field(description="Your own name for it: the same run_id is the same video.")
    drill_text: requests.Text
    size: requests.Text | None = None
    seconds: requests.Seconds | None = None


class DrillAnswer(Schema):
    """`run_id` is as it came, a number or a text."""

    run_id: str | int
    status: Literal["processing", "success", "failed"]
    message: str
    video_url: str | None
    error: str | None


class Service(Schema):
    service: str
    status: str
    models: list[str]
    longest_wait: int


@router.get("/api/video-generation/", response=Service, auth=None, tags=["Training drills"])
def drill_service(request: HttpRequest) -> HttpResponse:
    """What this service is. No key is needed."""
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
    auth=[ByPassword(), ByKey()],
    tags=["Training drills"],
)
@takes(Drill)
def drill_generate(request: KeyedRequest) -> HttpResponse:
    """Order a video, or find the one of this run_id; with `Prefer: wait=N`, its end is waited for up to N seconds (180)."""
    until = time.monotonic() + _wish(request)
    asked = requests.checked(Drill, requests.read(request).fields)
    key = f"run:{asked.run_id}"
    if not request.user.videos.filter(client_key=key).exists():
        asked_for = requests.VideoOrder(prompt=asked.drill_text, size=asked.size, seconds=asked.seconds)
        with renamed(prompt="drill_text"):
            order = requests.order_of(request.auth, asked_for)
            order |= {"client_key": key, "metadata": {"run_id": asked.run_id}}
            order = moderation.one(request.auth, order)
            with transaction.atomic():
                video_endpoints.start(request.auth, order)
    video = _run(request, str(asked.run_id))
    if video.is_live and time.monotonic() < until and _waiting.acquire(blocking=False):
        try:
            while video.is_live and time.monotonic() < until:
                time.sleep(LOOK)
                video = _run(request, str(asked.run_id))
        finally:
            _waiting.release()
    return _drill_answer(request, video, asked.run_id)


@router.get(
    "/api/video-generation/status/{run_id}",
    response={200: DrillAnswer, 202: DrillAnswer},
    auth=[ByPassword(), ByKey()],
    tags=["Training drills"],
)
def drill_status(request: KeyedRequest, run_id: str) -> HttpResponse:
    """How the video of a run stands."""
    video = _run(request, run_id)
    return _drill_answer(request, video, video.metadata.get("run_id", run_id))


def _wish(request: HttpRequest) -> int:
    """Seconds that the caller wants to wait, RFC 7240."""
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
