"""Plans: what the processor says of a subscription becomes one payment for each month that was paid.

From there on it is a payment like others: refunded, disputed, compared with Stripe's books. Its credits last until the next ones
come. Whatever a webhook or a visitor says, the processor is asked itself.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import payments, stripe_gateway
from accounts.models import PaidMonth, Payment, Plan, Subscription, User
from accounts.payments import Truth

log = logging.getLogger(__name__)

Status = Subscription.Status
OPEN_PAGE = timedelta(days=2)  # a checkout page is open for a day
YOUNGEST = timedelta(minutes=10)  # until then, its buyer is on the page
AT_ONCE = 500
PATIENCE = 120  # seconds
MAX_FAILURES = 3  # after so many in a row, the others are asked about an hour later


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice of a subscription that was paid, and the month that it is for."""

    number: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class State:
    """The processor's current state of a subscription. `number` is None as long as nobody has paid."""

    status: str
    number: str | None = None
    customer: str = ""
    is_ending: bool = False
    renews_at: datetime | None = None
    paid: tuple[Invoice, ...] = ()


def order(user: User, plan: Plan) -> Subscription:
    """Create an unpaid subscription to this plan on its current terms."""
    return Subscription.objects.create(
        user=user, plan=plan, name=plan.name, credits=plan.credits, price=plan.price, currency=plan.currency
    )


def open_order(user: User, plan: Plan) -> Subscription | None:
    """The user's unpaid subscription to this plan on its current terms, if one was made within REUSE."""
    return user.subscriptions.filter(
        plan=plan,
        credits=plan.credits,
        price=plan.price,
        currency=plan.currency,
        status=Status.CREATED,
        created_at__gte=timezone.now() - payments.REUSE,
    ).first()


def unpaid(user: User) -> QuerySet[Subscription]:
    """The subscriptions whose checkout page may still be open."""
    return user.subscriptions.filter(status=Status.CREATED, created_at__gte=timezone.now() - OPEN_PAGE)


def of_user(user: User) -> QuerySet[Subscription]:
    """The subscriptions that a user has, without those that have ended. One, unless two pages were paid at the same moment."""
    return user.subscriptions.filter(status__in=Subscription.LIVE)


def settle(
    subscription: Subscription,
    fetch: Callable[[Subscription], State],
    fetch_payment: Callable[[Payment], Truth],
) -> Subscription:
    """Apply the state that `fetch` returns, give the credits of each paid month, and return the updated subscription.

    `fetch_payment` says what was paid for a month: see `payments.settle`. Raises what both raise; a repeat completes what is missing.
    """
    while True:
        # Read before fetching: if somebody else settles in between, their state may be newer than ours.
        current = Subscription.objects.get(pk=subscription.pk)
        state = fetch(current)
        if _move(current, state):
            break
    for invoice in state.paid:
        payment = _payment_for(current, invoice)
        # What becomes of it later, we are told by events of its own.
        if payment.status == Payment.Status.CREATED:
            payments.settle(payment, fetch_payment)
    return Subscription.objects.get(pk=subscription.pk)


def ask_about_due(
    fetch: Callable[[Subscription], State], fetch_payment: Callable[[Payment], Truth]
) -> Counter[str]:
    """Settle what may have changed without anybody telling us: unpaid ones, and those whose month is over. Counts them by their status now."""
    now, began, found, failures = timezone.now(), time.monotonic(), Counter[str](), 0
    # At Stripe a month may begin an hour, or with a declined card days, before it is paid.
    is_paid = PaidMonth.objects.filter(subscription=OuterRef("pk"), ends_at__gt=now).exclude(
        payment__status=Payment.Status.CREATED
    )
    due = Subscription.objects.filter(
        Q(status=Status.CREATED, session__isnull=False, created_at__range=(now - OPEN_PAGE, now - YOUNGEST))
        | (Q(status__in=Subscription.LIVE) & ~Exists(is_paid))
    )
    # In any order: if there are more than can be asked about now, each has its turn some hour.
    for subscription in due.order_by("?")[:AT_ONCE]:
        if failures == MAX_FAILURES or time.monotonic() - began > PATIENCE:
            break
        try:
            found[settle(subscription, fetch, fetch_payment).status] += 1
        except stripe_gateway.NotOurs as error:
            log.warning(
                "subscription %s is unknown to Stripe, or not as it was sold: %s", subscription.pk, error
            )
            found["not ours"] += 1
            continue
        except stripe_gateway.Unreachable as error:
            log.warning("subscription %s could not be settled: %s", subscription.pk, error)
            found["not settled"] += 1
            failures += 1
            continue
        failures = 0
    return found


def _move(subscription: Subscription, state: State) -> bool:
    """Save the processor's state. False if somebody else has changed this subscription since it was read."""
    after = {
        "status": state.status,
        "number": state.number or subscription.number,
        "customer": state.customer or subscription.customer,
        "is_ending": state.is_ending,
        "renews_at": state.renews_at or subscription.renews_at,
    }
    if all(getattr(subscription, name) == value for name, value in after.items()):
        return True
    as_read = Subscription.objects.filter(pk=subscription.pk, version=subscription.version)
    if not as_read.update(**after, version=subscription.version + 1):
        return False
    log.info("subscription %s is %s.", subscription.pk, state.status)
    return True


def _payment_for(subscription: Subscription, invoice: Invoice) -> Payment:
    """The payment of an invoice; made if this is the first time that we hear of it."""
    if known := PaidMonth.objects.select_related("payment").filter(invoice=invoice.number).first():
        return known.payment
    try:
        with transaction.atomic():
            payment = Payment.objects.create(
                user_id=subscription.user_id,
                credits=subscription.credits,
                price=subscription.price,
                currency=subscription.currency,
                processor=Payment.Processor.STRIPE,
            )
            PaidMonth.objects.create(
                payment=payment,
                subscription=subscription,
                invoice=invoice.number,
                starts_at=invoice.starts_at,
                ends_at=invoice.ends_at,
            )
    except IntegrityError:
        return PaidMonth.objects.select_related("payment").get(invoice=invoice.number).payment
    return payment
