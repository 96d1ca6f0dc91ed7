"""The site API: `/api/v1/videos/generate` and its status values."""

from typing import Literal

from django.http import HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import BaseModel, ConfigDict, Field

from videos import serializers
from videos.api import actions, bodies, idempotency, moderation, openapi_extra, requests, schemas
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import renamed_params

router = Router()


class SiteOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: requests.Prompt
    model: requests.Text | None = None
    image_url: str | None = Field(
        default=None,
        json_schema_extra={"pattern": "^((https|data):.*)?$"},
        examples=["https://example.com/kite.png"],
        description="The first frame: an https or data URL. An empty one counts as absent.",
    )
    duration: requests.Seconds | None = Field(default=None, description="The length in seconds.")
    resolution: requests.Text | None = Field(
        default=None,
        json_schema_extra={"pattern": "^[1-9][0-9]*(p|x[1-9][0-9]*)$"},
        description="Such as 720p or 1280x720.",
    )


class SiteVideo(Schema):
    id: str
    status: Literal["pending", "processing", "completed", "failed"]
    progress: schemas.Percent
    video_url: str | None
    error: str | None
    credits: int


SITE_WORDS = {"queued": "pending", "in_progress": "processing", "completed": "completed", "failed": "failed"}


@router.post(
    "/api/v1/videos/generate",
    response={201: SiteVideo},
    auth=ApiKeyAuth(),
    tags=["Site API"],
    openapi_extra=openapi_extra.order(SiteOrder),
)
def site_generate(request: KeyedRequest) -> HttpResponse:
    """Create a video."""
    body = bodies.read(request)

    def prepare() -> idempotency.Action:
        asked = requests.checked(SiteOrder, body.fields)
        is_size = asked.resolution is not None and "x" in asked.resolution
        asked_for = requests.VideoRequest(
            prompt=asked.prompt,
            model=asked.model,
            seconds=asked.duration,
            size=asked.resolution if is_size else None,
            resolution=None if is_size else asked.resolution,
            input_reference=requests.Picture(image_url=asked.image_url) if asked.image_url else None,
        )
        with renamed_params(seconds="duration", size="resolution", input_reference="image_url"):
            order = moderation.one(request.auth, requests.order_of(request.auth, asked_for))
        return lambda: (201, _site_video(actions.place(request.auth, order)))

    return idempotency.once(request, body.digest, prepare)


@router.get("/api/v1/videos/{video_id}", response=SiteVideo, auth=ApiKeyAuth(), tags=["Site API"])
def site_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Retrieve the status of a video."""
    return JsonResponse(_site_video(serializers.video_object(actions.own(request, video_id))))


def _site_video(video: serializers.VideoObject) -> dict[str, object]:
    return {
        "id": video["id"],
        "status": SITE_WORDS[video["status"]],
        "progress": video["progress"],
        "video_url": video["url"],
        "error": video["error"] and video["error"]["message"],
        "credits": video["credits"],
    }
