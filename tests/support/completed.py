"""Videos that are ready, with files in storage that nobody painted."""

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from tests.support.fixtures import order
from videos.generation import lifecycle
from videos.providers.base import JobState

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


def completed(user, prompt="A kite"):
    """A video whose files are in storage."""
    video = order(user, prompt)
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
