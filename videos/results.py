"""The file of a finished video: brought home, checked, stored, and in the end thrown away."""

import os
import uuid
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

from videos import media
from videos.providers.base import NoFile, Provider

MOST_BYTES = 2 * 1024**3  # of one video


async def download(provider: Provider, ref: str, part: Path) -> None:
    """Stream the finished MP4 into `part`. Raises Unavailable or NoFile."""
    part.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with part.open("wb") as file:
        async for piece in provider.download(ref):
            size += len(piece)
            if size > MOST_BYTES:
                raise NoFile(f"more than {MOST_BYTES} bytes")
            file.write(piece)


def store(part: Path) -> dict[str, Any]:
    """Check the downloaded file and move it into storage under a name that nobody can guess."""
    facts = media.probe(part)
    poster = media.poster(part)
    name = uuid.uuid4().hex
    with part.open("rb") as file:
        stored = default_storage.save(f"videos/{name}.mp4", File(file))
    stored_poster = default_storage.save(f"posters/{name}.webp", ContentFile(poster))
    _sync(stored, stored_poster)
    return {
        "file": stored,
        "poster": stored_poster,
        "bytes": facts.size,
        "sha256": facts.sha256,
        "width": facts.width,
        "height": facts.height,
        "duration": facts.seconds,
    }


def _sync(*names: str) -> None:
    """Bring stored files to the disk: `completed` must not be there before them."""
    if not isinstance(default_storage, FileSystemStorage):
        return  # an object store answers when it is safe
    for name in names:
        path = Path(default_storage.path(name))
        for what in (path, path.parent):
            descriptor = os.open(what, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def discard(*names: str) -> None:
    """Remove stored files; one that is gone already is no mistake."""
    for name in names:
        default_storage.delete(name)
