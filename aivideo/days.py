"""Totals of days that are over, so that nobody counts a million rows to see what last month came to.

A day is one of UTC. Credit entries never change, so each is counted once, up to some id; those above it
are added up where they are shown. A video may end again (a late success), so a day's videos are counted
anew until it is SETTLED days old.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, F, Max, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import CreditEntry
from aivideo.models import LedgerDay, VideoDay
from videos.models import Video, VideoModel

SHOWN, SETTLED = 30, 2  # days
# By then every transaction that wrote an entry before midnight has ended.
STRAGGLERS = timedelta(hours=1)


Totals = dict[date, dict[str, int]]  # credits by day and kind of entry


class Ended(NamedTuple):
    """Videos of one model that ended in one state on one day; `cost` is in US dollars."""

    day: date
    model: int
    status: str
    videos: int
    cost: Decimal


def close() -> None:
    """Count the days that are over and not counted yet. To be called from time to time; twice is once."""
    _close_ledger()
    _close_videos()


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def credits_by_day(since: date) -> Totals:
    """Credits that moved on each day from `since` on, by kind of entry; those that left accounts are negative."""
    found: Totals = defaultdict(lambda: defaultdict(int))
    for row in LedgerDay.objects.filter(day__gte=since):
        found[row.day][row.kind] += row.credits
    newer = CreditEntry.objects.filter(pk__gt=last_counted()).order_by()
    midnight = start_of(today())
    for kind, total in newer.filter(created_at__gte=midnight).values_list("kind").annotate(n=Sum("amount")):
        found[today()][kind] += total
    # In the hour after midnight, or when nobody counted for days.
    left = newer.filter(created_at__gte=start_of(since), created_at__lt=midnight)
    by_day = left.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day", "kind")
    for day, kind, total in by_day.annotate(n=Sum("amount")):
        found[day][kind] += total
    return found


def videos_by_day(since: date) -> Iterator[Ended]:
    """Videos that ended from `since` on."""
    closed = VideoDay.objects.filter(day__gte=since)
    newest = VideoDay.objects.aggregate(day=Max("day"))["day"]
    for row in closed:
        yield Ended(row.day, row.model_id, row.status, row.videos, row.cost)
    models = list(VideoModel.objects.values_list("pk", flat=True))
    day = max(since, newest + timedelta(days=1)) if newest else since
    while day <= today():
        for model in models:
            for status, videos, cost in _count_videos(day, model):
                yield Ended(day, model, status, videos, cost)
        day += timedelta(days=1)


def last_counted() -> int:
    """Entries up to this id are in the totals."""
    return LedgerDay.objects.aggregate(last=Max("last_entry"))["last"] or 0


def _close_ledger() -> None:
    now, last = timezone.now(), last_counted()
    until = start_of(today() if now - start_of(today()) >= STRAGGLERS else today() - timedelta(days=1))
    newest = CreditEntry.objects.filter(created_at__lt=until).order_by("-pk").values_list("pk", flat=True)
    upto = newest.first() or 0
    # An entry of today below that id (somebody's clock was wrong) is counted with the others, for its own day.
    rows = CreditEntry.objects.filter(pk__gt=last, pk__lte=upto).order_by()
    by_day = rows.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day", "kind")
    totals = list(by_day.annotate(credits=Sum("amount"), entries=Count("pk")))
    with transaction.atomic():
        # Who counts at the same time waits here, and then sees that it is done.
        LedgerDay.objects.select_for_update().order_by("pk").first()
        if last_counted() != last:
            return
        for day, kind, amount, entries in totals:
            row = LedgerDay.objects.filter(day=day, kind=kind)
            if not row.update(credits=F("credits") + amount, entries=F("entries") + entries, last_entry=upto):
                LedgerDay.objects.create(day=day, kind=kind, credits=amount, entries=entries, last_entry=upto)


def _close_videos() -> None:
    known = set(VideoDay.objects.values_list("day", flat=True).distinct())
    models = list(VideoModel.objects.values_list("pk", flat=True))
    for age in range(SHOWN, 0, -1):
        day = today() - timedelta(days=age)
        if day in known and age > SETTLED:
            continue
        rows = [
            VideoDay(day=day, model_id=model, status=status, videos=videos, cost=cost)
            for model in models
            for status, videos, cost in _count_videos(day, model)
        ]
        with transaction.atomic():
            VideoDay.objects.filter(day=day).delete()
            # Of two who count at the same time, one is enough.
            VideoDay.objects.bulk_create(rows, ignore_conflicts=True)


def _count_videos(day: date, model: int) -> list[tuple[str, int, Decimal]]:
    begins = start_of(day)
    ended = Video.objects.filter(model=model, ended_at__gte=begins, ended_at__lt=begins + timedelta(days=1))
    counts = ended.order_by().values_list("status").annotate(videos=Count("pk"), cost=Sum("cost"))
    return [(status, videos, cost or Decimal(0)) for status, videos, cost in counts]
