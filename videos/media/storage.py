"""The files of a finished video: download, store and delete them."""

import logging
import os
import time
import uuid
from pathlib import Path
from typing import TypedDict

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

from videos.media.mp4 import Probe
from videos.providers.base import NoFile, Provider, Unavailable

log = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024**3  # of one video
MIN_RATE = 16 * 1024  # bytes a second, after SLOW_START seconds
SLOW_START = 15


class Stored(TypedDict):
    """The fields of a video that follow from its stored file."""

    file: str
    poster: str
    bytes: int
    sha256: str
    width: int
    height: int
    duration: float


async def download(provider: Provider, ref: str, part: Path) -> None:
    """Stream the finished MP4 into `part`. Raises Unavailable, also for one that trickles, or NoFile."""
    part.parent.mkdir(parents=True, exist_ok=True)
    size, began, first = 0, 0.0, 0  # the time counts from the first piece on: some servers are slow to begin
    with part.open("wb") as file:
        async for piece in provider.download(ref):
            size += len(piece)
            if size > MAX_BYTES:
                raise NoFile(f"more than {MAX_BYTES} bytes")
            file.write(piece)
            if not first:
                began, first = time.monotonic(), size
            took = time.monotonic() - began
            if took > SLOW_START and size - first < took * MIN_RATE:
                raise Unavailable(f"only {size - first} bytes in {took:.0f} s")


def store(part: Path, facts: Probe, poster: bytes) -> Stored:
    """Move a checked file into storage under an unguessable name. `poster` may be empty; it is then made later.

    Returns the resulting fields of the video. Raises OSError if storing fails, such as on a full disk or an
    unavailable object store.
    """
    name = uuid.uuid4().hex
    with part.open("rb") as file:
        stored = default_storage.save(f"videos/{name}.mp4", _Movable(file))
    _sync(stored)
    try:
        stored_poster = store_poster(poster, name) if poster else ""
    except OSError:
        discard(stored)
        raise
    return {
        "file": stored,
        "poster": stored_poster,
        "bytes": facts.size,
        "sha256": facts.sha256,
        "width": facts.width,
        "height": facts.height,
        "duration": facts.seconds,
    }


def store_poster(poster: bytes, name: str) -> str:
    """Store a poster (WebP) and return its stored name."""
    stored = default_storage.save(f"posters/{name}.webp", ContentFile(poster))
    _sync(stored)
    return stored


def fetch(name: str, part: Path) -> None:
    """Copy a stored file to `part`, where the decoder can read it."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with default_storage.open(name, "rb") as stored, part.open("wb") as file:
        for piece in stored.chunks():
            file.write(piece)


def discard(*names: str) -> None:
    """Delete stored files. A missing file is not an error, and one that cannot be deleted is left to the orphan sweep."""
    for name in names:
        try:
            default_storage.delete(name)
        except OSError:
            log.exception("%s could not be deleted; `manage.py sweep_files` will find it", name)


class _Movable(File):
    """A file that FileSystemStorage moves (renames) instead of copying it, if it is on the same disk."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def _sync(name: str) -> None:
    """Flush a stored file to disk: `completed` must not be committed before the file is durable."""
    if not isinstance(default_storage, FileSystemStorage):
        return  # an object store answers once the object is durable
    path = Path(default_storage.path(name))
    for what in (path, path.parent):
        descriptor = os.open(what, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
