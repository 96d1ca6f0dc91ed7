"""A month (UTC) in figures, for an accountant: what was sold, what Stripe took, which credits are still owed, and what the videos cost.

`manage.py export_month` and the money console write it as CSV. All of it is counted anew from payments, Stripe's balance
transactions, the ledger and the videos, so a month can be exported again, and says the same unless something of it was refunded
at Stripe or settled since.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, F, Q, Sum

from accounts.models import BalanceTransaction, CreditEntry, Payment, in_main_unit
from accounts.statement import harmless
from accounts.utc_days import start_of, today
from aivideo.models import LedgerDay
from aivideo.staff import daily_totals
from videos.models import Status, Video, VideoModel

HEADER = ("section", "item", "currency", "amount", "credits", "number")


@dataclass(frozen=True)
class Line:
    """One figure. `amount` is in the currency's main unit, signed from our point of view; `number` counts payments or videos."""

    section: str
    item: str
    currency: str = ""
    amount: Decimal | None = None
    credits: int | None = None
    number: int | None = None

    def as_row(self) -> tuple[str, ...]:
        figures = (self.amount, self.credits, self.number)
        return (
            self.section,
            harmless(self.item),
            self.currency.upper(),
            *("" if one is None else f"{one}" for one in figures),
        )


@dataclass(frozen=True)
class Month:
    """A calendar month in UTC. `end` is the moment at which it is over."""

    first: date

    @property
    def start(self) -> datetime:
        return start_of(self.first)

    @property
    def after(self) -> date:
        """The first day of the next month."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def end(self) -> datetime:
        return start_of(self.after)

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"


def last() -> Month:
    """The last month that is over."""
    return Month((today().replace(day=1) - timedelta(days=1)).replace(day=1))


def parse(text: str) -> Month:
    """2026-11 → that month. Raises ValueError for anything else, and for a month that has not begun."""
    month = Month(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date())
    if month.first > today():
        raise ValueError(f"{text} has not begun yet.")
    return month


def as_csv(month: Month) -> str:
    """The whole file, with a header."""
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *(line.as_row() for line in lines(month))])
    return text.getvalue()


def lines(month: Month) -> Iterator[Line]:
    """All figures of a month, section by section."""
    yield Line("month", str(month))
    yield from _sales(month)
    yield from _at_stripe(month)
    yield from _credits(month)
    yield from _videos(month)


def _sales(month: Month) -> Iterator[Line]:
    """What customers paid, by the day on which we saw that the money had come."""
    paid = Payment.objects.filter(
        processor=Payment.Processor.STRIPE, charged_at__gte=month.start, charged_at__lt=month.end
    )
    sums = paid.order_by().values("paid_currency")
    sums = sums.annotate(n=Count("pk"), total=Sum("paid"), taxes=Sum("tax"), discounts=Sum("discount"))
    for row in sums.order_by("paid_currency"):
        currency, total, taxes = row["paid_currency"], row["total"], row["taxes"]
        yield _money("sales", "paid", currency, total, number=row["n"])
        yield _money("sales", "of it tax", currency, taxes)
        yield _money("sales", "of it without tax", currency, total - taxes)
        yield _money("sales", "discounts, not in what was paid", currency, row["discounts"])


def _at_stripe(month: Month) -> Iterator[Line]:
    """What our account at Stripe gained and lost, as Stripe booked it: refunds, disputes and fees, to the cent."""
    moves = BalanceTransaction.objects.filter(
        created_at__gte=month.start, created_at__lt=month.end
    ).order_by()
    by_category = moves.values("currency", "category").annotate(n=Count("pk"), total=Sum("amount"))
    for row in by_category.order_by("currency", "category"):
        yield _money("stripe", row["category"], row["currency"], row["total"], number=row["n"])
    for sums in moves.values("currency").annotate(fees=Sum("fee"), left=Sum("net")).order_by("currency"):
        yield _money("stripe", "fee", sums["currency"], -sums["fees"])
        yield _money("stripe", "net", sums["currency"], sums["left"])


def _credits(month: Month) -> Iterator[Line]:
    """What accounts gained and lost, and what is owed: all balances without what customers owe us."""
    yield Line("credits", "owed before", credits=_owed(month.first))
    moved = daily_totals.credits_by_day(month.first)
    for kind in CreditEntry.Kind.values:
        total = sum(credits[kind] for day, credits in moved.items() if month.first <= day < month.after)
        yield Line("credits", kind, credits=total)
    yield Line("credits", "owed after", credits=_owed(month.after))


def _owed(day: date) -> int:
    """The sum of all entries before a day."""
    saved = LedgerDay.objects.filter(day__lt=day).aggregate(n=Sum("credits"))["n"] or 0
    newer = CreditEntry.objects.filter(pk__gt=daily_totals.last_counted(), created_at__lt=start_of(day))
    return saved + (newer.order_by().aggregate(n=Sum("amount"))["n"] or 0)


def _videos(month: Month) -> Iterator[Line]:
    """By model: the videos that ended, the credits that were kept for them, and what the providers took, in US dollars.

    The margin values a credit at what one brought on average in the sales of the month, if all were in US dollars.
    """
    worth = _worth_of_a_credit(month)
    for model in VideoModel.objects.order_by("slug"):
        # A model at a time: there is an index for that.
        ended = Video.objects.filter(
            model=model, ended_at__gte=month.start, ended_at__lt=month.end
        ).order_by()
        completed = Q(status=Status.COMPLETED)
        row = ended.aggregate(
            completed=Count("pk", filter=completed),
            others=Count("pk", filter=~completed),
            kept=Sum("credits", filter=completed & Q(is_free=False)),
            sold=Sum("cost", filter=completed & Q(is_free=False)),
            lost=Sum("cost", filter=~completed | Q(is_free=True)),
        )
        if not row["completed"] and not row["others"]:
            continue
        kept, cost, lost = row["kept"] or 0, row["sold"] or Decimal(0), row["lost"] or Decimal(0)
        yield Line("videos", f"{model.slug}: completed", credits=kept, number=row["completed"])
        yield Line("videos", f"{model.slug}: failed and canceled", number=row["others"])
        yield Line("videos", f"{model.slug}: cost of what was sold", "usd", -cost)
        yield Line("videos", f"{model.slug}: cost of what was not", "usd", -lost)
        if worth is not None:
            margin = (kept * worth - cost - lost).quantize(Decimal("0.01"))
            yield Line("videos", f"{model.slug}: margin at the average price", "usd", margin)


def _worth_of_a_credit(month: Month) -> Decimal | None:
    """US dollars without tax, by the sales of the month; None if there were none, or some in other currencies."""
    sold = Payment.objects.filter(
        processor=Payment.Processor.STRIPE, paid_at__gte=month.start, paid_at__lt=month.end
    ).order_by()
    if set(sold.values_list("paid_currency", flat=True).distinct()) != {"usd"}:
        return None
    sums = sold.aggregate(money=Sum(F("paid") - F("tax")), credits=Sum("credits"))
    return in_main_unit(sums["money"], "usd") / sums["credits"]


def _money(section: str, item: str, currency: str, cents: int, number: int | None = None) -> Line:
    return Line(section, item, currency, in_main_unit(cents, currency), number=number)
