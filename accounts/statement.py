"""The statement: all ledger entries of a user in words, with the balance after each, filtered and paginated, or as CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from accounts.models import CreditEntry, Payment, User

# Spreadsheets treat cells that start with one of these as formulas, https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SIZES = (25, 50, 100, 200)  # lines of a page
CHUNK = 1000  # lines of a CSV file that are composed at once
PROMPT = 90  # characters of it in a line

Kind = CreditEntry.Kind


@dataclass(frozen=True)
class Line:
    """An entry as its owner reads it. `balance` is what they had after it, less what they owed; None if entries are left out."""

    entry: CreditEntry
    text: str
    balance: int | None
    video: Any = None  # if it is one's, and not deleted
    payment: Payment | None = None


def entries(user: User, kind: str = "") -> QuerySet[CreditEntry]:
    """The user's entries, newest first; only those of one kind if `kind` is valid."""
    found = user.credit_entries.all()
    return found.filter(kind=kind) if kind in Kind.values else found


class Pages(Paginator):  # type: ignore[type-arg]
    """Pages of a statement. Only the newest COUNTED entries are paginated; the CSV file has all."""

    COUNTED = 10_000

    @cached_property
    def count(self) -> int:
        return self.object_list[: self.COUNTED].count()  # type: ignore[attr-defined]


def lines(
    user: User, page: Sequence[CreditEntry], *, has_gaps: bool, balance: int | None = None
) -> list[Line]:
    """The lines for entries of this user in their order, newest first. `has_gaps`: entries between them are left out.

    `balance` after the first of them, if that is known.
    """
    if not page:
        return []
    videos: dict[UUID | None, Any] = {
        video.pk: video for video in user.videos.filter(pk__in=_keys(page, "video:"), deleted_at=None)
    }
    payments: dict[UUID | None, Payment] = {
        payment.pk: payment for payment in user.payments.filter(pk__in=_keys(page, "payment:"))
    }
    if balance is None and not has_gaps:
        balance = _balance_after(user, page[0])
    made = []
    for entry in page:
        video, payment = videos.get(_key(entry, "video:")), payments.get(_key(entry, "payment:"))
        made.append(Line(entry, _text(entry, video), balance, video, payment))
        balance = None if balance is None else balance - entry.amount
    return made


def as_csv(user: User, kind: str = "") -> Iterator[str]:
    """The statement as CSV, line by line: time (ISO 8601), kind, what for, reference, credits, balance."""
    write = csv.writer(_Echo()).writerow
    yield write([_("Time"), _("Kind"), _("For"), _("Reference"), _("Credits"), _("Balance")])
    found = entries(user, kind)
    rows, balance = found.iterator(chunk_size=CHUNK), None
    while chunk := list(islice(rows, CHUNK)):
        for line in lines(user, chunk, has_gaps=kind in Kind.values, balance=balance):
            entry = line.entry
            balance = None if line.balance is None else line.balance - entry.amount
            texts = [entry.created_at.isoformat(), entry.get_kind_display(), line.text, _reference(line)]
            yield write([*map(harmless, texts), entry.amount, "" if line.balance is None else line.balance])


def _balance_after(user: User, entry: CreditEntry) -> int:
    """What the account had after an entry, less what it owed: what it has now without what has come since."""
    newer = CreditEntry.objects.filter(user=OuterRef("pk"), pk__gt=entry.pk).order_by()
    total = Subquery(newer.values("user").annotate(n=Sum("amount")).values("n"))
    # One statement, so that an entry that comes meanwhile is in both or in neither.
    now = User.objects.filter(pk=user.pk).annotate(after=F("balance") - F("debt") - Coalesce(total, 0))
    return int(now.values_list("after", flat=True).get())


def _key(entry: CreditEntry, prefix: str) -> UUID | None:
    """The key of the video or payment that an entry is for."""
    kind, _colon, rest = entry.reference.partition(":")
    if f"{kind}:" != prefix:
        return None
    try:
        return UUID(rest.partition(":")[0])
    except ValueError:
        return None


def _keys(page: Iterable[CreditEntry], prefix: str) -> set[UUID]:
    return {key for entry in page if (key := _key(entry, prefix))}


def _text(entry: CreditEntry, video: Any) -> str:
    """What happened, in words."""
    about, _colon, rest = entry.reference.partition(":")
    if about == "video":
        prompt = Truncator(video.prompt).chars(PROMPT) if video else _("A deleted video")
        return " · ".join(filter(None, [prompt, entry.note]))
    if about == "payment":
        if entry.kind == Kind.CLAW_BACK:
            return _("Your payment was refunded or disputed.")
        return entry.note if ":" not in rest else _("A refund or dispute of your payment was withdrawn.")
    if entry.note:
        return entry.note
    return {
        "signup": _("Free credits"),
        "code": _("Redeemed code"),
        "lot": _("Not used in time"),
        "canceled": _("Canceled after the credits had expired"),
    }.get(about, "")


def _reference(line: Line) -> str:
    """What its owner, or the provider of the payment, knows it by."""
    if key := _key(line.entry, "video:"):
        return f"video_{key.hex}"
    return line.payment.receipt_url if line.payment else ""


def harmless(text: str) -> str:
    """A cell of a CSV file that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


class _Echo:
    """A file for the csv module that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line
