"""Videos that are ready, with files in storage that nobody painted."""

from datetime import timedelta

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from tests.support.fixtures import order
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.providers.base import JobState

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


def completed(user, prompt="A kite", **fields):
    """A video whose files are in storage."""
    return complete(order(user, prompt, **fields))


def complete(video):
    """Carry a queued video to its end."""
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="completed"))
    lifecycle.finish(video)
    lifecycle.complete(
        video,
        {
            "file": default_storage.save("videos/x.mp4", ContentFile(MP4)),
            "poster": default_storage.save("posters/x.webp", ContentFile(b"RIFF")),
            "bytes": len(MP4),
            "sha256": "ab" * 32,
            "width": 1280,
            "height": 720,
            "duration": 4.0,
        },
    )
    return video


def track_record(user, seconds):
    """Three videos that took so many seconds, which is enough for a track record of the first model."""
    now = timezone.now()
    for _ in range(3):
        video = order(user)
        Video.objects.filter(pk=video.pk).update(
            status=Status.COMPLETED,
            created_at=now - timedelta(seconds=seconds),
            ended_at=now,
            next_attempt_at=None,
            file="videos/x.mp4",
            sha256="ab" * 32,
        )
