"""The statement: all ledger entries of a user, filtered and paginated, or as CSV."""

import csv
from collections.abc import Iterable, Iterator

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from accounts.models import CreditEntry, User

# Spreadsheets treat cells that start with one of these as formulas, https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def entries(user: User, kind: str = "") -> QuerySet[CreditEntry]:
    """The user's entries, newest first; only those of one kind if `kind` is valid."""
    found = user.credit_entries.all()
    return found.filter(kind=kind) if kind in CreditEntry.Kind.values else found


class Pages(Paginator):  # type: ignore[type-arg]
    """Pages of a statement. Only the newest COUNTED entries are paginated; the CSV file has all."""

    COUNTED = 10_000

    @cached_property
    def count(self) -> int:
        return self.object_list[: self.COUNTED].count()  # type: ignore[attr-defined]


def add_receipts(lines: Iterable[CreditEntry], user: User) -> None:
    """Set `receipt_url` on each entry of a payment: the processor's receipt page."""
    of_payments = [line for line in lines if line.reference.startswith("payment:")]
    keys = {line.reference.split(":")[1] for line in of_payments}
    urls = {str(pk): url for pk, url in user.payments.filter(pk__in=keys).values_list("pk", "receipt_url")}
    for line in of_payments:
        line.receipt_url = urls.get(line.reference.split(":")[1], "")  # type: ignore[attr-defined]


def as_csv(lines: Iterable[CreditEntry]) -> Iterator[str]:
    """The statement as CSV, line by line: time (ISO 8601), kind, note, reference, credits."""
    write = csv.writer(_Echo()).writerow
    yield write([_("Time"), _("Kind"), _("For"), _("Reference"), _("Credits")])
    for entry in lines:
        texts = [entry.created_at.isoformat(), entry.get_kind_display(), entry.note, entry.reference]
        yield write([*map(_harmless, texts), entry.amount])


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


class _Echo:
    """A file for the csv module that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line
