"""Thousands of concurrent videos: throughput, the lag until completion is noticed, and the worker's cost.

`burst_*`: all are ordered at the same moment, with renders of 10 s, compared with the usual design (see `baseline`).
`polling_*` and `webhooks_*`: a steady state with the named number in flight, in which as many are ordered as end.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

from django.conf import settings
from django.db import connection

from accounts.models import User
from bench import baseline, measure, provider, rows, servers
from bench.report import line, say
from simulator.jobs import Job
from videos import queue
from videos.catalogue import availability
from videos.generation import ordering
from videos.models import Channel, Status, Video
from videos.order import VideoOrder

PEOPLE = 100
BURST_RENDER = 10  # seconds
SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIGJlbmNo"


def burst_1000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _burst("pump_vs_usual", 20 if tiny else 1_000, tiny)


def burst_10000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _burst("pump_vs_usual_10000", 20 if tiny else 10_000, tiny)


def _burst(name: str, count: int, tiny: bool) -> Iterator[dict[str, Any]]:
    """Videos per minute, from order until they can be watched. Posters may be deferred."""
    render, rounds = (1, 1) if tiny else (BURST_RENDER, 3)
    users = rows.people(PEOPLE)
    with _usual(render) as made:
        baseline.take(made, baseline.WORKERS)  # warm-up
        began = time.time()
        baseline.take(made, rounds * baseline.WORKERS)
        usual_rate = 60 * rounds * baseline.WORKERS / (time.time() - began)
    say(f"the usual design makes {usual_rate:.1f} videos per minute")

    with servers.simulator(render), servers.managed("videoworker") as worker:
        time.sleep(3)  # to start and warm up
        before = measure.family_cpu(worker.pid)
        began = time.time()
        rows.orders(users, count)
        queue.wake_any()
        measure.wait_until(lambda: not Video.objects.live().exists())
        took = time.time() - began
        cpu = measure.family_cpu(worker.pid) - before
    say(f"{count:,} videos took {took:.1f} s")
    rows.verify()

    rate = 60 * count / took
    lags = _lags(provider.done_times(provider.folder()), Video.objects.all())
    yield line(
        name,
        rate,
        "videos/min",
        ratio=rate / usual_rate,
        against=f"a worker process occupied by each video: {baseline.WORKERS} workers, their steady rate over"
        f" {rounds * baseline.WORKERS} videos",
        n=count,
        target="ratio >= 100" if count == 1_000 else "",
        met=rate / usual_rate >= 100,
        usual=usual_rate,
        render=render,
        lag_p50=measure.percentile(lags, 50),
        lag_p95=measure.percentile(lags, 95),
        cpu_ms=1000 * cpu / count,
        posters_put_off=Video.objects.filter(poster="").count(),
    )


def polling_1000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _steady("lag_1000_polling", "pump_cpu_polling", *((20, 3) if tiny else (1_000, 60)), tiny=tiny)


def polling_10000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _steady("lag_10000_polling", "pump_memory", *((20, 3) if tiny else (10_000, 600)), tiny=tiny)


def webhooks_1000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _steady(
        "lag_1000_webhooks", "pump_cpu_webhooks", *((20, 3) if tiny else (1_000, 60)), tiny=tiny
    )


def webhooks_10000(tiny: bool) -> Iterator[dict[str, Any]]:
    yield from _steady("lag_10000_webhooks", "", *((20, 3) if tiny else (10_000, 600)), tiny=tiny)


def _steady(name: str, costs: str, in_flight: int, render: int, *, tiny: bool) -> Iterator[dict[str, Any]]:
    """Yields the line `name` about the lag, and the line `costs` about the cost. `render` is in seconds."""
    warm_up, window = (4, 3) if tiny else (15, 30)
    webhooks = name.endswith("webhooks")
    env = {"SIMULATOR_WEBHOOK_URL": f"{settings.SITE_URL}/webhooks/openai/", "OPENAI_WEBHOOK_SECRET": SECRET}
    if webhooks:
        Channel.objects.filter(slug="simulator").update(sends_webhooks=True)
    users = rows.people(PEOPLE)
    begin = time.time() + 2 + in_flight / 1500  # the rows are written by then
    jobs = provider.jobs_under_way(in_flight, render, first_done=begin + warm_up / 2, now=begin)
    rows.orders(users, len(jobs), each=partial(_under_way, jobs, begin))
    say(f"{len(jobs):,} videos are in flight, {in_flight / render:.1f} are ordered and end per second")

    with ExitStack() as stack:
        if webhooks:
            stack.enter_context(servers.web(**env))
        stack.enter_context(servers.simulator(render, **(env if webhooks else {})))
        made = stack.enter_context(_usual(1 if tiny else BURST_RENDER))
        worker = stack.enter_context(servers.managed("videoworker", **(env if webhooks else {})))
        stack.enter_context(_ordering(users, every=render / in_flight))
        time.sleep(max(0.0, begin + warm_up - time.time()))
        start, cpu, pump_cpu = time.time(), measure.family_cpu(worker.pid), _without_decoder(worker.pid)
        time.sleep(window)
        end, cpu = time.time(), measure.family_cpu(worker.pid) - cpu
        pump_cpu = _without_decoder(worker.pid) - pump_cpu
        completions = Video.objects.filter(ended_at__range=(_at(start), _at(end))).count()
        memory = max(map(measure.peak_memory, measure.family(worker.pid)))
        usually = [made.get() for _ in range(baseline.WORKERS)]
        done = {ref: at for ref, at in provider.done_times(provider.folder()).items() if start <= at < end}
        videos = Video.objects.filter(ref__in=list(done))
        measure.wait_until(lambda: not videos.live().exists())
    rows.verify()

    lags = _lags(done, videos)
    done_usually = provider.done_times(settings.DATA_DIR / "usual")
    lags_usually = [one.at - done_usually[one.ref] for one in usually]
    p95 = measure.percentile(lags, 95)
    yield line(
        name,
        p95,
        "s (p95)",
        ratio=p95 / measure.percentile(lags_usually, 95),
        against=f"a worker occupied by each video that polls once per second: {baseline.WORKERS} videos at a time",
        n=len(lags),
        p50=measure.percentile(lags, 50),
        p99=measure.percentile(lags, 99),
        render=render,
    )
    each, usually_each = pump_cpu / completions, median(one.cpu for one in usually)
    if costs == "pump_memory":
        yield line(
            costs,
            memory / in_flight / 1024,
            "KiB/video",
            ratio=memory / in_flight / median(one.peak_memory for one in usually),
            against="the peak of a worker occupied by one video",
            n=in_flight,
            peak_mib=memory / 2**20,
        )
    elif costs:
        yield line(
            costs,
            1000 * each,
            "ms/video",
            ratio=each / usually_each,
            against=f"a worker occupied by each video, with renders of {BURST_RENDER} s instead of {render} s",
            n=completions,
            with_decoder=1000 * cpu / completions,
            worker_cores=cpu / (end - start),
        )


def _without_decoder(worker: int) -> float:
    """CPU seconds of a worker's processes except the picture decoder, which has its own limit."""
    mine = [
        pid
        for pid in measure.family(worker)
        if b"videos.media.decoder" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return measure.own_cpu(mine)


def _under_way(jobs: list[Job], now: float, number: int) -> dict[str, Any]:
    """The fields of a video that a dispatcher has been working on until `now` (Unix seconds)."""
    job = jobs[number]
    age = max(0.0, now - job.created)
    pause = min(max(0.1 * age, 2), 15)
    return {
        "status": Status.IN_PROGRESS,
        "ref": job.id,
        "progress": min(99, int(100 * age / job.duration)),
        "created_at": _at(job.created - 1),
        "posted_at": _at(job.created - 1),
        "accepted_at": _at(job.created),
        "next_attempt_at": _at(now + pause * random.random()),
    }


@contextmanager
def _usual(render: int) -> Iterator[Any]:
    """Run the usual design with its own provider."""
    folder = settings.DATA_DIR / "usual"
    with servers.another_simulator(render, folder) as url, baseline.workers(url, folder) as made:
        yield made


@contextmanager
def _ordering(users: list[User], every: float) -> Iterator[None]:
    """In the background, order a video every `every` seconds."""
    over = Event()

    def keep_ordering() -> None:
        model = availability.models().first()
        assert model is not None
        due = time.monotonic()
        for user in cycle(users):
            due += every
            if over.wait(max(0.0, due - time.monotonic())):
                break
            order = VideoOrder(model=model, prompt=rows.PROMPT, size=provider.SIZE, seconds=4)
            ordering.place(user, order)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        clicks = pool.submit(keep_ordering)
        try:
            yield
        finally:
            over.set()
            clicks.result()


def _lags(done: dict[str, float], videos: Any) -> list[float]:
    """Seconds from completion at the provider to completion here, for each video."""
    states = videos.values_list("ref", "status", "ended_at")
    if wrong := [(ref, status) for ref, status, _ended in states if status != Status.COMPLETED]:
        raise AssertionError(f"{len(wrong)} videos did not complete, such as {wrong[0]}")
    return [ended.timestamp() - done[ref] for ref, _status, ended in states]


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
