"""What programs see of our rows: OpenAI's video object, and the lists and catalogue around it."""

import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from videos.event_log import public_id
from videos.models import Batch, Status, Video, VideoModel
from videos.providers.base import aspect_ratio, resolution

# Outwards there are OpenAI's four words.
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
# Seconds. A link lives between the two: so that what is answered changes once a minute, and not each time.
LINK_LASTS, LINK_STEP = 300, 60

signer = Signer(salt="videos.api.link")


# What is read to show one video: put together by hand for the same reason as standing.ON_CARD.
SHOWN = """
    SELECT v.id, v.user_id, v.status, v.progress, v.created_at, v.ended_at, v.prompt, v.size, v.seconds,
        v.remixed_from_id, v.error_code, v.credits, v.metadata, v.moves, v.attempts, v.next_at, v.channel_id,
        v.accepted_at, v.file, v.poster, v.sha256, v.model_id, m.slug AS model_slug, m.name AS model_name
    FROM videos_video AS v JOIN videos_videomodel AS m ON m.id = v.model_id
    WHERE v.id = %s AND v.user_id = %s AND v.deleted_at IS NULL
"""


def shown(pk: UUID, user: User) -> Video | None:
    """The user's video, as far as `video_object` shows it; other fields are read when they are asked for."""
    key = Video._meta.pk.get_db_prep_value(pk, connection)
    for video in Video.objects.raw(SHOWN, [key, user.pk]):
        facts = [video.model_id, video.model_slug, video.model_name]  # type: ignore[attr-defined]
        video.model = VideoModel.from_db(video._state.db, ["id", "slug", "name"], facts)
        return video
    return None


def uuid_of(name: str, kind: str = "video") -> UUID | None:
    """The key of the row that a public id names; None for what is no id of ours."""
    try:
        pk = UUID(hex=name.removeprefix(f"{kind}_"))
    except ValueError:
        return None
    return pk if name == public_id(pk, kind) else None


def video_object(video: Video) -> dict[str, Any]:
    """The video as programs see it. Reads `video.model`."""
    is_done = video.status == Status.COMPLETED
    return {
        "id": public_id(video.pk),
        "object": "video",
        "model": video.model.slug,
        "status": WORDS[Status(video.status)],
        "progress": video.progress,
        "created_at": int(video.created_at.timestamp()),
        "completed_at": int(video.ended_at.timestamp()) if is_done and video.ended_at else None,
        "expires_at": None,
        "prompt": video.prompt,
        "size": video.size,
        "seconds": str(video.seconds),
        "remixed_from_video_id": public_id(video.remixed_from_id) if video.remixed_from_id else None,
        "error": _error(video),
        "credits": video.credits,
        "metadata": video.metadata,
        "url": link(video) if is_done else None,
        "duration": video.seconds,
        "resolution": resolution(*video.wanted_size),
        "aspect_ratio": aspect_ratio(*video.wanted_size),
    }


@dataclass(frozen=True)
class BatchProgress:
    """How many videos of a batch are done, and how far all of them are together, in per cent."""

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


def batch_object(batch: Batch) -> dict[str, Any]:
    """The batch as programs see it, with its videos in their order."""
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


def without_words(body: str, video_id: str) -> str:
    """The JSON of an answer or an event that is kept, without the words of a video that its owner deleted."""

    def blank(found: dict[str, Any]) -> dict[str, Any]:
        return found | {"prompt": "", "metadata": {}} if found.get("id") == video_id else found

    return json.dumps(json.loads(body, object_hook=blank), ensure_ascii=False)


def model_object(model: VideoModel) -> dict[str, Any]:
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


def link(video: Video) -> str:
    """Where the file can be fetched without a key, for LINK_LASTS seconds at most."""
    until = (int(time.time()) // LINK_STEP + LINK_LASTS // LINK_STEP) * LINK_STEP
    return settings.SITE_URL + reverse("api:file", args=[signer.sign(f"{video.pk.hex}.{until}")])


def linked(token: str) -> UUID | None:
    """The video that a link names; None where the link was never given. Raises TimeoutError when it is over."""
    try:
        pk, until = signer.unsign(token).split(".")
    except (BadSignature, ValueError):
        return None
    if time.time() >= int(until):
        raise TimeoutError
    return UUID(hex=pk)


def _error(video: Video) -> dict[str, str] | None:
    if video.status == Status.CANCELED:
        return {"code": "canceled", "message": _("It was canceled. Its credits were returned.")}
    if video.status != Status.FAILED:
        return None
    return {"code": video.error_code, "message": _("%s Its credits were returned.") % video.reason}
