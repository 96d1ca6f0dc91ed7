"""How much slower a site gets as it grows: pages, ordering and claiming, from a thousand to a million finished videos.

Each size has its own installation and process, `python -m bench.growth COUNT`, which measures one round for each line
that it reads, so that the sizes alternate as well.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench import measure
from bench.report import line, say
from bench.site import BASE_DIR, Site

LIVE = 200  # unfinished videos, at every size
SIZES = (1_000, 100_000, 1_000_000)
TRIES = 5  # per round


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    sizes, rounds = ((10, 100), 1) if tiny else (SIZES, 5)
    with ExitStack() as stack:
        grown = {}
        for size in sizes:
            began = time.monotonic()
            grown[size] = stack.enter_context(Grown(size))
            say(f"{size:,} finished videos were made in {time.monotonic() - began:.0f} s")
        for process in grown.values():
            process.round()  # warm-up
        say(f"{rounds} rounds of {TRIES} tries each")
        answers = measure.alternate(rounds, {str(size): process.round for size, process in grown.items()})

    small, large = str(sizes[0]), str(sizes[-1])
    for name in answers[small][0]:
        times = {size: [answer[name]["ms"] for answer in answers[size]] for size in answers}
        queries = {size: max(answer[name]["queries"] for answer in answers[size]) for size in answers}
        ratio = measure.ratio(times[large], times[small])
        yield line(
            f"growth_{name}",
            median(times[large]),
            "ms",
            ratio=ratio,
            against=f"the same with {int(small):,} finished videos instead of {int(large):,}",
            n=rounds * TRIES,
            target="ratio <= 1.5, the same queries",
            met=ratio <= 1.5 and len(set(queries.values())) == 1,
            ms={size: round(median(times[size]), 3) for size in times},
            queries=queries,
        )


class Grown:
    """A site with `size` finished videos, and its measuring process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> "Grown":
        with ExitStack() as stack:
            site = stack.enter_context(Site())
            log = stack.enter_context(site.log.open("w"))
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.growth", str(self.size)],
                cwd=BASE_DIR,
                env=site.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            stack.callback(self.process.wait)
            stack.callback(self.process.kill)
            self.log = site.log
            self._answer()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    def round(self) -> dict[str, dict[str, float]]:
        """Milliseconds (median of TRIES) and number of queries for each operation."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(self.log.read_text())
        return json.loads(answer)


def _serve(size: int) -> None:
    """Create the rows, then measure one round for each line of input."""
    import django

    django.setup()
    from datetime import timedelta

    from django.conf import settings
    from django.core.cache import cache
    from django.db import connection, transaction
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse
    from django.utils import timezone

    from bench import rows
    from videos.catalogue import availability
    from videos.generation import lifecycle, ordering
    from videos.models import Channel, Status, Video
    from videos.order import VideoOrder
    from videos.worker import admission, leases

    owner, *others = rows.people(100)
    rows.finished(size, owner, others)
    half, now = LIVE // 2, timezone.now()
    in_progress = rows.orders([owner, *others], half, status=Status.IN_PROGRESS, progress=40, accepted_at=now)
    running = [video.pk for video in in_progress]
    queued = [video.pk for video in rows.orders([owner, *others], half)]
    spent: list[Video] = []
    # Limits that are never reached, so that admission has to count.
    Channel.objects.update(max_running=10**6, max_credits_per_day=10**9)
    model = availability.models().first()
    assert model is not None
    client = Client(headers={"cookie": rows.cookie(owner)})

    def page(path: str) -> Callable[[], None]:
        def get() -> None:
            assert client.get(path).status_code == 200

        return get

    def spend() -> None:
        order = VideoOrder(model=model, prompt=rows.PROMPT, size="1280x720", seconds=4)
        spent.append(ordering.place(owner, order))

    def claim() -> None:
        assert len(leases.claim(LIVE)) == half

    def admit() -> None:
        with transaction.atomic():
            assert len(admission.admit(LIVE)) == half

    def prepare() -> None:
        """Make half of the live videos due, queue the other half, and clear the cache."""
        cache.clear()
        while spent:
            lifecycle.fail(spent.pop(), "timed_out")
        due = timezone.now() - timedelta(minutes=5)
        Video.objects.filter(pk__in=running).update(next_attempt_at=due)
        Video.objects.filter(pk__in=queued).update(status=Status.QUEUED, next_attempt_at=due)

    measured = {
        "library": page(reverse("videos:library")),
        "studio": page(reverse("videos:studio")),
        "credits": page(reverse("accounts:credits")),
        "card": page(reverse("videos:card", args=[running[0]])),
        "spend": spend,
        "claim": claim,
        "admit": admit,
    }

    def one_round() -> dict[str, dict[str, float]]:
        figures = {}
        for name, function in measured.items():
            times, queries = [], 0
            for _ in range(TRIES):
                prepare()
                began = time.perf_counter()
                function()
                times.append(1000 * (time.perf_counter() - began))
            prepare()
            with CaptureQueriesContext(connection) as captured:
                function()
            queries = len(captured)
            figures[name] = {"ms": median(times), "queries": queries}
        return figures

    assert settings.DEBUG is False
    print(json.dumps("grown"), flush=True)
    for _line in sys.stdin:
        print(json.dumps(one_round()), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
