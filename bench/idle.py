"""What the worker costs while it is idle: CPU, and memory after it has made videos."""

import time
from collections.abc import Iterator
from typing import Any

from bench import measure, rows, servers
from bench.report import line, say
from videos import queue
from videos.models import Video


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    seconds = 1 if tiny else 30
    shares = {}
    for name, command in (("worker", "videoworker"), ("bare cluster", "qcluster")):
        with servers.managed(command) as process:
            time.sleep(0.5 if tiny else 5)  # to start and warm up
            say(f"{seconds} s of an idle {name}: {len(measure.family(process.pid))} processes")
            before = measure.family_cpu(process.pid)
            time.sleep(seconds)
            shares[name] = 100 * (measure.family_cpu(process.pid) - before) / seconds
    yield line(
        "idle",
        shares["worker"],
        "% of a core",
        ratio=shares["worker"] / shares["bare cluster"] if shares["bare cluster"] else None,
        against="a django-q2 cluster with the same settings, without the supervisor",
        n=seconds,
        target="<= 1.5 %",
        met=shares["worker"] <= 1.5,
        bare_cluster=shares["bare cluster"],
    )


def memory(tiny: bool) -> Iterator[dict[str, Any]]:
    count = 2 if tiny else 30
    with servers.simulator(1), servers.managed("videoworker") as worker:
        say(f"{count} videos, then an idle worker")
        rows.orders(rows.people(10), count)
        queue.wake_any()
        measure.wait_until(lambda: not Video.objects.live().exists())
        if not tiny:
            time.sleep(20)  # the decoder has ended
        family = measure.family(worker.pid)
        used = sum(map(measure.memory, family)) / 2**20
    rows.verify()
    yield line(
        "worker_memory",
        used,
        "MB of all processes of a worker",
        n=count,
        target="<= 260 MB",
        met=used <= 260,
        processes=len(family),
    )
