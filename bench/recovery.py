"""How long videos make no progress when the dispatcher's process is killed, and when the whole cluster hangs."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from bench import measure, rows, servers
from bench.report import line, say
from videos import queue
from videos.models import Video

CHECK_INTERVAL = 0.1  # seconds
TIMEOUT_SECONDS = 120


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    # Renders long enough that none ends in the meantime, and short enough that each poll shows progress.
    count, calm, render = (10, 3, 60) if tiny else (200, 10, 150)
    videos = {video.pk for video in rows.orders(rows.people(100), count)}
    with servers.simulator(render) as port, servers.managed("videoworker") as worker:
        queue.wake_any()
        measure.wait_until(lambda: Video.objects.filter(progress__gt=0).count() == count)

        def kill_the_dispatcher() -> None:
            # Between two runs of the dispatcher, no process is connected.
            while not (dispatchers := measure.connected_to(port, measure.family(worker.pid))):
                time.sleep(CHECK_INTERVAL)
            for pid in dispatchers:
                os.kill(pid, signal.SIGKILL)

        def stop_the_cluster() -> None:
            for pid in measure.family(worker.pid)[1:]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)

        cases: list[tuple[str, str, Callable[[], None], float]] = [
            ("recovery_killed_pump", "the dispatcher's process was killed", kill_the_dispatcher, 10),
            ("recovery_hung_cluster", "every process of the cluster was stopped", stop_the_cluster, 25),
        ]
        for name, event, harm, limit in cases:
            say(f"{calm} s undisturbed, then {event}")
            usually = max(_pauses(videos, calm))
            # The worst moment: all videos have just been claimed.
            Video.objects.update(next_attempt_at=Now())
            measure.wait_until(lambda: not Video.objects.filter(next_attempt_at__lte=Now()).exists())
            harm()
            moved = _until_all_move(videos)
            yield line(
                name,
                moved[-1],
                "s",
                ratio=moved[-1] / usually if usually else None,
                against="the longest pause of a video before the failure",
                n=count,
                target=f"<= {limit} s",
                met=moved[-1] <= limit,
                first=moved[0],
                p50=measure.percentile(moved, 50),
                pause_before=usually,
            )
    rows.verify()


def _pauses(videos: set[UUID], seconds: float) -> list[float]:
    """The longest time without progress of each video, while nothing is wrong."""
    end = time.monotonic() + seconds
    since = dict.fromkeys(videos, time.monotonic())
    longest = dict.fromkeys(videos, 0.0)
    for moved in _moves():
        now = time.monotonic()
        for pk in moved:
            longest[pk], since[pk] = max(longest[pk], now - since[pk]), now
        if now > end:
            return list(longest.values())
    raise AssertionError


def _until_all_move(videos: set[UUID]) -> list[float]:
    """Wait until every video has made progress again; returns the seconds that each was stalled, ascending.

    All count as stalled from now on, since the rows do not say when their dispatcher would have polled them next.
    """
    began = time.time()
    since = dict.fromkeys(videos, began)
    seconds: list[float] = []
    for moved in _moves():
        now = time.time()
        seconds += [max(0.0, now - since.pop(pk)) for pk in moved if pk in since]
        if not since:
            return sorted(seconds)
        if now - began > TIMEOUT_SECONDS:
            raise AssertionError(
                f"{len(since)} of {len(videos)} videos are stalled after {TIMEOUT_SECONDS} s"
            )
    raise AssertionError


def _moves() -> Iterator[set[UUID]]:
    """Check periodically, and yield the videos that have made progress since the last check."""
    before = dict(Video.objects.values_list("pk", "progress"))
    while True:
        time.sleep(CHECK_INTERVAL)
        now = dict(Video.objects.values_list("pk", "progress"))
        yield {pk for pk in now if now[pk] != before[pk]}
        before = now
