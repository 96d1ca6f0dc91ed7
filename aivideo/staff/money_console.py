"""The money console, `/admin/money/`: everything about credits and money that needs attention from staff."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import BigIntegerField, Case, Model, QuerySet, Sum, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.timesince import timesince
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import CreditEntry, Payment, StaffGrant, StripeEvent, User
from accounts.models import money as shown_money
from aivideo.models import LedgerCheck, LedgerDay, PurchaseCheck
from aivideo.staff import month_end
from videos.models import Channel, Status, Video
from videos.moderation import costly_blocks

MAX_SHOWN = 50  # of each kind

# One statement, so that all sums are of the same moment. Entries in the saved totals are not added up again.
DRIFT = f"""
    SELECT (SELECT COALESCE(SUM(balance), 0) - COALESCE(SUM(debt), 0) FROM {User._meta.db_table})
         - (SELECT COALESCE(SUM(credits), 0) FROM {LedgerDay._meta.db_table})
         - (SELECT COALESCE(SUM(amount), 0) FROM {CreditEntry._meta.db_table}
            WHERE id > (SELECT COALESCE(MAX(last_entry), 0) FROM {LedgerDay._meta.db_table}))
"""


@dataclass(frozen=True)
class Worklist:
    """Rows of one kind that need a person, the oldest MAX_SHOWN of `total`; `about` says what they are and what to do about them."""

    title: str
    about: str
    headers: list[str]
    rows: list[list[Any]]
    total: int
    amount: str = ""  # of money, in all
    href: str = ""  # the list of all of them

    @property
    def table(self) -> dict[str, list[Any]]:
        return {"headers": self.headers, "rows": self.rows}


@require_safe
def money(request: HttpRequest) -> HttpResponse:
    """The page, for staff who may see payments."""
    if not request.user.has_perm("accounts.view_payment"):  # type: ignore[union-attr]
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": _("Money console"),
        "drift": drift(),
        "last_month": str(month_end.last()),
        "check": LedgerCheck.objects.first(),
        "purchases": PurchaseCheck.objects.first(),
        "worklists": [
            _held(),
            _disputes(),
            _grants(),
            _stripe_events(),
            _overdue(),
            _unconfirmed(),
            _slowed_down(),
            _debtors(),
        ],
    }
    return TemplateResponse(request, "admin/money.html", context)


@require_safe
def month_csv(request: HttpRequest) -> HttpResponse:
    """`/admin/money/month.csv?month=2026-11`: the figures of a month for an accountant."""
    if not request.user.has_perm("accounts.view_payment"):  # type: ignore[union-attr]
        raise PermissionDenied
    try:
        month = month_end.parse(request.GET.get("month", ""))
    except ValueError:
        messages.error(request, _("Choose a month that has begun, such as 2026-11."))
        return redirect("admin:money")
    name = f"aivideo-{month}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(month_end.as_csv(month), content_type="text/csv; charset=utf-8", headers=headers)


def drift() -> int:
    """All balances minus all ledger entries. Anything but 0 is an error."""
    with connection.cursor() as cursor:
        cursor.execute(DRIFT)
        return int(cursor.fetchone()[0])


def _held() -> Worklist:
    return _of_payments(
        Payment.Status.HELD,
        _("Payments to decide"),
        _(
            "If the amount is not what was ordered, accept the payment here or refund it at Stripe. If Stripe reports"
            " a dispute status that is unknown here, no credits move until the status changes: check it at Stripe."
        ),
    )


def _disputes() -> Worklist:
    return _of_payments(
        Payment.Status.DISPUTED,
        _("Open disputes"),
        _("Answer them at Stripe, which says until when. Their credits are taken back already."),
    )


def _of_payments(status: str, title: str, about: str) -> Worklist:
    # Both conditions, so that SQLite, too, uses the index of what needs a decision.
    waiting = Payment.objects.filter(status__in=Payment.TO_DECIDE).filter(status=status)
    # Of payments that were settled before amounts were noted, what was ordered.
    amount = Case(
        When(disputed__gt=0, then="disputed"),
        When(paid__gt=0, then="paid"),
        default="price",
        output_field=BigIntegerField(),
    )
    currency = Case(When(paid__gt=0, then="paid_currency"), default="currency")
    sums = waiting.order_by().values_list(currency).annotate(n=Sum(amount))
    return Worklist(
        title,
        about,
        [_("Payment"), _("User"), _("Reason"), _("Since")],
        [
            [_link(payment), payment.user, payment.reason or "–", _since(payment.created_at)]
            for payment in _first(waiting.select_related("user").order_by("created_at"))
        ],
        waiting.count(),
        " + ".join(shown_money(amount, currency) for currency, amount in sorted(sums)),
        _list(Payment, status__exact=status),
    )


def _grants() -> Worklist:
    waiting = StaffGrant.objects.filter(status=StaffGrant.Status.WAITING)
    return Worklist(
        _("Grants to confirm"),
        _(
            "A member of staff wants to grant many credits at once, or in a day. Another one confirms or declines it."
        ),
        [_("Grant"), _("Asked by"), _("Reason"), _("Since")],
        [
            [_link(grant), grant.giver, grant.reason, _since(grant.created_at)]
            for grant in _first(waiting.select_related("user", "giver").order_by("created_at"))
        ],
        waiting.count(),
        href=_list(StaffGrant, status__exact="waiting"),
    )


def _stripe_events() -> Worklist:
    unsettled = StripeEvent.objects.filter(settled_at=None)
    return Worklist(
        _("Unprocessed Stripe webhooks"),
        _(
            "Stripe retries them for three days. “Refresh from Stripe” on the payment's page has the same effect. One with a"
            " problem is not retried: see the payment at Stripe, then close it here."
        ),
        [_("Event"), _("Kind"), _("Payment"), _("Problem"), _("Deliveries"), _("Since")],
        [
            [
                _link(event),
                event.kind,
                _link(event.payment) if event.payment else "–",
                event.problem or "–",
                event.times,
                _since(event.received_at),
            ]
            for event in _first(unsettled.select_related("payment").order_by("received_at"))
        ],
        unsettled.count(),
        href=_list(StripeEvent, settled_at__isnull="True"),
    )


def _overdue() -> Worklist:
    return _of_videos(
        Video.objects.live().late().filter(is_free=False),
        _("Overdue videos"),
        _(
            "Past their deadline and still charged. The worker should end each of them shortly; if one remains, stop it."
        ),
    )


def _unconfirmed() -> Worklist:
    return _of_videos(
        Video.objects.live().filter(status=Status.UNCONFIRMED),
        _("Unconfirmed submissions"),
        _(
            "The provider's response was lost. We ask it whether the job exists; if that stays unknown, the video is refunded."
        ),
    )


def _slowed_down() -> Worklist:
    until = {
        (channel, pk): at
        for channel in Channel.objects.filter(charges_for_blocked=True)
        for pk, at in costly_blocks.pauses(channel).items()
    }
    users = User.objects.in_bulk([pk for _channel, pk in until])
    return Worklist(
        _("Users slowed down"),
        _(
            "Several of their videos were blocked by a provider that charges for them. Deactivate accounts that do it on purpose."
        ),
        [_("User"), _("Channel"), _("Waits until")],
        [
            [_link(users[pk]), channel, date_format(localtime(at), "DATETIME_FORMAT")]
            for (channel, pk), at in list(until.items())[:MAX_SHOWN]
        ],
        len(until),
    )


def _debtors() -> Worklist:
    owing = User.objects.filter(debt__gt=0)
    return Worklist(
        _("Users who owe credits"),
        _(
            "Their payment was refunded or disputed after they had spent the credits. New credits pay off the debt first."
        ),
        [_("User"), _("Credits owed"), _("Active")],
        [
            [_link(user), f"{user.debt:,}", _("yes") if user.is_active else _("no")]
            for user in _first(owing.order_by("-debt"))
        ],
        owing.count(),
    )


def _of_videos(videos: QuerySet[Video], title: str, about: str) -> Worklist:
    return Worklist(
        title,
        about,
        [_("Video"), _("User"), _("State"), _("Channel"), _("Credits"), _("Since")],
        [
            [
                _link(video, str(video.pk)[:8]),
                video.user,
                video.get_status_display(),
                video.channel,
                video.credits,
                _since(video.created_at),
            ]
            for video in _first(videos.select_related("user", "channel").order_by("created_at"))
        ],
        videos.count(),
    )


def _first(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows[:MAX_SHOWN]


def _link(row: Model, text: str = "") -> str:
    meta = row._meta
    page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', page, text or row
    )


def _list(model: type[Model], **filters: str) -> str:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{page}?{urlencode(filters)}"


def _since(at: Any) -> str:
    return format_html(
        '<span title="{}">{}</span>', date_format(at, "DATETIME_FORMAT"), timesince(at, depth=1)
    )
