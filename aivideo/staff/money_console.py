"""The money console, `/admin/money/`: everything about credits and money that waits for a person."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import CreditEntry, Payment, StripeEvent, User
from aivideo.models import LedgerCheck, LedgerDay
from videos.models import Status, Video

MAX_SHOWN = 50  # of each kind

# In one statement, so that all of it is of one moment. Entries that were counted before are not added up again.
DRIFT = f"""
    SELECT (SELECT COALESCE(SUM(balance), 0) - COALESCE(SUM(debt), 0) FROM {User._meta.db_table})
         - (SELECT COALESCE(SUM(credits), 0) FROM {LedgerDay._meta.db_table})
         - (SELECT COALESCE(SUM(amount), 0) FROM {CreditEntry._meta.db_table}
            WHERE id > (SELECT COALESCE(MAX(last_entry), 0) FROM {LedgerDay._meta.db_table}))
"""


@dataclass(frozen=True)
class Worklist:
    """Rows of one kind that wait; `about` says what they are and what to do about them."""

    title: str
    about: str
    headers: list[str]
    rows: list[list[Any]]

    @property
    def table(self) -> dict[str, Any]:
        return {"headers": self.headers, "rows": self.rows}


@require_safe
def money(request: HttpRequest) -> HttpResponse:
    """For staff who may see payments; what is of no use to them is left out."""
    if not request.user.has_perm("accounts.view_payment"):  # type: ignore[union-attr]
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": _("Money console"),
        "drift": drift(),
        "check": LedgerCheck.objects.first(),
        "piles": [_payments(), _stripe_events(), _old_holds(), _unconfirmed(), _debtors()],
    }
    return TemplateResponse(request, "admin/money.html", context)


def drift() -> int:
    """Credits in all accounts less all entries of the ledger: 0, or something is wrong."""
    with connection.cursor() as cursor:
        cursor.execute(DRIFT)
        return int(cursor.fetchone()[0])


def _payments() -> Worklist:
    waiting = Payment.objects.filter(status__in=Payment.TO_DECIDE)
    return Worklist(
        _("Payments that need a decision"),
        _(
            "What is not what was ordered: accept it here, or give the money back at Stripe. Of a dispute whose state"
            " is not known here, no credits move until Stripe says another one: look at it there."
        ),
        [_("Payment"), _("Who"), _("State"), _("Why"), _("Since")],
        [
            [_link(one), one.user, one.get_status_display(), one.reason, _since(one.created_at)]
            for one in _some(waiting.select_related("user"))
        ],
    )


def _stripe_events() -> Worklist:
    unsettled = StripeEvent.objects.filter(settled_at=None).select_related("payment")
    return Worklist(
        _("Webhooks from Stripe that were not settled"),
        _("Stripe delivers them again for three days. A payment's “Ask Stripe again” does the same."),
        [_("Event"), _("Kind"), _("Payment"), _("Times"), _("Since")],
        [
            [
                _link(one),
                one.kind,
                _link(one.payment) if one.payment else "–",
                one.times,
                _since(one.received_at),
            ]
            for one in _some(unsettled)
        ],
    )


def _old_holds() -> Worklist:
    late = Video.objects.live().late().filter(is_free=False)
    return Worklist(
        _("Credits held for longer than a video may take"),
        _("The next look should end each of them; if one stays, stop it by hand."),
        *_of_videos(late),
    )


def _unconfirmed() -> Worklist:
    return Worklist(
        _("Requests whose answer was lost"),
        _("The provider is asked whether they arrived; in the end they are refunded."),
        *_of_videos(Video.objects.live().filter(status=Status.UNCONFIRMED)),
    )


def _debtors() -> Worklist:
    owing = User.objects.filter(debt__gt=0).order_by("-debt")
    return Worklist(
        _("People who owe credits"),
        _("Their payment was returned after they had spent it. What they buy or get next pays it off."),
        [_("Who"), _("Credits owed"), _("Active")],
        [[_link(one), f"{one.debt:,}", _("yes") if one.is_active else _("no")] for one in _some(owing)],
    )


def _of_videos(videos: QuerySet[Video]) -> tuple[list[str], list[list[Any]]]:
    headers = [_("Video"), _("Who"), _("State"), _("Channel"), _("Credits"), _("Since")]
    found = _some(videos.select_related("user", "channel").order_by("created_at"))
    rows = [
        [
            _link(one, str(one.pk)[:8]),
            one.user,
            one.get_status_display(),
            one.channel,
            one.credits,
            _since(one.created_at),
        ]
        for one in found
    ]
    return headers, rows


def _some(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows[:MAX_SHOWN]


def _link(row: Model, text: str = "") -> str:
    meta = row._meta
    page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', page, text or row
    )


def _since(at: Any) -> str:
    return format_html(
        '<span title="{}">{}</span>', date_format(at, "DATETIME_FORMAT"), timesince(at, depth=1)
    )
