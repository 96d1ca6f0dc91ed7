"""Jobs on disk, in SQLite. A job is written by a background thread before its request is answered.

Requests that arrive together share one transaction, so a thousand creates per second need only a few commits.
"""

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

from .extras import Extras
from .jobs import Job

COLUMNS = [field.name for field in fields(Job) if field.name not in ("polls", "downloads")]

SCHEMA = """
    CREATE TABLE IF NOT EXISTS jobs (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, prompt TEXT NOT NULL, model TEXT NOT NULL,
        seconds TEXT NOT NULL, size TEXT NOT NULL, faults TEXT NOT NULL, picture TEXT NOT NULL,
        reference TEXT NOT NULL, remixed_from TEXT, created REAL NOT NULL, duration REAL NOT NULL,
        submit_key TEXT, body_hash TEXT NOT NULL, deleted REAL, extras TEXT NOT NULL DEFAULT '{}'
    );
    CREATE TABLE IF NOT EXISTS announced (number INTEGER PRIMARY KEY)
"""
# Columns added since, for the journal of an older version.
ADDED = {"extras": "TEXT NOT NULL DEFAULT '{}'"}
INSERT = f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Journal:
    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "journal")
        self._database = sqlite3.connect(path, check_same_thread=False)
        # In WAL mode, NORMAL loses nothing if the process is killed, only if the machine loses power.
        self._database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {SCHEMA};")
        existing = {column for _, column, *_ in self._database.execute("PRAGMA table_info(jobs)")}
        for column, kind in ADDED.items():
            if column not in existing:
                self._database.execute(f"ALTER TABLE jobs ADD COLUMN {column} {kind}")
        self._waiting: list[tuple[str, tuple, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def load(self, forget_before: float) -> list[Job]:
        """All jobs in the order of acceptance. Deletes those created before `forget_before`."""
        with self._database:
            self._database.execute("DELETE FROM jobs WHERE created < ?", (forget_before,))
            self._database.execute("DELETE FROM announced WHERE number NOT IN (SELECT number FROM jobs)")
        rows = self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM jobs ORDER BY number")
        return [_job(dict(zip(COLUMNS, row, strict=True))) for row in rows]

    async def add(self, job: Job) -> None:
        """Write the job; returns once it is on disk."""
        row = {name: getattr(job, name) for name in COLUMNS}
        row |= {"faults": " ".join(job.faults), "extras": json.dumps(job.extras.non_defaults)}
        await self._write(INSERT, tuple(row.values()))

    async def mark_deleted(self, job: Job) -> None:
        """Mark the job as deleted. The row stays, because audits of a run need every job that was accepted."""
        await self._write("UPDATE jobs SET deleted = ? WHERE number = ?", (job.deleted, job.number))

    def announced(self) -> set[int]:
        """The numbers of the jobs whose webhooks were delivered."""
        return {number for (number,) in self._database.execute("SELECT number FROM announced")}

    async def mark_announced(self, job: Job) -> None:
        await self._write("INSERT OR IGNORE INTO announced VALUES (?)", (job.number,))

    async def settle(self) -> None:
        """Wait until all earlier writes are on disk."""
        await self._write("SELECT 1", ())

    async def close(self) -> None:
        await self.settle()
        self._thread.shutdown()
        self._database.close()

    async def _write(self, sql: str, values: tuple) -> None:
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((sql, values, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        # A client that disconnects must not cancel a transaction that it shares with others.
        await asyncio.shield(written)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            problem: BaseException | None = None
            try:
                await loop.run_in_executor(self._thread, self._commit, [row[:2] for row in batch])
            except sqlite3.Error as error:  # such as a full disk: passed on to all who wait
                problem = error
            for _, _, written in batch:
                if written.cancelled():
                    continue
                if problem:
                    written.set_exception(problem)
                else:
                    written.set_result(None)

    def _commit(self, statements: list[tuple[str, tuple]]) -> None:
        with self._database:
            for sql, values in statements:
                self._database.execute(sql, values)


def _job(row: dict) -> Job:
    extras = Extras(**json.loads(row["extras"]))
    return Job(**row | {"faults": frozenset(row["faults"].split()), "extras": extras})
