"""The sprite sheet of a video: ten frames in one JPEG, for scrubbing and previews.

Few clients ask for one, so it is made on first request and then kept beside the video's file. Although
the file was checked after its download, it is decoded in a child process with a timeout.
"""

import subprocess
import sys
import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

from videos.media import storage
from videos.thread_budget import Busy, SlowCalls

COLUMNS, ROWS = 5, 2
WIDTH = 320  # pixels of each frame; the height follows from the aspect ratio
SECONDS = 30  # timeout of the decoding
FOLDER = Path(__file__).parents[2]

# Concurrent requests must not run as many decoders.
_sheets = SlowCalls(at_once=1, wait=3)


class NoSheet(Exception):
    """The sprite sheet cannot be made now. The text is for the log."""


def name_of(file: str) -> str:
    """The storage name of a stored file's sprite sheet: as hard to guess as the file's own."""
    return f"sprites/{Path(file).stem}.jpg"


def of(file: str) -> str:
    """The storage name of a file's sprite sheet, making it first if necessary. Raises NoSheet."""
    name = name_of(file)
    if default_storage.exists(name):
        return name
    try:
        with _sheets.turn():
            # A request that had to wait may find its sheet already made.
            if not default_storage.exists(name):
                default_storage.save(name, ContentFile(_make(file)))
    except Busy as error:
        raise NoSheet("other sheets are being made") from error
    return name


def _make(file: str) -> bytes:
    if isinstance(default_storage, FileSystemStorage):
        return _decode(Path(default_storage.path(file)))
    part = settings.DATA_DIR / "parts" / f"{uuid.uuid4().hex}.part"
    try:
        storage.fetch(file, part)
        return _decode(part)
    finally:
        part.unlink(missing_ok=True)


def _decode(path: Path) -> bytes:
    command = [
        sys.executable,
        "-m",
        "videos.media.inspection",
        str(path),
        str(COLUMNS),
        str(ROWS),
        str(WIDTH),
    ]
    try:
        child = subprocess.run(command, cwd=FOLDER, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NoSheet(f"decoding takes more than {SECONDS} s") from None
    if child.returncode:
        raise NoSheet(child.stderr.decode(errors="replace")[-500:])
    return child.stdout
