"""The dashboard, first page of `/admin/`: how the site is doing today, over 7 days and over 30.

A part is computed only for staff who may also see its rows in the admin's lists.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import Any, NotRequired, TypedDict

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.http import HttpRequest
from django.template.defaultfilters import date as shown_date
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from accounts import utc_days
from accounts.models import BalanceTransaction, Payment, User, money
from aivideo import health
from aivideo.staff import charts, daily_totals
from aivideo.staff.daily_totals import Ended
from videos.catalogue import availability, refusals
from videos.models import Status, Video, VideoModel, Worker

PERIODS = (1, 7, 30)  # days, today included
MEASURED = 500  # newest videos of a model from which its median time is computed


@dataclass(frozen=True)
class Card:
    """One figure. `tone` is "good", "bad" or empty."""

    title: str
    value: str
    hint: str = ""
    tone: str = ""
    href: str = ""


class ModelRow(TypedDict):
    """A model's line in the table; without its cost for staff who may not see payments."""

    name: str
    href: str
    enabled: bool
    ready: str
    failed: str
    rate: str
    median: str
    cost: NotRequired[str]


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The template context of the dashboard for this member of staff."""
    may = request.user.has_perm  # type: ignore[union-attr]
    days = request.GET.get("days", "")
    length = int(days) if days in map(str, PERIODS) else 7
    since = utc_days.today() - timedelta(days=length - 1)
    month = [utc_days.today() - timedelta(days=n) for n in reversed(range(daily_totals.SHOWN))]

    cards: list[tuple[str, list[Card]]] = []
    shown: list[charts.Chart] = []
    models: list[ModelRow] = []
    usage: list[Card] = []
    cost: dict[date, Decimal] = defaultdict(Decimal)
    if may("videos.view_video"):
        worker = [_worker()] if may("videos.view_worker") else []
        cards.append((_("Now"), [*_queue(), *worker, *_retirements()]))
        ended = list(daily_totals.videos_by_day(month[0]))
        models = _by_model([total for total in ended if total.day >= since], since)
        for total in ended:
            cost[total.day] += total.cost
        usage += _videos_of(ended, since)
        shown.append(charts.videos(ended, month))
    if may("accounts.view_user"):
        joined = User.objects.filter(date_joined__gte=utc_days.start_of(since)).count()
        usage.append(Card(_("New users"), f"{joined:,}"))
    if usage:
        cards.append((_("Usage"), usage))
    if may("accounts.view_creditentry"):
        moved = daily_totals.credits_by_day(month[0])
        cards.append((_("Credits"), _credits_of(moved, since)))
        shown.append(charts.credits(moved, month))
        if may("accounts.view_payment"):
            cards.append((_("Money"), _money_of(moved, cost, since)))
            shown.append(charts.money_and_cost(cost, month))
    for model in models:
        if not may("accounts.view_payment"):
            del model["cost"]
    return context | {
        "title": _("Dashboard"),
        "periods": [(n, _("Today") if n == 1 else _("%(n)d days") % {"n": n}, n == length) for n in PERIODS],
        "refusals": refusals.current_refusals() if _may_see_channels(request) else [],
        "may_open_channels": may("videos.view_channel"),
        "cards": cards,
        "charts": shown,
        "models": models,
        "shows_cost": may("accounts.view_payment"),
    }


# --- The parts ------------------------------------------------------------------------------------


def _queue() -> list[Card]:
    counts = dict(Video.objects.live().order_by().values_list("status").annotate(n=Count("pk")))
    queued = counts.pop(Status.QUEUED, 0)
    lost = counts.get(Status.UNCONFIRMED, 0)
    waiting = Video.objects.live().filter(status=Status.QUEUED)
    oldest = waiting.aggregate(at=Min("queued_at"))["at"]
    late = Video.objects.live().late().count()
    unfinished = f"{reverse('admin:videos_video_changelist')}?ended_at__isnull=True&status__exact="
    return [
        Card(
            _("Waiting"),
            f"{queued:,}",
            _("longest: %(time)s") % {"time": timesince(oldest)} if oldest else _("queue is empty"),
            href=f"{unfinished}queued",
        ),
        Card(_("Running"), f"{sum(counts.values()):,}", href=f"{unfinished}in_progress"),
        Card(
            _("Unconfirmed"),
            f"{lost:,}",
            _("submitted, but no response received"),
            "bad" if lost else "",
            f"{unfinished}unconfirmed",
        ),
        Card(_("Overdue"), f"{late:,}", _("past the deadline, not ended"), "bad" if late else ""),
    ]


def _may_see_channels(request: HttpRequest) -> bool:
    may = request.user.has_perm  # type: ignore[union-attr]
    return may("videos.view_video") or may("videos.view_channel")


def _retirements() -> list[Card]:
    """Models that retire soon."""
    return [
        Card(
            model.name,
            _("retires on %(day)s") % {"day": shown_date(model.retires_on)},
            _("successor: %(successor)s") % {"successor": model.successor}
            if model.successor
            else _("no successor"),
            "" if model.successor else "bad",
            reverse("admin:videos_videomodel_change", args=[model.pk]),
        )
        for model in availability.retiring()
    ]


def _worker() -> Card:
    problem = health.worker()
    seen = Worker.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    hint = problem or ""
    if seen:
        hint = _("last seen %(time)s ago") % {"time": _short(timezone.now() - seen)}
    page = reverse("admin:videos_worker_changelist")
    return Card(_("Worker"), _("Down") if problem else _("Running"), hint, "bad" if problem else "good", page)


def _videos_of(ended: Iterable[Ended], since: date) -> list[Card]:
    counts: dict[str, int] = defaultdict(int)
    for total in ended:
        if total.day >= since:
            counts[total.status] += total.videos
    rate = _rate(counts)
    return [
        Card(_("Ready"), f"{counts[Status.COMPLETED]:,}"),
        Card(_("Failed"), f"{counts[Status.FAILED]:,}", _("refunded")),
        Card(_("Canceled"), f"{counts[Status.CANCELED]:,}"),
        Card(
            _("Success rate"),
            _percent(rate),
            _("ready out of ready and failed"),
            "" if rate is None else "good" if rate >= 0.9 else "bad",
        ),
    ]


def _by_model(ended: Iterable[Ended], since: date) -> list[ModelRow]:
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    cost: dict[int, Decimal] = defaultdict(Decimal)
    for total in ended:
        counts[total.model][total.status] += total.videos
        cost[total.model] += total.cost
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
    """Time from order to completion."""
    ready = Video.objects.filter(
        model=model, status=Status.COMPLETED, ended_at__gte=utc_days.start_of(since)
    ).order_by("-ended_at")
    times = [
        (end - start).total_seconds()
        for start, end in ready.values_list("created_at", "ended_at")[:MEASURED]
        if end
    ]
    return f"{median(times):.0f} s" if times else "–"


def _credits_of(moved: daily_totals.Totals, since: date) -> list[Card]:
    total = _sum_since(moved, since)
    return [
        Card(_("Sold"), f"{total['purchase']:,}"),
        Card(_("Granted"), f"{total['grant']:,}", _("at sign-up, by code or by staff")),
        Card(_("Spent"), f"{-total['charge']:,}"),
        Card(_("Refunded"), f"{total['refund']:,}", _("for failed videos")),
        Card(_("Expired"), f"{-total['expire']:,}"),
        Card(_("Clawed back"), f"{-total['claw_back']:,}", _("after refunded payments")),
    ]


def _money_of(moved: daily_totals.Totals, cost: dict[date, Decimal], since: date) -> list[Card]:
    paid, returned, fees, left = _payments(since)
    total = _sum_since(moved, since)
    earned = -total["charge"] - total["refund"]
    dollars = sum((cost[day] for day in cost if day >= since), Decimal(0))
    each = (dollars / earned * 100).quantize(Decimal("0.01")) if earned > 0 else None
    waiting = Payment.objects.filter(status__in=Payment.TO_DECIDE).count()
    return [
        Card(_("Paid"), _amounts(paid), _("test checkout") if settings.TEST_CHECKOUT else ""),
        Card(_("Returned"), _amounts(returned), _("of it, by refunds and disputes")),
        Card(_("Stripe's fees"), _amounts(fees) if fees else "–"),
        Card(
            _("Net"),
            _amounts(left) if left else "–",
            _("at Stripe, after refunds, disputes and fees")
            if left or not paid
            else _("unknown: the key may not read the balance"),
        ),
        Card(_("Provider cost"), _dollars(dollars)),
        Card(
            _("Credits earned"),
            f"{earned:,}",
            _("%(cents)s ¢ of cost per credit") % {"cents": each} if each is not None else "",
        ),
        Card(
            _("Payments to review"),
            f"{waiting:,}",
            tone="bad" if waiting else "",
            href=reverse("admin:money"),
        ),
    ]


# --- Small parts ----------------------------------------------------------------------------------


def _payments(since: date) -> tuple[dict[str, int], ...]:
    """What was paid, how much of it was returned, what Stripe took and what was left of all that moved, in each currency's smallest unit."""
    back = charts.returned()
    rows = list(charts.paid(since).values_list("paid_currency").annotate(taken=Sum("paid"), back=Sum(back)))
    moves = BalanceTransaction.objects.filter(created_at__gte=utc_days.start_of(since)).order_by()
    moved = list(moves.values_list("currency").annotate(fees=Sum("fee"), left=Sum("net")))
    return (
        {row[0]: row[1] for row in rows},
        {row[0]: row[2] for row in rows},
        {row[0]: row[1] for row in moved},
        {row[0]: row[2] for row in moved},
    )


def _sum_since(moved: daily_totals.Totals, since: date) -> dict[str, int]:
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


def _short(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds} s" if seconds < 120 else timesince(timezone.now() - time)
