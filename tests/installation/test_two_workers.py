"""Workers on two machines, with one database, one broker and one bucket between them and nothing else."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.fixtures import TEST_TIMEOUT, start_simulator
from tests.support.installation import Site
from tests.support.s3 import S3Server

HERE = Path(__file__).parents[2]

ORDER = """
from django.db import transaction
from uuid import uuid4
from accounts import staff_grants
from accounts.models import User
from videos.catalogue import availability
from videos.generation import ordering
from videos.order import VideoOrder
model = availability.models().first()
people = [User.objects.create(username=f"person-{{n}}") for n in range(20)]
for person in people:
    staff_grants.grant(person, 10 * {jobs}, giver=None, reason="tests", form=uuid4())
for n in range({jobs}):
    ordering.place(people[n % 20], VideoOrder(model=model, prompt="A kite", size="1280x720", seconds=4))
"""
REPORT = """
from django.db.models import Count
from django.db.models.functions import Now
from videos.models import *
print(dict(Video.objects.values_list("status").annotate(n=Count("pk")).order_by()))
owners = PumpSlot.objects.filter(until__gt=Now()).exclude(owner="").values_list("owner", flat=True)
print(*(owner.partition("/")[0].partition(":")[2] for owner in owners))
"""


@pytest.mark.skipif(
    not (os.environ.get("DATABASE_URL", "").startswith("postgres") and os.environ.get("REDIS_URL")),
    reason="two machines share a PostgreSQL and a Redis: set DATABASE_URL and REDIS_URL",
)
def test_two_workers_share_the_jobs_and_one_of_them_may_die(tmp_path):
    share(60, tmp_path, [HERE, HERE])


def share(jobs: int, folder: Path, trees: Sequence[Path], patience: float = TEST_TIMEOUT) -> float:
    """Let a worker of each source tree take part in `jobs` videos, and kill one that pumps when a third is on its way.

    Returns the seconds from the first order to the last video.
    """
    site = Site(folder / "site", SIMULATOR_SECONDS="4", USER_RUNNING_VIDEOS="1000000")
    with ExitStack() as stack:
        site.env |= stack.enter_context(S3Server()).settings
        (folder / "site").mkdir()
        stack.enter_context(site.database_of_its_own())
        simulator, url = start_simulator(folder / "simulator", SIMULATOR_SECONDS="4")
        stack.callback(simulator.wait, TEST_TIMEOUT)
        stack.callback(simulator.terminate)
        env = {**site.env, "SIMULATOR_URL": url}
        site.env = env
        workers = [stack.enter_context(worker(tree, folder / str(n), env)) for n, tree in enumerate(trees)]

        began, killed = time.monotonic(), None
        clicks = stack.enter_context(ThreadPoolExecutor(1))
        ordered = clicks.submit(site.manage, "shell", "--no-imports", "-c", ORDER.format(jobs=jobs))
        while True:
            counts, pumping = site.manage("shell", "--no-imports", "-c", REPORT).split("\n")[:2]
            standing = Counter(eval(counts))
            if killed is None and standing.total() - standing["queued"] > jobs // 3 and pumping:
                # As when its machine loses power: nothing can be handed back.
                killed = [str(process.pid) for process in workers].index(pumping.split()[0])
                kill_all_of(folder / str(killed))
            if standing["completed"] == jobs:
                break
            assert time.monotonic() - began < patience, counts
        took = time.monotonic() - began
        ordered.result()

        assert killed is not None
        assert "The ledger is consistent." in site.manage("check_ledger")
        with sqlite3.connect(folder / "simulator" / "jobs.sqlite3") as journal:
            accepted = journal.execute("SELECT count(*), count(DISTINCT submit_key) FROM jobs").fetchone()
        assert accepted == (jobs, jobs)
    return took


@contextmanager
def worker(tree: Path, data_dir: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A `videoworker` of a source tree, with a folder of its own, as on a machine of its own."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "videoworker"], cwd=tree, env={**env, "DATA_DIR": str(data_dir)}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(TEST_TIMEOUT)
        kill_all_of(data_dir)


def kill_all_of(data_dir: Path) -> None:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"DATA_DIR={data_dir}\0" in (entry / "environ").read_text():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
