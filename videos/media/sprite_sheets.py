"""The sprite sheet of a video: ten moments of it in one JPEG, for whoever scrubs or looks it over.

Few ask for one, so it is made when somebody does, and kept beside the video's file. The file was
checked when it came, and is decoded in a child process all the same, with little time.
"""

import subprocess
import sys
import threading
import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

from videos.media import storage

COLUMNS, ROWS = 5, 2
WIDTH = 320  # pixels of each picture; its height follows from the shape
SECONDS = 30
FOLDER = Path(__file__).parents[2]

# Many who ask at once must not have as many decoders run.
_one_at_a_time = threading.Lock()


class NoSheet(Exception):
    """The sheet cannot be made now. The text is for the log."""


def name_of(file: str) -> str:
    """Where the sheet of a stored file lies: as hard to guess as the file itself."""
    return f"sprites/{Path(file).stem}.jpg"


def of(file: str) -> str:
    """The stored name of a file's sheet, which is made if it is not there yet. Raises NoSheet."""
    name = name_of(file)
    if default_storage.exists(name):
        return name
    if not _one_at_a_time.acquire(timeout=SECONDS):
        raise NoSheet("others are being made")
    try:
        if not default_storage.exists(name):
            default_storage.save(name, ContentFile(_made(file)))
    finally:
        _one_at_a_time.release()
    return name


def _made(file: str) -> bytes:
    if isinstance(default_storage, FileSystemStorage):
        return _decoded(Path(default_storage.path(file)))
    part = settings.DATA_DIR / "parts" / f"{uuid.uuid4().hex}.part"
    try:
        storage.fetch(file, part)
        return _decoded(part)
    finally:
        part.unlink(missing_ok=True)


def _decoded(path: Path) -> bytes:
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
