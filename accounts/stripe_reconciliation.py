"""What Stripe knows and nobody told us: payments whose webhook was lost, and those that are missing here."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts import low_balance, payments, plans, stripe_gateway, stripe_plans, stripe_top_ups
from accounts.models import BalanceTransaction, Payment, Subscription
from accounts.stripe_gateway import NoRecord, NotOurs, Unreachable

log = logging.getLogger(__name__)

# A checkout page is open for a day, and money may take two weeks to arrive after it was completed.
LONGEST = timedelta(days=30)
YOUNGEST = timedelta(minutes=10)  # until then, its buyer is on the page
AT_ONCE = 500
MAX_FAILURES = 3  # after so many in a row, Stripe is asked again an hour later
PATIENCE = 120  # seconds


def ask_about_open() -> Counter[str]:
    """Settle the payments that are not paid yet, as far as Stripe can say more of them. Counts them by their status now.

    Stripe tells us by webhooks, and so does a buyer who returns. This is for payments about which neither told us.
    """
    now = timezone.now()
    unpaid = Payment.objects.filter(
        # Or paid, and settled by a process of 0.9.0, which did not note the money.
        Q(status=Payment.Status.CREATED) | Q(paid_at__isnull=False, charged_at=None),
        Q(session__isnull=False) | Q(month__isnull=False),
        processor=Payment.Processor.STRIPE,
        created_at__range=(now - LONGEST, now - YOUNGEST),
    )
    found, failures, began = Counter[str](), 0, time.monotonic()
    # In any order: if there are more than can be asked about now, each has its turn some hour.
    for payment in unpaid.order_by("?")[:AT_ONCE]:
        if failures == MAX_FAILURES or time.monotonic() - began > PATIENCE:
            break
        try:
            status = payments.settle(payment, stripe_gateway.truth_of).status
        except NotOurs as error:
            log.warning("payment %s is still open, and unknown to Stripe: %s", payment.pk, error)
            found["not ours"] += 1
            continue
        except Unreachable as error:
            log.warning("payment %s is still open, and could not be settled: %s", payment.pk, error)
            found["not settled"] += 1
            failures += 1
            continue
        failures = 0
        found[status] += 1
        if payment.paid_at is None and status not in (Payment.Status.CREATED, Payment.Status.EXPIRED):
            log.error("payment %s is %s, but no webhook told us; see docs/operating.md", payment.pk, status)
    return found


@dataclass
class Books:
    """What Stripe has booked since some day beside what is recorded here. Amounts are in the currency's smallest unit."""

    days: dict[tuple[date, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[str] = field(default_factory=list)
    of_others: int = 0  # transactions of other products that use the same account

    def add(self, move: BalanceTransaction) -> None:
        """Add it to its day (UTC) and currency: its amount by category, and fee and net of all."""
        day = self.days[move.created_at.astimezone(UTC).date(), move.currency]
        day[move.category] += move.amount
        day["fee"] -= move.fee
        day["net"] += move.net


def compare_books(since: datetime) -> Books:
    """Compare, to the cent, what Stripe has booked for our payments, and its payouts, with what is recorded here.

    A payment of which something is not recorded is settled first: its webhook was lost. Raises Unreachable, also if our key may not
    read the balance.
    """
    books, began = Books(), timezone.now()
    moves = list(stripe_gateway.balance_transactions(since))
    intents = {intent for _move, intent in moves if intent}
    ours: dict[str | None, Payment] = {}
    for payment in Payment.objects.filter(intent__in=intents):
        ours[payment.intent] = payment
    recorded = BalanceTransaction.objects.in_bulk([move.pk for move, _intent in moves])
    missing = {intent for move, intent in moves if intent in ours and move.pk not in recorded}
    for intent in missing:
        with suppress(NotOurs):
            payments.settle(ours[intent], stripe_gateway.truth_of)
    recorded = BalanceTransaction.objects.in_bulk([move.pk for move, _intent in moves])
    for move, intent in moves:
        known, of_ours = recorded.get(move.pk), ours.get(intent)
        if known and _facts(known) != _facts(move):
            books.problems.append(f"{move.pk} is {move} at Stripe, and {known} here")
        if of_ours and not known:
            books.problems.append(f"{move.pk}, {move}, is of payment {of_ours.pk}, but is not recorded here")
        if known or of_ours or move.category == "payout":
            books.add(move)
        else:
            books.of_others += 1
    for one in BalanceTransaction.objects.filter(created_at__range=(since, began)):
        if one.pk not in recorded:
            books.problems.append(f"{one.pk}, {one}, of payment {one.payment_id}, is unknown to Stripe")
    unbooked = Payment.objects.filter(
        processor=Payment.Processor.STRIPE,
        paid__gt=0,
        charged_at__range=(since, began),
        balance_transactions=None,
    )
    # Of what was charged under 0.9.0, that day is a guess: Stripe may have booked it before `since`.
    for payment in unbooked:
        with suppress(NotOurs):
            payments.settle(payment, stripe_gateway.truth_of)
    books.problems += [
        f"payment {payment.pk} was paid, but Stripe has booked nothing for it" for payment in unbooked.all()
    ]
    return books


def _facts(move: BalanceTransaction) -> tuple[object, ...]:
    return (move.amount, move.fee, move.currency, move.category)


def reconcile(since: datetime) -> Iterator[tuple[Payment, str] | NoRecord]:
    """Settle all payments and subscriptions that were made at Stripe since then, known here or not, and all plans that people have.

    Yields each with its status before ("" if there was no record of it), or what is wrong. Raises Unreachable.
    """
    for found in stripe_gateway.payments_since(since):
        if isinstance(found, NoRecord):
            yield found
        else:
            is_new = found.is_recovered and found.version == 0
            yield payments.settle(found, stripe_gateway.truth_of), "" if is_new else found.status
    for top_up in stripe_top_ups.paid_since(since):
        if isinstance(top_up, NoRecord):
            yield top_up
        else:
            yield low_balance.complete(top_up), top_up.payment.status
    made = []
    for found_plan in stripe_plans.made_since(since):
        if isinstance(found_plan, NoRecord):
            yield found_plan
        else:
            made.append(found_plan.pk)
    for subscription in Subscription.objects.filter(Q(status__in=Subscription.LIVE) | Q(pk__in=made)):
        known = set(subscription.months.values_list("pk", flat=True))
        with suppress(NotOurs):
            plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
        for month in subscription.months.exclude(pk__in=known).select_related("payment"):
            yield month.payment, ""
