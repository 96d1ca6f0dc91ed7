"""Saved totals of past days, so that the dashboard does not aggregate millions of rows.

Days are UTC. Credit entries never change, so each is counted once: all up to some id are in the saved
totals, and newer ones are added up when they are shown. A video can end a second time (a late success),
so the videos of a day are counted again until it is SETTLED days old.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import CreditEntry
from accounts.utc_days import start_of, today
from aivideo.models import LedgerDay, VideoDay
from videos.models import Video, VideoModel

SHOWN, SETTLED = 30, 2  # days
Kind = CreditEntry.Kind
# With GROUP BY kind, SQLite would use the index on kind and scan the whole ledger.
BY_KIND = {kind: Sum("amount", filter=Q(kind=kind)) for kind in Kind.values}
# By this time after midnight, every transaction that began before it has ended.
GRACE_PERIOD = timedelta(hours=1)


Totals = dict[date, dict[str, int]]  # credits by day and kind of entry


class Ended(NamedTuple):
    """The number of videos of one model that ended in one state on one day, and their cost in US dollars."""

    day: date
    model: int
    status: str
    videos: int
    cost: Decimal


def close() -> None:
    """Save the totals of past days that are not saved yet. Called periodically; a repeat changes nothing."""
    _close_ledger()
    _close_videos()


def credits_by_day(since: date) -> Totals:
    """Credits moved per day since `since`, by kind of entry; negative where they left accounts."""
    found: Totals = defaultdict(lambda: defaultdict(int))
    for row in LedgerDay.objects.filter(day__gte=since):
        found[row.day][row.kind] += row.credits
    newer = CreditEntry.objects.filter(pk__gt=last_counted()).order_by()
    midnight = start_of(today())
    of_today = [newer.filter(created_at__gte=midnight).aggregate(**BY_KIND) | {"day": today()}]
    # In the hour after midnight, or if the task has not run for days.
    unsaved = newer.filter(created_at__gte=start_of(since), created_at__lt=midnight)
    for totals in [*of_today, *_by_day(unsaved)]:
        for kind in Kind.values:
            found[totals["day"]][kind] += totals[kind] or 0
    return found


def videos_by_day(since: date) -> Iterator[Ended]:
    """Videos that have ended since `since`, by day, model and state."""
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
    """The id of the last entry that is in the saved totals."""
    return LedgerDay.objects.aggregate(last=Max("last_entry"))["last"] or 0


def _close_ledger() -> None:
    now, last = timezone.now(), last_counted()
    until = start_of(today() if now - start_of(today()) >= GRACE_PERIOD else today() - timedelta(days=1))
    newest = CreditEntry.objects.filter(created_at__lt=until).order_by("-pk").values_list("pk", flat=True)
    upto = newest.first() or 0
    # An entry of today below that id (a clock was wrong) is counted, too, for its own day.
    rows = CreditEntry.objects.filter(pk__gt=last, pk__lte=upto).order_by()
    totals = [(day["day"], kind, day[kind]) for day in _by_day(rows) for kind in Kind.values if day[kind]]
    with transaction.atomic():
        # A concurrent call waits here and then finds the work done.
        LedgerDay.objects.select_for_update().order_by("pk").first()
        if last_counted() != last:
            return
        for day, kind, amount in totals:
            row = LedgerDay.objects.filter(day=day, kind=kind)
            if not row.update(credits=F("credits") + amount, last_entry=upto):
                LedgerDay.objects.create(day=day, kind=kind, credits=amount, last_entry=upto)


def _by_day(entries: QuerySet[CreditEntry]) -> Any:
    """The sum of each kind of entry for each day."""
    return entries.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day").annotate(**BY_KIND)


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
            # If two calls run at the same time, one of them is enough.
            VideoDay.objects.bulk_create(rows, ignore_conflicts=True)


def _count_videos(day: date, model: int) -> list[tuple[str, int, Decimal]]:
    begins = start_of(day)
    ended = Video.objects.filter(model=model, ended_at__gte=begins, ended_at__lt=begins + timedelta(days=1))
    counts = ended.order_by().values_list("status").annotate(videos=Count("pk"), cost=Sum("cost"))
    return [(status, videos, cost or Decimal(0)) for status, videos, cost in counts]
