"""The charts of the dashboard: daily values for a month."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import BigIntegerField, ExpressionWrapper, F, QuerySet, Sum
from django.db.models.functions import Cast, Least, TruncDate
from django.utils.translation import gettext as _

from accounts import utc_days
from accounts.models import Payment, money
from aivideo.staff import daily_totals
from aivideo.staff.daily_totals import Ended
from videos.models import Status

ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELED)


@dataclass(frozen=True)
class Chart:
    """`data` and `options` are JSON for Chart.js; `summary` is the text for screen readers."""

    title: str
    data: str
    summary: str
    options: str = json.dumps(
        {
            "animation": False,
            "responsive": True,
            "maintainAspectRatio": False,
            "scales": {
                "x": {"stacked": True, "grid": {"display": False}, "ticks": {"maxTicksLimit": 8}},
                "y": {"stacked": True, "beginAtZero": True, "ticks": {"precision": 0}},
            },
            "plugins": {"legend": {"position": "bottom", "align": "end", "labels": {"boxWidth": 12}}},
        }
    )


def videos(ended: Iterable[Ended], month: list[date]) -> Chart:
    counts: dict[tuple[date, str], int] = defaultdict(int)
    for total in ended:
        counts[total.day, total.status] += total.videos
    colors = ("var(--color-primary-500)", "#e5484d", "#9ca3af")
    series = [
        (str(status.label), color, [counts[day, status] for day in month])
        for status, color in zip(ENDED, colors, strict=True)
    ]
    return _chart(_("Videos per day"), month, series)


def credits(moved: daily_totals.Totals, month: list[date]) -> Chart:
    kinds = (
        (_("Sold"), "#30a46c", "purchase", 1),
        (_("Spent"), "var(--color-primary-500)", "charge", -1),
        (_("Refunded"), "#f5a524", "refund", 1),
    )
    series = [
        (name, color, [sign * moved.get(day, {}).get(kind, 0) for day in month])
        for name, color, kind, sign in kinds
    ]
    return _chart(_("Credits per day"), month, series, stacked=False)


def money_and_cost(cost: dict[date, Decimal], month: list[date]) -> Chart:
    by_day: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    rows = (
        paid(month[0]).annotate(day=TruncDate("charged_at", tzinfo=UTC)).values_list("day", "paid_currency")
    )
    left = Cast("paid", BigIntegerField()) - returned()
    for day, currency, price in rows.annotate(sum=Sum(left)).order_by():
        by_day[currency][day] += float(money(price, currency).split()[0].replace(",", ""))
    colors = ("#30a46c", "#0090ff", "#f5a524")
    series = [
        (
            _("Kept, %(currency)s") % {"currency": currency.upper()},
            colors[n % 3],
            [by_day[currency][day] for day in month],
        )
        for n, currency in enumerate(sorted(by_day))
    ]
    series.append((_("Provider cost, USD"), "#e5484d", [round(float(cost[day]), 2) for day in month]))
    return _chart(_("Money per day"), month, series, stacked=False)


def paid(since: date) -> QuerySet[Payment]:
    """Stripe payments since then; in demo mode those of the test checkout, which takes no money."""
    processor = Payment.Processor.TEST if settings.TEST_CHECKOUT else Payment.Processor.STRIPE
    return Payment.objects.filter(processor=processor, charged_at__gte=utc_days.start_of(since)).order_by()


def returned() -> Least:
    """What went back of a payment, by refunds and disputes: not more than was paid."""
    back = ExpressionWrapper(F("refunded") + F("disputed"), BigIntegerField())
    return Least(back, Cast("paid", BigIntegerField()))


def _chart(
    title: str, month: list[date], series: list[tuple[str, str, list[Any]]], stacked: bool = True
) -> Chart:
    sets = [
        {"label": name, "data": data, "backgroundColor": color, "borderRadius": 3, "maxBarThickness": 14}
        | ({} if stacked else {"stack": name})
        for name, color, data in series
    ]
    sums = ", ".join(f"{name} {round(sum(data), 2):,}" for name, _color, data in series)
    labels = [f"{day:%-d %b}" for day in month]
    summary = _("%(title)s, total of 30 days: %(sums)s") % {"title": title, "sums": sums}
    return Chart(title, json.dumps({"labels": labels, "datasets": sets}), summary)
