"""Orphaned files: stored files that no row refers to, left by a worker that crashed before it committed `completed`.

A file is stored before its row refers to it, so only files older than a day count. The files are listed
before the rows are read, so that a file that gets its row meanwhile is safe. The list of names is kept on
disk: a million names take no memory, and each table is read once.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from videos.media import sprite_sheets, storage
from videos.models import Upload, Video

log = logging.getLogger(__name__)

OLD = timedelta(days=1)
FOLDERS = ("videos/", "posters/", "sprites/", "uploads/", "probe/")  # the last one is a health check's
CHUNK = 2000  # names read from the database at a time

# More orphans than both this share of all files and this number are not a worker's crash but a wrong database.
MAX_SHARE, MAX_FILES = 0.1, 100


class TooManyStrays(Exception):
    """So many orphans that the bucket or the database is probably the wrong one. The text is for staff."""


def sweep(*, however_many: bool = False) -> int:
    """Delete all orphaned files; returns how many. Safe to run at any time, concurrently, and to interrupt.

    If there are suspiciously many, raises TooManyStrays and deletes nothing, unless `however_many`. Raises OSError if
    the storage is unavailable.
    """
    with _name_list() as names:
        files = _add_old_files(names)
        _remove_referenced_files(names)
        (count,) = names.execute("SELECT count(*) FROM names").fetchone()
        if count > MAX_FILES and count > MAX_SHARE * files and not however_many:
            raise TooManyStrays(
                f"No row refers to {count} of {files} files, which looks like the wrong bucket or database."
                " Nothing was deleted. See `manage.py sweep_files --dry-run`."
            )
        for (name,) in names.execute("SELECT name FROM names"):
            storage.discard(name)
    log.log(logging.WARNING if count else logging.INFO, "%d orphaned files deleted", count)
    return count


def strays() -> Iterator[str]:
    """The names of all orphaned files. Raises OSError if the storage is unavailable."""
    with _name_list() as names:
        _add_old_files(names)
        _remove_referenced_files(names)
        for (name,) in names.execute("SELECT name FROM names"):
            yield name


@contextmanager
def _name_list() -> Iterator[sqlite3.Connection]:
    """An empty table of names in a temporary SQLite file."""
    with (
        TemporaryDirectory(dir=settings.DATA_DIR) as folder,
        closing(sqlite3.connect(os.path.join(folder, "names"))) as names,
    ):
        names.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        names.execute("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        yield names


def _add_old_files(names: sqlite3.Connection) -> int:
    """Add every file older than OLD to the list; returns how many there are."""
    before = timezone.now() - OLD
    # ObjectStore can list its files; FileSystemStorage cannot.
    files = getattr(default_storage, "files", _local_files)
    for folder in FOLDERS:
        old = ((name,) for name, stored_at in files(folder) if stored_at < before)
        names.executemany("INSERT OR IGNORE INTO names VALUES (?)", old)
    return names.execute("SELECT count(*) FROM names").fetchone()[0]


def _remove_referenced_files(names: sqlite3.Connection) -> None:
    for model, column in ((Video, "file"), (Video, "poster"), (Upload, "file")):
        referenced = model._default_manager.exclude(**{column: ""}).values_list(column)
        names.executemany("DELETE FROM names WHERE name = ?", referenced.iterator(CHUNK))
    files = Video.objects.exclude(file="").values_list("file", flat=True)
    sheets = ((sprite_sheets.name_of(file),) for file in files.iterator(CHUNK))
    names.executemany("DELETE FROM names WHERE name = ?", sheets)


def _local_files(folder: str) -> Iterator[tuple[str, datetime]]:
    # Not `listdir`, which would load a million names into memory at once.
    with suppress(FileNotFoundError), os.scandir(default_storage.path(folder)) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # deleted meanwhile
                if entry.is_file(follow_symlinks=False):
                    yield folder + entry.name, datetime.fromtimestamp(entry.stat().st_mtime, UTC)
