"""A clock that jumps for all processes of an installation at once, while monotonic time goes on as it is.

Not libfaketime: it is not installed everywhere, and it also bends the absolute deadlines that Python's semaphores wait
for, so that a queue would stand still for a reason that no real jump has. What is bent here is all that the product
asks for the time of day: `timezone.now`, `time.time`, and SQLite's own `'NOW'`. A PostgreSQL server keeps its own time,
as one on another machine does.
"""

import functools
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

LOOK = 0.2  # seconds between two looks at the file

file: Path  # holds the seconds by which this process's clock is wrong, if it is there

_now, _time = timezone.now, time.time
_looked, _seconds = 0.0, 0.0


def offset() -> float:
    global _looked, _seconds
    if time.monotonic() - _looked > LOOK:
        _looked = time.monotonic()
        try:
            _seconds = float(file.read_text() or 0)
        except FileNotFoundError:
            _seconds = 0.0
    return _seconds


def bend(by: Path) -> None:
    """From here on this process's clock is wrong by what the file `by` says."""
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
