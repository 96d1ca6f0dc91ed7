"""The simulator as the provider: when its jobs were done, and how to start it with jobs already running."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from django.conf import settings

from bench import rows
from simulator.jobs import Job
from simulator.journal import Journal
from simulator.pictures import Picture

SIZE, SECONDS = "1280x720", "4"


def folder() -> Path:
    return settings.DATA_DIR / "simulator"


def done_times(where: Path) -> dict[str, float]:
    """When the jobs of the simulator with this folder are done: Unix seconds by the provider's id."""
    with closing(sqlite3.connect(f"file:{where / 'jobs.sqlite3'}?mode=ro", uri=True)) as journal:
        return dict(journal.execute("SELECT id, created + duration FROM jobs"))


def jobs_under_way(count: int, render: float, first_done: float, now: float) -> list[Job]:
    """Create running jobs: of `count` jobs that end evenly over `render` seconds from `first_done` on, those accepted
    before `now`.

    Call it before the simulator starts, which then continues with them.
    """
    width, height = map(int, SIZE.split("x"))
    picture = Picture(rows.PROMPT, int(SECONDS), width, height).name
    dones = (first_done + render * number / count for number in range(count))
    jobs = [
        Job(
            number=number,
            id=f"video_{number:048x}",
            prompt=rows.PROMPT,
            model="sora-2",
            seconds=SECONDS,
            size=SIZE,
            faults=frozenset(),
            picture=picture,
            reference="",
            remixed_from=None,
            created=done - render,
            duration=render,
            submit_key=None,
            body_hash="",
        )
        for number, done in enumerate(dones, 1)
        if done - render < now
    ]
    asyncio.run(_write(jobs))
    return jobs


async def _write(jobs: list[Job]) -> None:
    folder().mkdir(exist_ok=True)
    journal = Journal(folder() / "jobs.sqlite3")
    await asyncio.gather(*(journal.add(job) for job in jobs))
    await journal.close()
