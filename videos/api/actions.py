"""What several endpoints share: order a video, find it through its owner, and serve its file."""

import logging
from typing import Literal

from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.models import ApiKey
from videos import serializers
from videos.api import spending
from videos.api.auth import KeyedRequest
from videos.api.errors import ApiError, not_found, of_order
from videos.generation import ordering
from videos.media import playback, sprite_sheets
from videos.models import Batch, Status, Video
from videos.order import VideoOrder
from videos.status import progress

log = logging.getLogger(__name__)

Variant = Literal["video", "thumbnail", "spritesheet"]  # what can be downloaded of a video

# How long a redirect to the object store works, which nobody can revoke. Programs follow it at once.
REDIRECT_SECONDS = 60


def place(key: ApiKey, order: VideoOrder, count: int = 1) -> serializers.VideoObject:
    """Order `count` variations of a video, all or none. Returns the first, which names the others. Call in a transaction."""
    spending.check(key, order.price * count)
    try:
        videos = ordering.place_all(key.user, order, count)
    except ValidationError as error:
        raise of_order(error) from error
    first = videos[0]
    if siblings := ",".join(serializers.public_id(video.pk) for video in videos[1:]):
        first.metadata = first.metadata | {"siblings": siblings}
        Video.objects.filter(pk=first.pk).update(metadata=first.metadata)
    return serializers.video_object(first)


def shown(video: Video) -> serializers.VideoObject:
    """The video with its place in the queue and the expected time, while it is unfinished."""
    return serializers.video_object(video, *progress.estimate(video))


def own(request: KeyedRequest, video_id: str) -> Video:
    """The account's video with this id. Raises ApiError 404 if there is none."""
    pk = serializers.uuid_of(video_id)
    video = serializers.load_video(pk, request.user) if pk else None
    if video is None:
        raise not_found("video", video_id)
    return video


def own_batch(request: KeyedRequest, batch_id: str) -> Batch:
    """The account's batch with this id. Raises ApiError 404 if there is none."""
    pk = serializers.uuid_of(batch_id, "batch")
    batch = request.user.batches.filter(pk=pk).first() if pk else None
    if batch is None:
        raise not_found("batch", batch_id)
    return batch


def only(request: HttpRequest, *known: str) -> None:
    """Raise ApiError 400 for an unknown query parameter, rather than ignoring it silently."""
    for name in request.GET:
        if name not in known:
            raise ApiError(
                400, f"Unknown parameter: '{name[:100]}'.", param=name[:100], code="unknown_parameter"
            )


def content(request: HttpRequest, video: Video, variant: Variant) -> HttpResponseBase:
    """The file of a completed video, or a picture of it. Raises ApiError 404 until it is completed, 503 until its thumbnail is there."""
    if video.status != Status.COMPLETED:
        raise ApiError(404, "This video has no content yet: it is not completed.", code="video_not_completed")
    if variant == "video":
        return stored(request, str(video.file.name), etag=video.sha256, content_type="video/mp4")
    if variant == "spritesheet":
        name, kind = _sheet(video), "image/jpeg"
    elif video.poster:
        name, kind = str(video.poster.name), "image/webp"
    else:
        raise ApiError(
            503, "The thumbnail is not ready yet. Try again in a moment.", code="not_ready", after=5
        )
    return stored(request, name, etag=f"{video.sha256}-{variant}", content_type=kind)


def stored(request: HttpRequest, name: str, *, etag: str, content_type: str) -> HttpResponseBase:
    """A stored file, or a redirect to it that works for REDIRECT_SECONDS. `etag` changes whenever the bytes do."""
    return playback.serve(
        request,
        default_storage,
        name,
        etag=etag,
        content_type=content_type,
        redirect_seconds=REDIRECT_SECONDS,
    )


def _sheet(video: Video) -> str:
    try:
        return sprite_sheets.of(str(video.file.name))
    except sprite_sheets.NoSheet as error:
        log.exception("%s: no sprite sheet", video.pk)
        raise ApiError(
            503, "The sprite sheet cannot be generated right now. Try again in a minute.", after=60
        ) from error
