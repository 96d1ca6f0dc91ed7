"""Low balances: tell their owners, or buy a pack with their saved card, as each has asked for.

The supervisor looks whether somebody is due. One purchase is made at a time for a user: its payment and its TopUp are written
first, under a lock, and then the card is charged with keys that make each step at Stripe happen once. What was begun and not
completed is completed within the hour, or given up: see `stripe_top_ups.charge`.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import payments, stripe_gateway, stripe_top_ups, utc_days
from accounts.models import CreditPack, LowBalance, Payment, TopUp, User, money
from accounts.payments import Truth
from accounts.stripe_gateway import NotOurs, Unreachable
from accounts.stripe_top_ups import Card, Declined

log = logging.getLogger(__name__)

Status, Problem = LowBalance.Status, LowBalance.Problem
OF_THE_CARD = (Problem.DECLINED, Problem.CONFIRM, Problem.FAILED)  # it takes another one

NO_CARD: dict[str, Any] = {"session": None, "card": "", "card_name": ""}
YOUNGEST = timedelta(minutes=10)  # until then, whoever began it is still at it
PATIENCE = 45  # seconds
AT_ONCE = 200
MAX_FAILURES = 3  # after so many in a row, the others are completed an hour later


# --- What its owner asks for


def email(user: User, below: int) -> None:
    """Tell this user by email when their balance falls below so many credits."""
    _set(user, status=Status.EMAIL, below=below, noticed_at=None, problem="")


def buy(user: User, below: int, pack: CreditPack, a_month: int) -> LowBalance:
    """Buy this pack on its current terms when the balance falls below so many credits, at most `a_month` times a month.

    Waits for a card if none is saved, or if the last one was declined.
    """
    has_card = LowBalance.objects.filter(user=user).exclude(card="").exists()
    return _set(
        user,
        **({"status": Status.BUY} if has_card else {"status": Status.WAITING, "session": None}),
        below=below,
        noticed_at=None,
        problem="",
        pack=pack,
        credits=pack.credits,
        price=pack.price,
        currency=pack.currency,
        a_month=a_month,
    )


def switch_off(user: User) -> None:
    """Neither tell nor buy any more, and forget the card."""
    LowBalance.objects.filter(user=user).update(status=Status.OFF, problem="", **NO_CARD)


def take_card(low: LowBalance, fetch: Callable[[LowBalance], Card | None]) -> bool:
    """Begin to watch the balance if its owner has saved a card. False if there is none yet. Raises what `fetch` raises."""
    if low.status != Status.WAITING or low.session is None:
        return low.status == Status.BUY
    card = fetch(low)
    if card is None:
        return False
    asked = LowBalance.objects.filter(pk=low.pk, session=low.session, status=Status.WAITING)
    asked.update(status=Status.BUY, customer=card.customer, card=card.number, card_name=card.name)
    low.refresh_from_db()  # a webhook may have been faster
    return low.status == Status.BUY


def _set(user: User, **values: object) -> LowBalance:
    low, _is_new = LowBalance.objects.update_or_create(user=user, defaults=values)
    return low


# --- Who is due


def due() -> QuerySet[LowBalance]:
    """Who has to be told, or to be bought a pack; and who was told and has enough again."""
    is_low = Q(user__balance__lt=F("below"), user__debt=0, user__is_active=True)
    is_told = Q(noticed_at__isnull=False)
    buying = Exists(TopUp.objects.filter(user=OuterRef("pk"), is_open=True))
    to_tell = Q(status=Status.EMAIL) & is_low & ~is_told
    to_buy = Q(status=Status.BUY) & is_low & ~buying & (~is_told | Q(noticed_at__lt=_this_month()))
    if not stripe_gateway.is_configured():
        to_buy = Q(pk=None)
    was_paused = Q(status=Status.PAUSED, problem=Problem.RETURNED) & ~is_told
    has_enough = Q(status__in=[Status.EMAIL, Status.BUY], user__balance__gte=F("below")) & is_told
    return LowBalance.objects.filter(to_tell | to_buy | was_paused | has_enough)


def attend() -> int:
    """Do what is due. Returns for how many. Two at the same time do nothing twice."""
    began, count = time.monotonic(), 0
    for pk in due().order_by("?").values_list("pk", flat=True)[:AT_ONCE]:
        # While others had their turn, its owner may have asked for something else.
        low = due().select_related("user", "pack").filter(pk=pk).first()
        if low is None:
            continue
        if time.monotonic() - began > PATIENCE or not _attend_to(low):
            break  # the others when they are looked for again
        count += 1
    return count


def complete_open() -> None:
    """Complete what was begun, and not completed because we or Stripe were gone. Called hourly."""
    began, failures = time.monotonic(), 0
    begun = TopUp.objects.filter(is_open=True, payment__created_at__lt=timezone.now() - YOUNGEST)
    for top_up in begun.order_by("?")[:AT_ONCE]:
        if failures == MAX_FAILURES or time.monotonic() - began > PATIENCE:
            break
        failures = 0 if _try_to_complete(top_up) else failures + 1


def _attend_to(low: LowBalance) -> bool:
    """False if there is no point in going on: mail or Stripe do not answer."""
    if low.status == Status.PAUSED:
        return _tell_once(low, _STOPPED, _why(low.problem))
    if low.user.balance >= low.below:
        LowBalance.objects.filter(pk=low.pk).update(noticed_at=None)
        return True
    if low.status == Status.EMAIL:
        return _tell_once(low, _LOW, _left(low.user.balance))
    if not low.is_as_agreed:
        _pause(low, Problem.CHANGED)
        return True
    if _bought_this_month(low.user) >= low.a_month:
        text = _("No more are bought this month, because your limit is reached.")
        return _tell_once(low, _LOW, f"{_left(low.user.balance)} {text}")
    top_up = _begin(low)
    return top_up is None or _try_to_complete(top_up)


# --- Buying


def _begin(low: LowBalance) -> TopUp | None:
    """Write down a purchase that is made now; None if somebody else is at it, or it is not wanted any more."""
    with transaction.atomic():
        low = LowBalance.objects.select_for_update().get(pk=low.pk)
        is_wanted = low.status == Status.BUY and due().filter(pk=low.pk).exists() and low.is_as_agreed
        if not is_wanted or low.pack is None or _bought_this_month(low.user) >= low.a_month:
            return None
        payment = payments.order(low.user, low.pack, Payment.Processor.STRIPE, low.customer)
        return TopUp.objects.create(payment=payment, user=low.user, card=low.card)


def _bought_this_month(user: User) -> int:
    made = user.top_ups.filter(payment__created_at__gte=_this_month())
    return made.exclude(payment__status=Payment.Status.EXPIRED).count()


def _this_month() -> datetime:
    return utc_days.start_of(utc_days.today().replace(day=1))


def _try_to_complete(top_up: TopUp) -> bool:
    try:
        complete(top_up)
    except (Unreachable, NotOurs) as error:
        log.warning("top-up %s could not be completed: %s", top_up.pk, error)
        return False
    return True


def complete(top_up: TopUp) -> Payment:
    """Charge the card if that is still wanted, and give the credits; a repeat continues where it stopped. Raises Unreachable and NotOurs."""
    top_up = TopUp.objects.select_related("payment").get(pk=top_up.pk)
    low = LowBalance.objects.select_related("user").get(pk=top_up.user_id)
    payment, problem = top_up.payment, ""
    try:
        if payment.status == Payment.Status.CREATED:
            stripe_top_ups.charge(top_up, is_wanted=_is_wanted(low, top_up))
        payment = payments.settle(payment, stripe_gateway.truth_of)
    except Declined as refusal:
        log.info("top-up %s was not charged: %s", top_up.pk, refusal)
        payment = payments.settle(payment, lambda _payment: Truth(is_paid=False, is_over=True))
        problem = refusal.problem
    # As long as staff have to decide, nothing else is bought.
    if payment.status in (Payment.Status.CREATED, Payment.Status.HELD):
        return payment
    if not TopUp.objects.filter(pk=top_up.pk, is_open=True).update(is_open=False):
        return payment
    if payment.status == Payment.Status.PAID:
        text = _("You had fewer than %(below)d credits, so %(n)d were bought for %(price)s with your card.")
        price = money(payment.paid, payment.paid_currency)
        values = {"below": low.below, "n": payment.credits, "price": price}
        _send(low.user, _("Credits were bought for you"), text % values)
    elif problem or payment.status != Payment.Status.EXPIRED:
        _pause(low, problem or Problem.RETURNED)
    return payment


def _is_wanted(low: LowBalance, top_up: TopUp) -> bool:
    """Whether a purchase that was begun for this user should go on: they still want it, on these terms and with this card."""
    user = low.user
    is_due = low.status == Status.BUY and user.is_active and not user.debt and user.balance < low.below
    return is_due and low.terms == top_up.payment.terms and low.card == top_up.card


def _pause(low: LowBalance, problem: str) -> None:
    """Buy nothing more until the user asks for it again, and tell them why."""
    values = {"status": Status.PAUSED, "problem": problem, "noticed_at": timezone.now()}
    if problem in OF_THE_CARD:
        values |= NO_CARD
    if LowBalance.objects.filter(pk=low.pk, status=Status.BUY).update(**values):
        _send(low.user, _STOPPED, _why(problem))


# --- Mail

_LOW, _STOPPED = gettext_lazy("Your credits run low"), gettext_lazy("No more credits are bought for you")


def _left(credits: int) -> str:
    return ngettext("You have %(n)d credit left.", "You have %(n)d credits left.", credits) % {"n": credits}


def _why(problem: str) -> str:
    text = _("%(why)s No credits are bought automatically until you switch that on again.")
    return text % {"why": Problem(problem).label}


def _tell_once(low: LowBalance, subject: str | Promise, text: str) -> bool:
    """False if the mail server did not take it; it is tried again then."""
    marked = LowBalance.objects.filter(pk=low.pk, noticed_at=low.noticed_at)
    if not marked.update(noticed_at=timezone.now()) or _send(low.user, subject, text):
        return True
    LowBalance.objects.filter(pk=low.pk).update(noticed_at=low.noticed_at)
    return False


def _send(user: User, subject: str | Promise, text: str) -> bool:
    """False if the mail server is away. One that refuses an address will do so again."""
    if not user.email:
        return True
    link = settings.SITE_URL + reverse("accounts:credits")
    try:
        send_mail(str(subject), f"{text}\n\n{_('Your credits')}: {link}\n", None, [user.email])
    except SMTPRecipientsRefused:
        log.warning("The address of user %s is refused.", user.pk)
    except (OSError, SMTPException):
        log.exception("A mail about the low balance of user %s was not sent.", user.pk)
        return False
    return True
