"""What the worker costs while it is idle."""

import time
from collections.abc import Iterator
from typing import Any

from bench import measure, servers
from bench.report import line, say


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
