"""Canceling over the API: a video that is still queued, or all such videos of a batch. By the same verbs as the pages."""

from collections.abc import Callable

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel, ConfigDict

from videos import serializers
from videos.api import actions, bodies, idempotency, openapi_extra, requests, schemas
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError
from videos.generation import batches, lifecycle
from videos.models import Status, Video

router = Router(auth=ApiKeyAuth())


class NoFields(BaseModel):
    model_config = ConfigDict(extra="forbid")


@router.post(
    "/v1/videos/{video_id}/cancel",
    response=schemas.VideoObject,
    tags=["Videos"],
    openapi_extra=openapi_extra.once(),
)
def cancel_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Cancel a queued video and refund its credits. 409 `video_in_progress` once it was sent to its provider, `video_ended` once it has ended. A canceled video is returned as it is."""

    def prepare() -> idempotency.Action:
        video = canceled(request, video_id)
        return lambda: (200, serializers.video_object(video))

    return _once(request, prepare)


@router.post(
    "/v1/batches/videos/{batch_id}/cancel",
    response=schemas.BatchObject,
    tags=["Batches"],
    openapi_extra=openapi_extra.once(),
)
def cancel_batch(request: KeyedRequest, batch_id: str) -> HttpResponse:
    """Cancel and refund the videos of a batch that are still queued. Those that were already sent to their provider are completed; the batch ends with the last of them."""

    def prepare() -> idempotency.Action:
        batch = actions.own_batch(request, batch_id)
        # Each video in a transaction of its own: up to 500 at once would lock out the worker for too long.
        batches.cancel(batch)
        return lambda: (200, serializers.batch_object(batch))

    return _once(request, prepare)


def canceled(request: KeyedRequest, video_id: str) -> Video:
    """The video, canceled now or before. Raises ApiError 404, or 409 if it can no longer be canceled."""
    video = actions.own(request, video_id)
    while video.status == Status.QUEUED:
        if lifecycle.cancel(video):
            return video
        video = actions.own(request, video_id)  # another process changed it first
    if video.is_live:
        raise ApiError(
            409,
            "This video was already sent to the video service and can no longer be canceled."
            " If it fails, your credits are refunded.",
            code="video_in_progress",
        )
    if video.status != Status.CANCELED:
        raise ApiError(409, "This video has already ended.", code="video_ended")
    return video


def _once(request: KeyedRequest, prepare: Callable[[], idempotency.Action]) -> HttpResponse:
    body = bodies.read(request)
    requests.checked(NoFields, body.fields)
    return idempotency.once(request, body.digest, prepare)
