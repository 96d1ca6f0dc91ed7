"""The fragment that a page with a running video polls every second, compared with minimal views."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Mod
from django.urls import reverse
from django.utils import timezone

from bench import load, measure, rows, servers
from bench.report import line, say
from videos.models import Status, Video

PEOPLE, PAGES = 100, 1000
PROGRESS_INTERVAL = 2  # seconds between changes of progress: every other poll of a page finds one
RATE = 200  # requests per second in the open loop

Page = tuple[str, str]


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    users = rows.people(PEOPLE)
    cookies = {user.pk: rows.cookie(user) for user in users}
    videos = rows.orders(
        users, PAGES, status=Status.IN_PROGRESS, progress=40, accepted_at=timezone.now(), ref=None
    )
    cards = [(reverse("videos:card", args=[video.pk]), cookies[video.user_id]) for video in videos]
    contestants = {
        "a constant": [("/bench/constant/", cookie) for _path, cookie in cards],
        "one read": [(f"/bench/read/{video.pk}/", cookies[video.user_id]) for video in videos],
        "in full": cards,
    }
    seconds, rounds = (0.3, 1) if tiny else (1, 11)
    with servers.web():
        for pages in contestants.values():
            _get(pages, seconds / 2)  # warm-up
        # As many pages as can be served, each of which then polls once per second.
        served = round(_get(cards, 2 * seconds, conditional=True)["rate"])
        pages_of_mix = cards[: max(10, min(served, PAGES))]
        say(f"{len(pages_of_mix)} pages poll once per second; {rounds} rounds of {seconds} s for each view")
        with _progressing():
            closed = measure.alternate(
                rounds,
                {
                    **{name: partial(_get, pages, seconds) for name, pages in contestants.items()},
                    "as pages ask": partial(_get, pages_of_mix, seconds, conditional=True),
                },
            )
            say(f"{RATE} requests per second, without waiting for responses")
            open_loop = measure.alternate(
                1 if tiny else 3,
                {
                    "one read": partial(_get, contestants["one read"], 4 * seconds, rate=RATE),
                    "card": partial(_get, cards[:RATE], 4 * seconds, rate=RATE, conditional=True),
                },
            )
    rates = {name: [answer["rate"] for answer in answers] for name, answers in closed.items()}
    load_generator = median(answer["load"] for answers in closed.values() for answer in answers)
    for name, contestant in (("card", "as pages ask"), ("card_in_full", "in full")):
        ratio = measure.ratio(rates[contestant], rates["one read"])
        yield line(
            name,
            median(rates[contestant]),
            "requests/s",
            ratio=ratio,
            against="a view that reads one row by its primary key",
            n=_count(closed[contestant]),
            target="ratio >= 0.7",
            met=ratio >= 0.7,
            one_read=median(rates["one read"]),
            constant=median(rates["a constant"]),
            ratio_to_constant=measure.ratio(rates[contestant], rates["a constant"]),
            unchanged=_unchanged(closed[contestant]),
            p50=median(answer["p50"] for answer in closed[contestant]),
            load_generator_cores=load_generator,
        )

    card, one_read = open_loop["card"], open_loop["one read"]
    late = {share: median(answer[share] for answer in card) for share in ("p50", "p95", "p99")}
    yield line(
        "card_at_200",
        late["p99"],
        "ms (p99)",
        ratio=measure.ratio([answer["p99"] for answer in card], [answer["p99"] for answer in one_read]),
        against="a view that reads one row by its primary key, at the same constant rate",
        n=_count(card),
        target="p99 < 100 ms",
        met=late["p99"] < 100,
        rate=RATE,
        unchanged=_unchanged(card),
        **late,
    )


def _get(pages: list[Page], seconds: float, **how: Any) -> dict[str, Any]:
    answer = load.get(load.Order(settings.PORT, pages, seconds, **how))
    if wrong := set(answer["statuses"]) - {"200", "204", "304"}:
        raise AssertionError(f"{pages[0][0]} answers {wrong}")
    return answer


def _count(answers: list[dict[str, Any]]) -> int:
    return sum(sum(answer["statuses"].values()) for answer in answers)


def _unchanged(answers: list[dict[str, Any]]) -> float:
    """The share of responses without a change."""
    return 1 - sum(answer["statuses"].get("200", 0) for answer in answers) / _count(answers)


@contextmanager
def _progressing() -> Iterator[None]:
    """In the background, update the progress of all videos, as polling the provider would."""
    over = threading.Event()

    def progress() -> None:
        while not over.wait(PROGRESS_INTERVAL):
            Video.objects.live().update(progress=Mod(F("progress") + 1, 99))

    thread = threading.Thread(target=progress)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
