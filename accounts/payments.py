"""Life of a payment: created → paid, held or expired, and possibly refunded, disputed or lost later.

Whatever may have changed a payment (a webhook, the return page, the test checkout, a member of staff) calls
`settle`. It fetches the current state from the processor and applies it to the payment and the ledger. So it
does not matter how often, in which order or by whom we are notified, and a claim alone that something was
paid changes nothing. A status that is unknown here moves no credits; the payment waits for staff and for the
next call.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts import credits
from accounts.models import (
    BalanceTransaction,
    CreditEntry,
    CreditPack,
    LowBalance,
    PaidMonth,
    Payment,
    User,
    money,
)

log = logging.getLogger(__name__)

Status = Payment.Status
# Stripe renews about an hour after a month has ended. Until the next credits are there, the old ones can be spent.
RENEWAL = timedelta(days=1)
REUSE = timedelta(minutes=30)  # an open checkout page is shown again for so long, in place of a new one


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The processor's current state of a payment. Amounts are in the currency's smallest unit."""

    is_paid: bool
    amount: int = 0  # in all, with taxes and without discounts
    subtotal: int | None = None  # without taxes that come on top, and before discounts; None: the same
    tax: int = 0
    discount: int = 0
    currency: str = ""
    intent: str | None = None
    customer: str | None = None
    receipt_url: str = ""
    refunded: int = 0
    disputed: int = 0  # withdrawn by open or lost disputes
    is_contested: bool = False  # one of these disputes is not over yet
    is_over: bool = False  # it is not paid, and cannot be any more
    transactions: tuple[BalanceTransaction, ...] = ()  # unsaved; none if they may not be read
    unclear: str = ""  # why we cannot tell where the money is, in a sentence for staff


def order(user: User, pack: CreditPack, processor: Payment.Processor, customer: str | None = None) -> Payment:
    """Create an unpaid payment for this pack on its current terms. `customer` is the user's id at the processor, if that is settled."""
    return Payment.objects.create(
        user=user,
        pack=pack,
        credits=pack.credits,
        price=pack.price,
        currency=pack.currency,
        processor=processor,
        customer=customer,
    )


def customer_of(user: User) -> str | None:
    """The id under which the processor knows this user from their latest payment, or from a card that they have saved."""
    known = user.payments.filter(processor=Payment.Processor.STRIPE, customer__isnull=False)
    # Whose a recovered payment is, staff have to decide first; and an automatic one may have failed because its customer is gone.
    known = known.exclude(is_recovered=True, paid_at=None).exclude(top_up__isnull=False, paid_at=None)
    with_card = LowBalance.objects.filter(user=user).exclude(customer="").values_list("customer", flat=True)
    return known.order_by("-created_at").values_list("customer", flat=True).first() or with_card.first()


def recover(pk: UUID, user: User, session: str, price: int, currency: str, bought: int) -> Payment:
    """The payment of a checkout session that was paid, made anew because there is no record of it here.

    A backup was restored, for example. Nothing tells whether the `bought` credits were spent since, so that it is held for staff.
    """
    payment, is_new = Payment.objects.get_or_create(
        pk=pk,
        defaults={
            "user": user,
            "credits": bought,
            "price": price,
            "currency": currency,
            "processor": Payment.Processor.STRIPE,
            "session": session,
            "is_recovered": True,
        },
    )
    if is_new:
        log.error("payment %s was paid, but there was no record of it", pk)
    return payment


def open_order(user: User, pack: CreditPack) -> Payment | None:
    """The user's unpaid payment by Stripe for this pack on its current terms, if one was made within REUSE."""
    return user.payments.filter(
        pack=pack,
        credits=pack.credits,
        price=pack.price,
        currency=pack.currency,
        processor=Payment.Processor.STRIPE,
        session__isnull=False,
        status=Status.CREATED,
        created_at__gt=timezone.now() - REUSE,
    ).first()


def settle(payment: Payment, fetch: Callable[[Payment], Truth]) -> Payment:
    """Apply the state that `fetch` returns to a payment, and return the updated payment.

    Raises what `fetch` raises; nothing has changed then.
    """
    while True:
        # Read before fetching: if somebody else settles in between, their state may be newer than ours.
        current = Payment.objects.select_related("user").get(pk=payment.pk)
        if _move(current, fetch(current)):
            return Payment.objects.get(pk=payment.pk)


def credits_by_day(since: datetime) -> dict[date, int]:
    """The credits that payments have brought since then, without those that were taken back, by day (UTC)."""
    entries = CreditEntry.objects.filter(kind__in=["purchase", "claw_back"], created_at__gte=since)
    by_day = entries.annotate(day=TruncDate("created_at", tzinfo=UTC)).values_list("day")
    return defaultdict(int, by_day.annotate(n=Sum("amount")))


def accept(payment: Payment) -> bool:
    """Accept a held payment as sufficient, by decision of staff. True if its credits were granted now.

    Settle it first: what was refunded meanwhile is not held any more.
    """
    with transaction.atomic():
        held = (
            Payment.objects.select_for_update()
            .filter(pk=payment.pk, status=Status.HELD, paid_at=None)
            .first()
        )
        if held is None:
            return False
        _give(held)
        # A part of it may have gone back already.
        truth = Truth(is_paid=True, amount=held.paid, refunded=held.refunded, disputed=held.disputed)
        held.clawed_back, held.version = _to_take_back(held.credits, truth), held.version + 1
        held.status, held.reason, held.paid_at = Status.PAID, "", timezone.now()
        held.save(update_fields=["clawed_back", "version", "status", "reason", "paid_at"])
        if held.clawed_back:
            reference = f"{held.reference}:{held.version}"
            credits.claw_back(
                held.user,
                held.clawed_back,
                reference=reference,
                note=Status.REFUNDED,
                source=held.reference,
            )
        return True


def _give(payment: Payment) -> bool:
    return credits.purchase(
        payment.user,
        payment.credits,
        reference=payment.reference,
        note=payment.shown_price,
        expires_at=_expiry(payment),
    )


def _expiry(payment: Payment) -> datetime | None:
    """Until when its credits last: those of a plan until the next ones come; None for ever."""
    month = PaidMonth.objects.filter(payment=payment).first()
    if month is None:
        return None
    now = timezone.now()
    # If we heard of it only when it was over, the buyer has a whole month all the same.
    until = month.ends_at if month.ends_at > now else now + (month.ends_at - month.starts_at)
    return until + RENEWAL


def _move(payment: Payment, truth: Truth) -> bool:
    """Apply the processor's state. False if somebody else has changed this payment since it was read."""
    wrong = "" if payment.paid_at else _what_is_wrong(payment, truth)
    becomes_paid = payment.paid_at is None and truth.is_paid and not wrong and not truth.unclear
    gave = becomes_paid or payment.paid_at is not None
    status, reason = _status(truth, wrong, gave)
    clawed_back = _to_take_back(payment.credits, truth) if gave else 0
    if truth.unclear:
        clawed_back = payment.clawed_back
    after = {
        "status": status,
        "reason": reason,
        "intent": truth.intent or payment.intent,
        "customer": payment.customer or truth.customer,
        "receipt_url": truth.receipt_url or payment.receipt_url,
        "clawed_back": clawed_back,
        **_money(payment, truth),
        "paid_at": timezone.now() if becomes_paid else payment.paid_at,
    }
    transactions = _new_transactions(payment, truth)
    if not transactions and all(getattr(payment, name) == value for name, value in after.items()):
        return True
    with transaction.atomic():
        as_read = Payment.objects.filter(pk=payment.pk, version=payment.version)
        if not as_read.update(**after, version=payment.version + 1):
            return False
        BalanceTransaction.objects.bulk_create(transactions)
        if becomes_paid:
            _give(payment)
        reference, more = f"{payment.reference}:{payment.version + 1}", clawed_back - payment.clawed_back
        if more > 0:
            credits.claw_back(payment.user, more, reference=reference, note=status, source=payment.reference)
            # Whose money goes back does not want that the same is bought again.
            to_buy = LowBalance.objects.filter(user=payment.user_id, status__in=LowBalance.TO_BUY)
            to_buy.update(
                status=LowBalance.Status.PAUSED, problem=LowBalance.Problem.RETURNED, noticed_at=None
            )
        elif more < 0:
            credits.purchase(
                payment.user, -more, reference=reference, note=status, expires_at=_expiry(payment)
            )
    level = logging.WARNING if status in (Status.HELD, Status.DISPUTED) else logging.INFO
    log.log(level, "payment %s is %s. %s", payment.pk, status, reason)
    return True


def _money(payment: Payment, truth: Truth) -> dict[str, Any]:
    """What the processor says of the money."""
    if not truth.is_paid:
        return {}
    return {
        "paid": truth.amount,
        "tax": truth.tax,
        "discount": truth.discount,
        "paid_currency": truth.currency,
        "refunded": truth.refunded,
        "disputed": payment.disputed if truth.unclear else truth.disputed,
        "charged_at": payment.charged_at or timezone.now(),
    }


def _new_transactions(payment: Payment, truth: Truth) -> list[BalanceTransaction]:
    """Those that are not recorded yet. What Stripe has booked never changes."""
    known = set(payment.balance_transactions.values_list("pk", flat=True)) if truth.transactions else set()
    new = [one for one in truth.transactions if one.pk not in known]
    for one in new:
        one.payment = payment
    return new


def _status(truth: Truth, wrong: str, gave: bool) -> tuple[str, str]:
    """A payment's status, and the reason if it needs a decision. `gave`: whether its credits have been granted."""
    if not gave and not truth.is_paid:
        return (Status.EXPIRED if truth.is_over else Status.CREATED), ""
    if truth.unclear:
        return Status.HELD, "; ".join(filter(None, [truth.unclear, wrong]))
    if truth.disputed:
        return (Status.DISPUTED if truth.is_contested else Status.LOST), ""
    if truth.refunded and (gave or truth.refunded >= truth.amount):
        return Status.REFUNDED, ""
    if wrong:
        return Status.HELD, wrong
    return Status.PAID, ""


def _what_is_wrong(payment: Payment, truth: Truth) -> str:
    """Why staff have to decide whether its credits are granted; empty if they need not."""
    if not _is_as_ordered(payment, truth):
        return f"paid {money(_ordered(truth), truth.currency)}, which is not what was ordered"
    if payment.is_recovered:
        return "it was paid, but there was no record of it here; was a backup restored?"
    return ""


def _is_as_ordered(payment: Payment, truth: Truth) -> bool:
    return (_ordered(truth), truth.currency) == (payment.price, payment.currency)


def _ordered(truth: Truth) -> int:
    """The price that was paid, whatever tax came on top, and whatever a promotion code of ours took off."""
    return truth.amount if truth.subtotal is None else truth.subtotal


def _to_take_back(given: int, truth: Truth) -> int:
    """The share of the credits whose money went back, rounded in the customer's favor."""
    went_back = min(truth.refunded + truth.disputed, truth.amount)
    return given * went_back // truth.amount if went_back else 0
