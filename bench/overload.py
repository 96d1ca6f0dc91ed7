"""More orders than the provider can make: what is bought is paid, and whoever cannot be served is told at once.

`OVERLOAD_SECONDS=900` orders for so long.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle
from typing import Any

from django.conf import settings

from accounts.models import User
from bench import measure, provider, rows, servers
from bench.report import line, say
from videos import queue
from videos.catalogue import availability
from videos.catalogue.routing import Overloaded
from videos.generation import ordering, purchases
from videos.models import Channel, Video
from videos.order import VideoOrder

# Seconds. The deadline is shorter than the wait that a patient order may have, so that a wait that counted would use it up.
RENDER, DEADLINE, PATIENCE = 5, 20, 40
AT_ONCE = 5  # jobs that the provider's account may run: one order a second is all that it can make
SECONDS = int(os.environ.get("OVERLOAD_SECONDS", "180"))


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    users = rows.people(100)
    for name, factor in (("overload_1.5", 1.5), ("overload_3", 3.0)):
        yield _overload(name, factor, 3 if tiny else SECONDS, users)


def _overload(name: str, factor: float, seconds: int, users: list[User]) -> dict[str, Any]:
    """One run in which `factor` times as much is ordered as can be made."""
    Channel.objects.filter(slug="simulator").update(max_running=AT_ONCE)
    settings.JOB_DEADLINE_SECONDS, settings.QUEUE_PATIENCE_SECONDS = DEADLINE, PATIENCE
    env = {"JOB_DEADLINE_SECONDS": str(DEADLINE), "QUEUE_PATIENCE_SECONDS": str(PATIENCE)}
    before, sold_before = list(Video.objects.values_list("pk", flat=True)), _sold()
    counts: Counter[str] = Counter()
    say(f"{factor} orders for each that can be made, for {seconds} s")
    with servers.simulator(RENDER), servers.managed("videoworker", **env):
        model = availability.models().first()
        assert model is not None
        due, end = time.monotonic(), time.monotonic() + seconds
        for user in cycle(users):
            due += RENDER / AT_ONCE / factor
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > end:
                break
            try:
                ordering.place(
                    user, VideoOrder(model=model, prompt=rows.PROMPT, size=provider.SIZE, seconds=4)
                )
            except Overloaded:
                counts["refused"] += 1
            else:
                counts["placed"] += 1
        queue.wake_any()
        measure.wait_until(lambda: not Video.objects.live().exists())
        (found,) = purchases.check(settling=timedelta(0))
    rows.verify()
    made = Video.objects.exclude(pk__in=before)
    sold = _sold() - sold_before
    share = 100 * made.paid_for().count() / sold if sold else 0.0
    return line(
        name,
        share,
        "% of purchases paid",
        n=sold,
        target=">= 95 %",
        met=share >= 95 and not found.is_wrong,
        placed=counts["placed"],
        refused=counts["refused"],
        not_started=made.filter(error_code="not_started").count(),
        given_away=made.given_away().count(),
        unknown=found.unknown,
    )


def _sold() -> int:
    """How many jobs the provider has accepted, by its own journal."""
    if not (provider.folder() / "jobs.sqlite3").exists():
        return 0
    return len(provider.done_times(provider.folder()))
