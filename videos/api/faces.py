"""Three older services whose programs find their own paths and words here. The verbs behind them are the same."""

import base64
import binascii
import re
import threading
import time
from typing import Annotated, Any, Literal

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from ninja.security import HttpBasicAuth
from pydantic import BaseModel, ConfigDict, Field

from accounts.models import ApiKey
from videos import catalogue, objects
from videos.api import idempotency, moderated, openai, orders
from videos.api.auth import ByKey, KeyedRequest, key_of
from videos.api.document import takes
from videos.api.errors import ApiError, not_found
from videos.models import Video

router = Router()


# --- The site API ---------------------------------------------------------------------------------


class SiteOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: orders.Text
    model: orders.Text | None = None
    image_url: str | None = Field(default=None, description="The first frame: an https or data URL.")
    duration: orders.Seconds | None = Field(default=None, description="Seconds.")
    resolution: orders.Text | None = Field(default=None, description="Such as 720p or 1280x720.")


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
    body = orders.read(request)
    if before := idempotency.repeated(request, body.digest):
        return before
    asked = orders.checked(SiteOrder, body.fields)
    is_size = asked.resolution is not None and "x" in asked.resolution
    asked_for = orders.VideoOrder(
        prompt=asked.prompt,
        model=asked.model,
        seconds=asked.duration,
        size=asked.resolution if is_size else None,
        resolution=None if is_size else asked.resolution,
        input_reference=orders.Picture(image_url=asked.image_url) if asked.image_url else None,
    )
    with _called(seconds="duration", size="resolution", input_reference="image_url"):
        order = moderated.one(request.auth, orders.order_of(request.auth, asked_for))
        return idempotency.once(
            request, body.digest, lambda: (201, _site_video(openai.start(request.auth, order)))
        )


@router.get("/api/v1/videos/{video_id}", response=SiteVideo, auth=ByKey(), tags=["Site API"])
def site_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """How a video stands."""
    return JsonResponse(_site_video(objects.video_object(openai.own(request, video_id))))


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
    video_id: orders.Text


class QueryResult(Schema):
    url: str


class QueryAnswer(Schema):
    """`video_id` and `video_result` are empty until success; the message carries the progress."""

    task_id: str
    video_id: str
    task_status: Literal["processing", "success", "failed"]
    message: str
    duration: int
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
    asked = orders.checked(Query, orders.read(request).fields)
    return _query_answer(request, asked.video_id)


@router.get("/v1/videos/query/{video_id}", response=QueryAnswer, auth=ByKey(), tags=["Gateway query"])
def query_by_path(request: KeyedRequest, video_id: str) -> HttpResponse:
    """How a video stands."""
    return _query_answer(request, video_id)


def _query_answer(request: KeyedRequest, video_id: str) -> HttpResponse:
    video = objects.video_object(openai.own(request, video_id))
    url = video["url"] or ""
    return JsonResponse(
        {
            "task_id": video["id"],
            "video_id": video["id"] if url else "",
            "task_status": QUERY_WORDS[video["status"]],
            "message": _message(video),
            "duration": int(video["seconds"]),
            "video_result": url,
            "video_results": [{"url": url}] if url else [],
        }
    )


# --- Training drills ------------------------------------------------------------------------------

LONGEST_WAIT = 180  # seconds
# Of the 8 threads of a web process, those that may wait for the end of a video. Whoever comes when they are
# all taken is answered at once, so that the others always have threads.
MOST_WAITING = 4
LOOK = 0.5  # seconds between two looks at a video

_waiting = threading.Semaphore(MOST_WAITING)


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


RunId = Annotated[orders.Text, Field(min_length=1, max_length=90)]


class Drill(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run_id: RunId = Field(description="Your own name for it: the same run_id is the same video.")
    drill_text: orders.Text
    size: orders.Text | None = None
    seconds: orders.Seconds | None = None


class DrillAnswer(Schema):
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
            "models": [model.slug for model in catalogue.models()],
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
    asked = orders.checked(Drill, orders.read(request).fields)
    key = f"run:{asked.run_id}"
    if not request.user.videos.filter(client_key=key).exists():
        asked_for = orders.VideoOrder(prompt=asked.drill_text, size=asked.size, seconds=asked.seconds)
        with _called(prompt="drill_text"):
            order = orders.order_of(request.auth, asked_for) | {"client_key": key}
            order = moderated.one(request.auth, order)
            with transaction.atomic():
                openai.start(request.auth, order)
    video = _run(request, asked.run_id)
    if video.is_live and time.monotonic() < until and _waiting.acquire(blocking=False):
        try:
            while video.is_live and time.monotonic() < until:
                time.sleep(LOOK)
                video = _run(request, asked.run_id)
        finally:
            _waiting.release()
    return _drill_answer(video)


@router.get(
    "/api/video-generation/status/{run_id}",
    response={200: DrillAnswer, 202: DrillAnswer},
    auth=[ByPassword(), ByKey()],
    tags=["Training drills"],
)
def drill_status(request: KeyedRequest, run_id: str) -> HttpResponse:
    """How the video of a run stands."""
    return _drill_answer(_run(request, run_id))


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


def _drill_answer(video: Video) -> HttpResponse:
    shown = objects.video_object(video)
    answer = {
        "status": QUERY_WORDS[shown["status"]],
        "message": _message(shown),
        "video_url": shown["url"],
        "error": shown["error"] and shown["error"]["message"],
    }
    return JsonResponse(answer, status=202 if video.is_live else 200)


# --- Small parts ----------------------------------------------------------------------------------


def _message(video: dict[str, Any]) -> str:
    """In words, where a video stands."""
    if video["error"]:
        return video["error"]["message"]
    if video["status"] == "completed":
        return "The video is ready."
    return f"The video is being made: {video['progress']} %."


class _called:
    """What these fields are called here, when they are wrong: `_called(prompt="drill_text")`."""

    def __init__(self, **names: str) -> None:
        self.names = names

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, ApiError) and error.param in self.names:
            error.param = self.names[error.param]
