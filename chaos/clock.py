"""A wall clock that jumps for all processes of an installation at once, while monotonic time is unaffected.

Not libfaketime: it is not installed everywhere, and it also shifts the absolute deadlines that Python's semaphores
wait for, so that a queue would hang, which no real jump causes. Shifted here is everything that the product reads the
time of day from: `timezone.now`, `time.time` and SQLite's `'NOW'`. A PostgreSQL server keeps its own time, like one on
another machine.
"""

import functools
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

CHECK_INTERVAL = 0.2  # seconds between two reads of the file

file: Path  # if it exists, it holds the offset of this process's clock in seconds

_now, _time = timezone.now, time.time
_read_at, _seconds = 0.0, 0.0


def offset() -> float:
    global _read_at, _seconds
    if time.monotonic() - _read_at > CHECK_INTERVAL:
        _read_at = time.monotonic()
        try:
            _seconds = float(file.read_text() or 0)
        except FileNotFoundError:
            _seconds = 0.0
    return _seconds


def bend(by: Path) -> None:
    """From now on, shift this process's clock by the number of seconds in the file `by`."""
    global file
    file = by

    @functools.wraps(_now)
    def jumping_now() -> datetime:
        return _now() + timedelta(seconds=offset())

    def jumping_time() -> float:
        return _time() + offset()

    def as_sqlite(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW', '{offset():+.3f} seconds')"
        return self.as_sql(compiler, connection, template=template, **context)

    timezone.now = jumping_now
    time.time = jumping_time
    Now.as_sqlite = as_sqlite  # type: ignore[method-assign,assignment]
