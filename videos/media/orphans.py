"""Stored files that no row names: what a worker leaves behind that dies between storing a file and `completed`.

A file may be there before its row names it, so only what is older than a day counts; and the files are
listed first and the rows read after them, so that whatever is named meanwhile is safe. The list lies on
the disk: a million names take no memory, and each table is read once.
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
CHUNK = 2000  # names from the database at a time

# More than this of all files, and more than so many: that is no accident of a worker, but another database.
MAX_SHARE, MAX_FILES = 0.1, 100


class TooManyStrays(Exception):
    """So many files without a row that this is rather the wrong bucket or the wrong database. The text is for staff."""


def sweep(*, however_many: bool = False) -> int:
    """Delete every stray file; returns how many. Harmless at any time, any number of times, also when cut off.

    Raises TooManyStrays, and deletes nothing then, unless `however_many`. Raises OSError when the storage is away.
    """
    with _list() as names:
        files = _note_old_files(names)
        _strike_out_named_ones(names)
        (count,) = names.execute("SELECT count(*) FROM names").fetchone()
        if count > MAX_FILES and count > MAX_SHARE * files and not however_many:
            raise TooManyStrays(
                f"{count} of {files} files are named by no row, which looks like the wrong bucket or database."
                " Nothing is removed. See `manage.py sweep_files --dry-run`."
            )
        for (name,) in names.execute("SELECT name FROM names"):
            storage.discard(name)
    log.log(logging.WARNING if count else logging.INFO, "%d stray files are removed", count)
    return count


def strays() -> Iterator[str]:
    """The names of all stray files. Raises OSError when the storage is away."""
    with _list() as names:
        _note_old_files(names)
        _strike_out_named_ones(names)
        for (name,) in names.execute("SELECT name FROM names"):
            yield name


@contextmanager
def _list() -> Iterator[sqlite3.Connection]:
    """An empty list of names in a file of its own, gone in the end."""
    with (
        TemporaryDirectory(dir=settings.DATA_DIR) as folder,
        closing(sqlite3.connect(os.path.join(folder, "names"))) as names,
    ):
        names.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        names.execute("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        yield names


def _note_old_files(names: sqlite3.Connection) -> int:
    """Put every old file of the storage on the list; returns how many there are."""
    before = timezone.now() - OLD
    # An object store lists its files itself.
    files = getattr(default_storage, "files", _local_files)
    for folder in FOLDERS:
        old = ((name,) for name, stored_at in files(folder) if stored_at < before)
        names.executemany("INSERT OR IGNORE INTO names VALUES (?)", old)
    return names.execute("SELECT count(*) FROM names").fetchone()[0]


def _strike_out_named_ones(names: sqlite3.Connection) -> None:
    for model, column in ((Video, "file"), (Video, "poster"), (Upload, "file")):
        named = model._default_manager.exclude(**{column: ""}).values_list(column)
        names.executemany("DELETE FROM names WHERE name = ?", named.iterator(CHUNK))
    files = Video.objects.exclude(file="").values_list("file", flat=True)
    sheets = ((sprite_sheets.name_of(file),) for file in files.iterator(CHUNK))
    names.executemany("DELETE FROM names WHERE name = ?", sheets)


def _local_files(folder: str) -> Iterator[tuple[str, datetime]]:
    # A million names at once would be too many, and `listdir` knows no other way.
    with suppress(FileNotFoundError), os.scandir(default_storage.path(folder)) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # somebody deleted it meanwhile
                if entry.is_file(follow_symlinks=False):
                    yield folder + entry.name, datetime.fromtimestamp(entry.stat().st_mtime, UTC)
