"""A person's account on one page of the admin: where each credit came from and went, so that staff can explain any balance."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Sum
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import statement
from accounts.models import CodeBatch, CreditEntry, Lot, Payment, RedeemCode, StaffGrant, User
from accounts.statement import Line
from videos.models import Video

NEWEST = 100  # entries that are shown; the rest is in the list of entries

Kind = CreditEntry.Kind


@dataclass(frozen=True)
class Explained:
    """A line of the statement with the page of what it is about, and what only staff know of it."""

    line: Line
    href: str
    internal: str


def context(request: HttpRequest, user: User) -> dict[str, Any]:
    """What the template shows; empty for members of staff who may not see credit entries."""
    may = request.user.has_perm  # type: ignore[union-attr]
    if not may("accounts.view_creditentry"):
        return {}
    newest = list(statement.entries(user)[:NEWEST])
    sees_money = may("accounts.view_payment")
    return {
        "account": user,
        "sums": _sums(user),
        "sees_money": sees_money,
        "lines": [_explain(line, sees_money) for line in statement.lines(user, newest, has_gaps=False)],
        "has_more": len(newest) == NEWEST,
        "all_entries": f"{reverse('admin:accounts_creditentry_changelist')}?user__id__exact={user.pk}",
        "lots": user.lots.filter(left__gt=0).order_by("expires_at"),
        "now": timezone.now(),
        "payments": [(one, _page(one)) for one in user.payments.all()[:NEWEST]] if sees_money else [],
        "codes": [(one, _page(one.batch)) for one in user.codes.select_related("batch")[:NEWEST]]
        if may("accounts.view_codebatch")
        else [],
        "grants": [(one, _page(one)) for one in user.staff_grants.select_related("giver", "second")[:NEWEST]]
        if may("accounts.view_staffgrant")
        else [],
        "unfinished": user.videos.live().filter(is_free=False).aggregate(n=Sum("credits"))["n"] or 0,
    }


def _sums(user: User) -> list[tuple[str, int]]:
    """How the balance comes about: the credits of each kind of entry."""
    found = user.credit_entries.order_by().values_list("kind").annotate(n=Sum("amount"))
    totals: dict[str, int] = dict(found)
    return [(str(kind.label), totals[kind]) for kind in Kind if kind in totals]


def _explain(line: Line, sees_money: bool) -> Explained:
    about, _colon, rest = line.entry.reference.partition(":")
    key = rest.partition(":")[0]
    rows: dict[str, Any] = {"video": Video, "payment": Payment, "lot": Lot}
    row: Model | None = None
    internal = ""
    if about in rows and key:
        href = _page_of(rows[about], key)
        if line.payment and sees_money:
            internal = " · ".join(filter(None, [line.payment.get_status_display(), line.payment.reason]))
        return Explained(line, href, internal)
    if about == "code" and key.isdecimal():
        code = RedeemCode.objects.select_related("batch").filter(pk=key).first()
        row, internal = (code.batch, str(code)) if code else (None, "")
    elif about == "staff":
        row = StaffGrant.objects.select_related("giver").filter(reference=line.entry.reference).first()
        internal = f"{row.giver or _('The command line')}: {row.reason}" if row else ""
    return Explained(line, _page(row) if row else "", internal)


def _page(row: StaffGrant | Payment | CodeBatch | Model) -> str:
    return _page_of(type(row), row.pk)


def _page_of(model: type[Model], pk: object) -> str:
    try:
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])
    except NoReverseMatch:
        return ""
