"""The first screen of `/admin/`: how the site fares today, in 7 and in 30 days.

Each part is made, and its rows are read, only for those who may see them in the lists of the admin too.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from django.conf import settings
from django.db.models import BigIntegerField, Count, F, Min, Sum
from django.db.models.functions import Cast, TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from accounts.models import Payment, User, money
from aivideo import days, health
from videos.models import Status, Video, VideoModel, Worker

PERIODS = (1, 7, 30)  # days, today included
MEASURED = 500  # videos of a model that its median time is taken of, the newest ones
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELED)

Totals = dict[date, dict[str, int]]


@dataclass(frozen=True)
class Card:
    """`tone` is good, bad or empty."""

    title: str
    value: str
    hint: str = ""
    tone: str = ""
    href: str = ""


@dataclass(frozen=True)
class Chart:
    """`data` and `options` are Chart.js's, as JSON; `summary` says the same to who cannot see it."""

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


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the template of the first screen shows to this member of staff."""
    may = request.user.has_perm  # type: ignore[union-attr]
    asked = request.GET.get("days", "")
    length = int(asked) if asked in map(str, PERIODS) else 7
    since = days.today() - timedelta(days=length - 1)
    month = [days.today() - timedelta(days=n) for n in reversed(range(days.SHOWN))]

    cards: list[tuple[str, list[Card]]] = []
    charts: list[Chart] = []
    models: list[dict[str, Any]] = []
    use: list[Card] = []
    cost: dict[date, Decimal] = defaultdict(Decimal)
    if may("videos.view_worker"):
        cards.append((_("Now"), _now()))
    if may("videos.view_video"):
        ended = list(days.videos_by_day(month[0]))
        models = _by_model([row for row in ended if row[0] >= since], since)
        for day, _model, _status, _videos, dollars in ended:
            cost[day] += dollars
        use += _videos_of(ended, since)
        charts.append(_videos_chart(ended, month))
    if may("accounts.view_user"):
        joined = User.objects.filter(date_joined__gte=days.start_of(since)).count()
        use.append(Card(_("New people"), f"{joined:,}"))
    if use:
        cards.append((_("Use"), use))
    if may("accounts.view_creditentry"):
        moved = days.credits_by_day(month[0])
        cards.append((_("Credits"), _credits_of(moved, since)))
        charts.append(_credits_chart(moved, month))
        if may("accounts.view_payment"):
            cards.append((_("Money"), _money_of(moved, cost, since)))
            charts.append(_money_chart(cost, month))
    for model in models:
        if not may("accounts.view_payment"):
            del model["cost"]
    return context | {
        "title": _("Dashboard"),
        "periods": [(n, _("Today") if n == 1 else _("%(n)d days") % {"n": n}, n == length) for n in PERIODS],
        "cards": cards,
        "charts": charts,
        "models": models,
        "shows_cost": may("accounts.view_payment"),
    }


# --- The parts ------------------------------------------------------------------------------------


def _now() -> list[Card]:
    """The queue and who works on it."""
    counts = dict(Video.objects.live().order_by().values_list("status").annotate(n=Count("pk")))
    queued = counts.pop(Status.QUEUED, 0)
    lost = counts.get(Status.UNCONFIRMED, 0)
    waiting = Video.objects.live().filter(status=Status.QUEUED)
    oldest = waiting.aggregate(at=Min("created_at"))["at"]
    late = Video.objects.live().filter(created_at__lt=_deadline()).count()
    videos = reverse("admin:videos_video_changelist")
    problem = health.worker()
    seen = Worker.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    return [
        Card(
            _("Waiting"),
            f"{queued:,}",
            _("oldest for %(time)s") % {"time": timesince(oldest)} if oldest else _("nobody waits"),
            href=f"{videos}?status__exact=queued",
        ),
        Card(_("Running"), f"{sum(counts.values()):,}", href=f"{videos}?status__exact=in_progress"),
        Card(
            _("Unconfirmed"),
            f"{lost:,}",
            _("requests whose answer was lost"),
            "bad" if lost else "",
            f"{videos}?status__exact=unconfirmed",
        ),
        Card(_("Past their deadline"), f"{late:,}", _("not ended yet"), "bad" if late else ""),
        Card(
            _("Worker"),
            _("Silent") if problem else _("At work"),
            _("last seen %(n)d s ago") % {"n": (timezone.now() - seen).total_seconds()}
            if seen
            else (problem or ""),
            "bad" if problem else "good",
            reverse("admin:videos_worker_changelist"),
        ),
    ]


def _videos_of(ended: Iterable[tuple[date, int, str, int, Decimal]], since: date) -> list[Card]:
    counts: dict[str, int] = defaultdict(int)
    for day, _model, status, videos, _cost in ended:
        if day >= since:
            counts[status] += videos
    rate = _rate(counts)
    return [
        Card(_("Ready"), f"{counts[Status.COMPLETED]:,}"),
        Card(_("Failed"), f"{counts[Status.FAILED]:,}", _("their credits returned")),
        Card(_("Canceled"), f"{counts[Status.CANCELED]:,}"),
        Card(
            _("Success rate"),
            _percent(rate),
            _("of the ready and failed ones"),
            "" if rate is None else "good" if rate >= 0.9 else "bad",
        ),
    ]


def _by_model(ended: Iterable[tuple[date, int, str, int, Decimal]], since: date) -> list[dict[str, Any]]:
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    cost: dict[int, Decimal] = defaultdict(Decimal)
    for _day, model, status, videos, dollars in ended:
        counts[model][status] += videos
        cost[model] += dollars
    return [
        {
            "name": model.name,
            "href": reverse("admin:videos_videomodel_change", args=[model.pk]),
            "enabled": model.enabled,
            "ready": f"{counts[model.pk][Status.COMPLETED]:,}",
            "failed": f"{counts[model.pk][Status.FAILED]:,}",
            "rate": _percent(_rate(counts[model.pk])),
            "median": _median_time(model, since),
            "cost": _dollars(cost[model.pk]),
        }
        for model in VideoModel.objects.all()
        if model.enabled or counts[model.pk]
    ]


def _median_time(model: VideoModel, since: date) -> str:
    """From click to ready."""
    ready = Video.objects.filter(
        model=model, status=Status.COMPLETED, ended_at__gte=days.start_of(since)
    ).order_by("-ended_at")
    times = [
        (end - start).total_seconds()
        for start, end in ready.values_list("created_at", "ended_at")[:MEASURED]
        if end
    ]
    return f"{median(times):.0f} s" if times else "–"


def _credits_of(moved: Totals, since: date) -> list[Card]:
    total = _sum_since(moved, since)
    return [
        Card(_("Sold"), f"{total['purchase']:,}"),
        Card(_("Granted"), f"{total['grant']:,}", _("free, by code or by staff")),
        Card(_("Spent"), f"{-total['charge']:,}"),
        Card(_("Returned"), f"{total['refund']:,}", _("for videos that failed")),
        Card(_("Lapsed"), f"{-total['expire']:,}"),
        Card(_("Taken back"), f"{-total['claw_back']:,}", _("of refunded payments")),
    ]


def _money_of(moved: Totals, cost: dict[date, Decimal], since: date) -> list[Card]:
    taken, given_back = _payments(since)
    total = _sum_since(moved, since)
    earned = -total["charge"] - total["refund"]
    dollars = sum((cost[day] for day in cost if day >= since), Decimal(0))
    each = (dollars / earned * 100).quantize(Decimal("0.01")) if earned > 0 else None
    waiting = Payment.objects.filter(status__in=[Payment.Status.HELD, Payment.Status.DISPUTED]).count()
    return [
        Card(_("Money taken"), _amounts(taken), _("test checkout") if settings.TEST_CHECKOUT else ""),
        Card(_("Given back"), _amounts(given_back), _("refunds and disputes")),
        Card(_("Providers' cost"), _dollars(dollars)),
        Card(
            _("Credits earned"),
            f"{earned:,}",
            _("each cost %(cents)s ¢") % {"cents": each} if each is not None else "",
        ),
        Card(
            _("Payments to decide"),
            f"{waiting:,}",
            tone="bad" if waiting else "",
            href=reverse("admin:money"),
        ),
    ]


def _videos_chart(ended: Iterable[tuple[date, int, str, int, Decimal]], month: list[date]) -> Chart:
    counts: dict[tuple[date, str], int] = defaultdict(int)
    for day, _model, status, videos, _cost in ended:
        counts[day, status] += videos
    colours = ("var(--color-primary-500)", "#e5484d", "#9ca3af")
    series = [
        (str(status.label), colour, [counts[day, status] for day in month])
        for status, colour in zip(ENDED, colours, strict=True)
    ]
    return _chart(_("Videos a day"), month, series)


def _credits_chart(moved: Totals, month: list[date]) -> Chart:
    kinds = (
        (_("Sold"), "#30a46c", "purchase", 1),
        (_("Spent"), "var(--color-primary-500)", "charge", -1),
        (_("Returned"), "#f5a524", "refund", 1),
    )
    series = [
        (name, colour, [sign * moved.get(day, {}).get(kind, 0) for day in month])
        for name, colour, kind, sign in kinds
    ]
    return _chart(_("Credits a day"), month, series, stacked=False)


def _money_chart(cost: dict[date, Decimal], month: list[date]) -> Chart:
    by_day: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    rows = _paid(month[0]).annotate(day=TruncDate("paid_at", tzinfo=UTC)).values_list("day", "currency")
    for day, currency, price in rows.annotate(sum=Sum("price")).order_by():
        by_day[currency][day] += float(money(price, currency).split()[0].replace(",", ""))
    colours = ("#30a46c", "#0090ff", "#f5a524")
    series = [
        (
            _("Taken, %(currency)s") % {"currency": currency.upper()},
            colours[n % 3],
            [by_day[currency][day] for day in month],
        )
        for n, currency in enumerate(sorted(by_day))
    ]
    series.append((_("Providers' cost, USD"), "#e5484d", [round(float(cost[day]), 2) for day in month]))
    return _chart(_("Money a day"), month, series, stacked=False)


# --- Small parts ----------------------------------------------------------------------------------


def _chart(
    title: str, month: list[date], series: list[tuple[str, str, list[Any]]], stacked: bool = True
) -> Chart:
    sets = [
        {"label": name, "data": data, "backgroundColor": colour, "borderRadius": 3, "maxBarThickness": 14}
        | ({} if stacked else {"stack": name})
        for name, colour, data in series
    ]
    sums = ", ".join(f"{name} {round(sum(data), 2):,}" for name, _colour, data in series)
    labels = [f"{day:%-d %b}" for day in month]
    summary = _("%(title)s, 30 days together: %(sums)s") % {"title": title, "sums": sums}
    return Chart(title, json.dumps({"labels": labels, "datasets": sets}), summary)


def _paid(since: date) -> Any:
    """Payments since then that took money; in demo mode those of the test checkout, which took none."""
    processor = Payment.Processor.TEST if settings.TEST_CHECKOUT else Payment.Processor.STRIPE
    return Payment.objects.filter(processor=processor, paid_at__gte=days.start_of(since)).order_by()


def _payments(since: date) -> tuple[dict[str, int], dict[str, int]]:
    """What was taken and what of it went back, in each currency's smallest unit."""
    share = Cast("price", BigIntegerField()) * F("clawed_back") / F("credits")
    rows = _paid(since).values_list("currency").annotate(taken=Sum("price"), back=Sum(share))
    found = list(rows)
    return {row[0]: row[1] for row in found}, {row[0]: row[2] for row in found}


def _deadline() -> datetime:
    return timezone.now() - timedelta(seconds=settings.JOB_DEADLINE_SECONDS)


def _sum_since(moved: Totals, since: date) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for day, kinds in moved.items():
        if day >= since:
            for kind, credits in kinds.items():
                total[kind] += credits
    return total


def _rate(counts: dict[str, int]) -> float | None:
    tried = counts[Status.COMPLETED] + counts[Status.FAILED]
    return counts[Status.COMPLETED] / tried if tried else None


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f} %"


def _amounts(by_currency: dict[str, int]) -> str:
    return " + ".join(money(amount, currency) for currency, amount in sorted(by_currency.items())) or "0"


def _dollars(amount: Decimal) -> str:
    return f"{amount:,.2f} USD"
