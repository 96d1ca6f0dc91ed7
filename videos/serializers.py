"""API representations of rows: OpenAI's video object, batches and models."""

import json
import time
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import fast_sql
from accounts.models import User
from videos.event_log import public_id
from videos.models import Batch, Status, Upload, Video, VideoModel
from videos.providers.base import aspect_ratio, resolution

# The API has only OpenAI's four states.
WORDS = {
    Status.QUEUED: "queued",
    Status.SUBMITTING: "queued",
    Status.UNCONFIRMED: "in_progress",
    Status.IN_PROGRESS: "in_progress",
    Status.SAVING: "in_progress",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
# A link changes this many times within LINK_SECONDS: rarely, so that an unchanged video has an unchanged ETag.
LINK_STEPS = 24

signer = Signer(salt="videos.api.link")


# The columns of `video_object`, in raw SQL for the same reason as progress.POLLING_SQL.
VIDEO_SQL = """
    SELECT v.id, v.user_id, v.status, v.progress, v.created_at, v.ended_at, v.prompt, v.size, v.seconds,
        v.remixed_from_id, v.error_code, v.credits, v.metadata, v.moves, v.attempts, v.next_at, v.channel_id,
        v.accepted_at, v.queued_at, v.file, v.poster, v.sha256, v.model_id, m.slug AS model_slug, m.name AS model_name
    FROM videos_video AS v JOIN videos_videomodel AS m ON m.id = v.model_id
    WHERE v.id = %s AND v.user_id = %s AND v.deleted_at IS NULL
"""


def load_video(pk: UUID, user: User) -> Video | None:
    """The user's video with the columns of `video_object`; other fields are deferred. None if there is none."""
    video = fast_sql.first(Video, VIDEO_SQL, [fast_sql.raw_key(Video, pk), user.pk])
    if video is not None:
        values = [video.model_id, video.model_slug, video.model_name]  # type: ignore[attr-defined]
        video.model = VideoModel.from_db(video._state.db, ["id", "slug", "name"], values)
    return video


def uuid_of(name: str, kind: str = "video") -> UUID | None:
    """The primary key in a public id; None if it is not a valid one."""
    try:
        pk = UUID(hex=name.removeprefix(f"{kind}_"))
    except ValueError:
        return None
    return pk if name == public_id(pk, kind) else None


class VideoError(TypedDict):
    code: str
    message: str


class VideoObject(TypedDict):
    """OpenAI's video object, and our own fields from `credits` on."""

    id: str
    object: str
    model: str
    status: str
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str
    size: str
    seconds: str
    remixed_from_video_id: str | None
    error: VideoError | None
    credits: int
    metadata: dict[str, str]
    url: str | None
    queue_position: int | None
    expected_seconds: int | None
    duration: int
    resolution: str
    aspect_ratio: str


def video_object(
    video: Video, queue_position: int | None = None, expected_seconds: int | None = None
) -> VideoObject:
    """The video as the API shows it. Reads `video.model`.

    The place in the queue (from 1) and the estimated seconds until the video is done are null unless they are given.
    """
    is_done = video.status == Status.COMPLETED
    until = link_end() if is_done else None
    return {
        "id": public_id(video.pk),
        "object": "video",
        "model": video.model.slug,
        "status": WORDS[Status(video.status)],
        "progress": video.progress,
        "created_at": int(video.created_at.timestamp()),
        "completed_at": int(video.ended_at.timestamp()) if is_done and video.ended_at else None,
        "expires_at": until,
        "prompt": video.prompt,
        "size": video.size,
        "seconds": str(video.seconds),
        "remixed_from_video_id": public_id(video.remixed_from_id) if video.remixed_from_id else None,
        "error": _error(video),
        "credits": video.credits,
        "metadata": video.metadata,
        "url": link(video, until) if until else None,
        "queue_position": queue_position,
        "expected_seconds": expected_seconds,
        "duration": video.seconds,
        "resolution": resolution(*video.wanted_size),
        "aspect_ratio": aspect_ratio(*video.wanted_size),
    }


@dataclass(frozen=True)
class BatchProgress:
    """How many videos of a batch have completed or failed, and the overall progress in percent."""

    completed: int
    failed: int
    percent: int


def batch_progress(batch: Batch, videos: list[Video]) -> BatchProgress:
    done = sum(video.progress if video.is_live else 100 for video in videos)
    return BatchProgress(
        completed=sum(video.status == Status.COMPLETED for video in videos),
        failed=sum(video.status in (Status.FAILED, Status.CANCELED) for video in videos),
        percent=done // batch.total,
    )


def batch_object(batch: Batch) -> dict[str, object]:
    """The batch as the API shows it, with its videos in order."""
    videos = list(batch.videos.select_related("model").order_by("position"))
    progress = batch_progress(batch, videos)
    return {
        "id": public_id(batch.pk, "batch"),
        "object": "video_batch",
        "kind": batch.kind,
        "status": "completed" if batch.ended_at else "in_progress",
        "total": batch.total,
        "completed": progress.completed,
        "failed": progress.failed,
        "progress": progress.percent,
        "credits": batch.credits,
        "max_concurrency": batch.concurrency,
        "created_at": int(batch.created_at.timestamp()),
        "completed_at": int(batch.ended_at.timestamp()) if batch.ended_at else None,
        "data": [video_object(video) for video in videos if video.deleted_at is None],
    }


class FileObject(TypedDict):
    """OpenAI's file object. `status` is always processed: a picture is checked while it is uploaded."""

    id: str
    object: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str


def file_object(upload: Upload) -> FileObject:
    """The file as the API shows it."""
    return {
        "id": public_id(upload.pk, "file"),
        "object": "file",
        "bytes": upload.bytes or 0,
        "created_at": int(upload.created_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "processed",
    }


def without_words(body: str, video_id: str) -> str:
    """The JSON of a stored answer or event, with the prompt and metadata of a deleted video erased."""

    def blank(item: dict[str, object]) -> dict[str, object]:
        return item | {"prompt": "", "metadata": {}} if item.get("id") == video_id else item

    return json.dumps(json.loads(body, object_hook=blank), ensure_ascii=False)


def model_object(model: VideoModel) -> dict[str, object]:
    return {
        "id": model.slug,
        "object": "model",
        "created": 0,
        "owned_by": "aivideo",
        "name": model.name,
        "credits": model.price,
        "prices": [
            {
                "size": row.size or None,
                "seconds": str(row.seconds) if row.seconds else None,
                "quality": row.quality or None,
                "audio": {"on": True, "off": False}.get(row.audio),
                "credits": row.credits,
            }
            for row in model.prices.all()
        ],
        "sizes": model.sizes,
        "seconds": list(map(str, model.lengths)),
        "has_sound": model.has_sound,
        "takes": model.takes,
        "frame_rates": model.frame_rates,
        "qualities": model.qualities,
        "prompt_limit": model.longest_prompt,
        "retires_on": model.retires_on.isoformat() if model.retires_on else None,
    }


def link_end() -> int:
    """When a link made now ends, in Unix seconds: after LINK_SECONDS, rounded up to one of LINK_STEPS steps."""
    step = settings.LINK_SECONDS // LINK_STEPS
    return -(-(int(time.time()) + settings.LINK_SECONDS) // step) * step


def link(video: Video, until: int) -> str:
    """A URL at which the file can be fetched without a key, until this time in Unix seconds."""
    return settings.SITE_URL + reverse("api:link", args=[signer.sign(f"{video.pk.hex}.{until}")])


def resolve_link(token: str) -> UUID | None:
    """The video of a link's token; None if the token is not valid. Raises TimeoutError if it has expired."""
    try:
        pk, until = signer.unsign(token).split(".")
    except (BadSignature, ValueError):
        return None
    if time.time() >= int(until):
        raise TimeoutError
    return UUID(hex=pk)


def _error(video: Video) -> VideoError | None:
    if video.status == Status.CANCELED:
        return {"code": "canceled", "message": _("The video was canceled. Your credits were refunded.")}
    if video.status != Status.FAILED:
        return None
    return {"code": video.error_code, "message": _("%s Your credits were refunded.") % video.reason}
