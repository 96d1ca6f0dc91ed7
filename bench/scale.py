"""1, 2, 4 and 8 dispatchers beside each other, with 100,000 running videos of one cheap provider.

Each dispatcher is a process of its own, as on a machine of its own, and holds its share of the videos. What a poll costs
must not depend on how many they are. How soon a finished render is noticed does: see what bounds it in each line.
`SCALE_SECONDS=60` measures for so long, `SCALE_VIDEOS=100000` makes so many videos.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import User
from bench import measure, rows, servers
from bench.report import line, say
from videos.models import Channel, PumpSlot, Status, Video
from videos.worker import admission

DISPATCHERS = (1,) if rows.SQLITE else (1, 2, 4, 8)
SECONDS = int(os.environ.get("SCALE_SECONDS", "60"))
VIDEOS = int(os.environ.get("SCALE_VIDEOS", "100000"))
PEOPLE, QUEUED = 1000, 10_000
LIMIT, RUNNING_EACH = 10, 8  # of one person: the limit that is the default, and how many run
ENDING = 5  # renders that end in a second
POLL = 15  # seconds between two polls of a job of that age
DISPATCH = "import videos.providers.openai; from videos.worker import dispatcher; dispatcher.run()"


def dispatchers(tiny: bool) -> Iterator[dict[str, Any]]:
    seconds, count = (3, 200) if tiny else (SECONDS, VIDEOS)
    ending = round(ENDING * seconds)
    users = rows.people(20 if tiny else PEOPLE)
    _make_running(users, count)
    say(f"{count:,} videos are running")
    one: dict[str, float] = {}
    with _provider(ending) as port:
        for number in DISPATCHERS:
            found = _measure(port, number, seconds, count, ending)
            one = one or found
            ratio = found["cpu_ms"] / one["cpu_ms"]
            yield line(
                f"scale_{number}",
                found["cpu_ms"],
                "ms of CPU a poll (database and dispatchers)",
                ratio=ratio,
                against="one dispatcher",
                n=round(found.pop("polls")),
                target="<= 1.25 times, no job polled by two",
                met=ratio <= 1.25 and found["by_several"] == 0,
                **found,
                needed_per_s=count / POLL,
            )
            _make_anew()


def choosing(tiny: bool) -> Iterator[dict[str, Any]]:
    """What choosing the next videos costs the database while many wait beside those that run."""
    running, queued, waiting, rounds = (400, 100, 30, 5) if tiny else (VIDEOS, QUEUED, PEOPLE, 20)
    settings.USER_RUNNING_VIDEOS = LIMIT
    users = rows.people(waiting)
    others = running // RUNNING_EACH - waiting
    last = users[-1].pk
    users += User.objects.bulk_create(
        User(id=last + 1 + n, username=f"other-{n}", email=f"other-{n}@example.com") for n in range(others)
    )
    _make_running(users, running)
    rows.orders(users[:waiting], queued)
    channel = Channel.objects.get(slug="simulator")
    channel.max_running = running + 50
    channel.save()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if rows.SQLITE else "VACUUM ANALYZE videos_video")
    assert len(admission._choose(channel, 50)) == 50
    whole = _cost(lambda: admission._choose(channel, 50), rounds)
    counting = _cost(lambda: admission.room_of(channel, timezone.now()), rounds)
    each = max(counting, whole - counting)
    yield line(
        "scale_admission",
        each,
        "ms of the database's CPU, of the costlier query of two, to choose 50",
        n=rounds,
        target="<= 20 ms",
        met=each <= 20,
        both=whole,
        queued=queued,
        running=running,
    )


def _cost(call: Callable[[], Any], rounds: int) -> float:
    """Milliseconds of the database's CPU; on SQLite, of the call."""
    before, began = _database_cpu(), time.perf_counter()
    for _ in range(rounds):
        call()
    took, cpu = time.perf_counter() - began, _database_cpu() - before
    return 1000 * (took if rows.SQLITE else cpu) / rounds


def _make_running(users: list[User], count: int) -> None:
    """Running videos, made by copying one in the database."""
    fields: dict[str, Any] = {"status": Status.IN_PROGRESS, "progress": 40, "accepted_at": timezone.now()}
    (first,) = rows.orders(users[:1], 1, ref=f"video_{0:016x}", next_attempt_at=timezone.now(), **fields)
    rows.copy(
        first,
        count - 1,
        id="lower(hex(randomblob(16)))" if rows.SQLITE else "gen_random_uuid()",
        user_id=f"{users[0].pk} + n %% {len(users)}",
        ref="printf('video_%%016x', n)" if rows.SQLITE else "'video_' || lpad(to_hex(n), 16, '0')",
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if rows.SQLITE else "VACUUM ANALYZE videos_video")


def _make_anew() -> None:
    """All run again, and nobody holds them."""
    PumpSlot.objects.all().delete()
    Video.objects.exclude(ref=None).update(
        status=Status.IN_PROGRESS,
        next_attempt_at=timezone.now(),
        held_by="",
        ended_at=None,
        attempts=0,
        file="",
    )
    if not rows.SQLITE:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE videos_video")


def _measure(port: int, dispatchers: int, seconds: float, count: int, ending: int) -> dict[str, float]:
    with ExitStack() as stack:
        processes = [stack.enter_context(_dispatcher(port, number)) for number in range(dispatchers)]
        measure.wait_until(lambda: PumpSlot.objects.exclude(owner="").count() == dispatchers)
        # All have been polled once, and are held.
        measure.wait_until(lambda: _ask(port, "books")["asked_about"] >= count)
        pids = [process.pid for process in processes]
        before, database = measure.own_cpu(pids), _database_cpu()
        _ask(port, "begin")
        time.sleep(seconds)
        books = _ask(port, "books")
        cpu, database = measure.own_cpu(pids) - before, _database_cpu() - database
        measure.wait_until(lambda: len(_ask(port, "books")["delays"]) >= ending)
        delays = _ask(port, "end")["delays"]
    polls = max(1, books["polls"])
    return {
        "polls": polls,
        "cpu_ms": 1000 * (cpu + database) / polls,
        "database_ms": 1000 * database / polls,
        "polls_per_s": polls / seconds,
        "cores": (cpu + database) / seconds,
        "by_several": books["by_several"],
        "noticed_p50": measure.percentile(delays, 50),
        "noticed_p95": measure.percentile(delays, 95),
    }


@contextmanager
def _provider(ending: int) -> Iterator[int]:
    command = [sys.executable, "-m", "bench.cheap_provider", str(ending), str(ending / ENDING)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _dispatcher(port: int, number: int) -> Any:
    env = {
        "AIVIDEO_WORKER": f"machine-{number}",
        "SIMULATOR_URL": f"http://127.0.0.1:{port}/{number}/v1",
        "JOB_DEADLINE_SECONDS": "604800",
    }
    manage = str(settings.BASE_DIR / "manage.py")
    return servers.running([sys.executable, manage, "shell", "--no-imports", "-c", DISPATCH], env)


def _ask(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
        books: dict[str, Any] = json.load(answer)
        return books


def _database_cpu() -> float:
    """CPU seconds of the sessions of this database, if its server runs on this machine."""
    if rows.SQLITE:
        return 0.0  # it is part of each dispatcher
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        pids = [pid for (pid,) in cursor.fetchall() if Path(f"/proc/{pid}").exists()]
    return measure.own_cpu(pids)
