"""A cache in a file that all processes of one machine share, for installations without Redis.

Limits are counted in the cache: how many requests a minute, how many wrong passwords or codes. Django's cache in memory
would count them in each process, so that each process of the web server would allow them all once more. Its cache in the
database adds in two steps, and inside the transaction of whoever counts. Here `incr` is one statement in a database of its own.

More than one machine needs Redis anyway: see docs/operating.md.
"""

import os
import pickle
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

TABLE = """
    CREATE TABLE IF NOT EXISTS entries (name TEXT PRIMARY KEY, value, expires_at REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_by_expiry ON entries (expires_at);
"""
# Integers are kept as such, so that SQLite can add to them; whatever else is pickled, as in all of Django's caches.
SET = "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
ADD = f"{SET} WHERE expires_at <= ?"
PATIENCE = 5.0  # seconds for which a statement waits for those of others
NEVER = 1e12  # Unix seconds
SWEEP = 1000  # writes of a process between two removals of what has expired


class FileCache(BaseCache):
    """`LOCATION` is the path of the file."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.path = Path(location)
        self.local = threading.local()
        self.writes = 0

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        query = "SELECT value FROM entries WHERE name = ? AND expires_at > ?"
        row = self._file().execute(query, [self._name(key, version), time.time()]).fetchone()
        return default if row is None else _read(row[0])

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._write(SET, [self._name(key, version), _kept(value), self._expiry(timeout)])

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        row = [self._name(key, version), _kept(value), self._expiry(timeout)]
        return self._write(ADD, [*row, time.time()])

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        query = "UPDATE entries SET expires_at = ? WHERE name = ? AND expires_at > ?"
        return self._write(query, [self._expiry(timeout), self._name(key, version), time.time()])

    def delete(self, key: str, version: int | None = None) -> bool:
        query = "DELETE FROM entries WHERE name = ? AND expires_at > ?"
        return self._write(query, [self._name(key, version), time.time()])

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Add to an integer in one step. Raises ValueError if there is none of that name."""
        query = "UPDATE entries SET value = value + ? WHERE name = ? AND expires_at > ? RETURNING value"
        rows = self._file().execute(query, [delta, self._name(key, version), time.time()]).fetchall()
        if not rows:
            raise ValueError(f"no entry {key!r}")
        return int(rows[0][0])

    def clear(self) -> None:
        self._write("DELETE FROM entries", [])

    def _name(self, key: str, version: int | None) -> str:
        return self.make_and_validate_key(key, version=version)

    def _expiry(self, timeout: Any) -> float:
        """Unix seconds. A timeout of 0 or less has expired at once."""
        at = self.get_backend_timeout(timeout)
        return NEVER if at is None else at

    def _write(self, query: str, values: list[Any]) -> bool:
        """Whether a row was written."""
        done = self._file().execute(query, values).rowcount > 0
        self.writes += 1
        if self.writes % SWEEP == 0:
            self._file().execute("DELETE FROM entries WHERE expires_at <= ?", [time.time()])
        return done

    def _file(self) -> sqlite3.Connection:
        """This thread's connection. A process that was forked opens its own; better, nobody opens one before a fork."""
        if getattr(self.local, "pid", None) != os.getpid():
            self.local.pid, self.local.file = os.getpid(), self._connect()
        return self.local.file  # type: ignore[no-any-return]

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        self._use_wal(file)
        file.execute("PRAGMA synchronous = NORMAL")  # a crash of the whole machine may lose the last counts
        file.executescript(TABLE)
        return file

    def _use_wal(self, file: sqlite3.Connection) -> None:
        """SQLite does not wait by itself for others that open a new file at the same moment."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                file.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


def _kept(value: Any) -> int | bytes:
    is_number = type(value) is int and -(2**63) <= value < 2**63
    return value if is_number else pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _read(value: int | bytes) -> Any:
    return pickle.loads(value) if isinstance(value, bytes) else value
