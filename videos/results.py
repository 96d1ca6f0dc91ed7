"""The file of a finished video: brought home, checked, stored, and in the end thrown away."""

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

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
        file.flush()
        # `completed` must not reach the disk before the file does.
        await asyncio.to_thread(os.fsync, file.fileno())


def store(part: Path) -> dict[str, Any]:
    """Check the downloaded file and move it into storage under a name that nobody can guess."""
    facts = media.probe(part)
    poster = media.poster(part)
    name = uuid.uuid4().hex
    with part.open("rb") as file:
        stored = default_storage.save(f"videos/{name}.mp4", File(file))
    return {
        "file": stored,
        "poster": default_storage.save(f"posters/{name}.webp", ContentFile(poster)),
        "bytes": facts.size,
        "sha256": facts.sha256,
        "width": facts.width,
        "height": facts.height,
        "duration": facts.seconds,
    }


def discard(*names: str) -> None:
    """Remove stored files; one that is gone already is no mistake."""
    for name in names:
        default_storage.delete(name)
