"""Stripe for automatic top-ups: save a card, and charge it by an invoice while its owner is not there."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import LowBalance, TopUp
from accounts.stripe_gateway import NoRecord, NotOurs, asking, is_live, new_session

if TYPE_CHECKING:
    import stripe
    from stripe.params.checkout import SessionCreateParams


log = logging.getLogger(__name__)

Problem = LowBalance.Problem
A_MONTH = timedelta(days=31)
GIVE_UP = timedelta(hours=12)  # Stripe knows for a day what it was asked with a key


class Declined(Exception):
    """The card was not charged, and this payment will not be tried again. `problem` is a LowBalance.Problem; empty if it is none."""

    def __init__(self, problem: str, text: str = "") -> None:
        super().__init__(text)
        self.problem = problem


@dataclass(frozen=True)
class Card:
    """A card that may be charged later: its owner and itself at Stripe, and a name that its owner knows it by."""

    customer: str
    number: str
    name: str


def card_url(low: LowBalance, before: str | None) -> str:
    """The URL of a new page at Stripe where the user saves a card; nothing is charged there. Raises Unreachable.

    `before`, the session of such a page that may be open in another tab, is closed.
    """
    import stripe

    if before:
        with asking() as client, suppress(stripe.InvalidRequestError):
            client.v1.checkout.sessions.expire(before)
    session = new_session(low.user, f"card:{uuid4()}", lambda customer: _page(low, customer))
    LowBalance.objects.filter(pk=low.pk).update(session=session.id)
    return str(session.url)


def _page(low: LowBalance, customer: str | None) -> "SessionCreateParams":
    back = settings.SITE_URL + reverse("accounts:card_saved")
    page: SessionCreateParams = {
        "mode": "setup",
        "client_reference_id": f"low-balance:{low.pk}",
        "allowed_payment_method_types": ["card"],  # those that answer at once
        "success_url": back,
        "cancel_url": back,
    }
    if settings.STRIPE_TAX:
        page["billing_address_collection"] = "required"
    if customer:
        page["customer"] = customer
    else:
        page["customer_creation"] = "always"
        if low.user.email:
            page["customer_email"] = low.user.email
    return page


def card_of(low: LowBalance) -> Card | None:
    """The card that was saved on this user's page; None as long as there is none. Raises Unreachable and NotOurs."""
    import stripe

    with asking() as client:
        try:
            session = client.v1.checkout.sessions.retrieve(
                str(low.session), {"expand": ["setup_intent.payment_method"]}
            )
        except stripe.InvalidRequestError as error:
            # It was made with the key of another mode or account.
            raise NotOurs(str(error)) from error
        if session.livemode != is_live() or session.client_reference_id != f"low-balance:{low.pk}":
            raise NotOurs(f"session {session.id} belongs to another mode or user")
        intent = session.setup_intent
        if session.status != "complete" or not isinstance(intent, stripe.SetupIntent):
            return None
        method = intent.payment_method
        if intent.status != "succeeded" or not isinstance(method, stripe.PaymentMethod):
            return None
        customer = session.customer
        owner = customer if isinstance(customer, str) else str(customer and customer.id)
        address = method.billing_details.address
        if settings.STRIPE_TAX and address:
            # Stripe computes the taxes of an invoice from the customer's address.
            where: Any = {name: value for name, value in address.to_dict().items() if value}
            client.v1.customers.update(owner, {"address": where})
    card = method.card
    return Card(owner, method.id, f"{card.brand.title()} •••• {card.last4}" if card else method.type)


def owner_in(event: "stripe.Event") -> LowBalance | None:
    """Who has saved a card, if an event tells that."""
    if event.type != "checkout.session.completed":
        return None
    return LowBalance.objects.filter(session=str(event.data.object.to_dict().get("id"))).first()


def top_up_in(event: "stripe.Event") -> TopUp | None:
    """The top-up whose invoice an event is about. Raises NoRecord if it was paid and is unknown here."""
    if not event.type.startswith("invoice."):
        return None
    invoice = event.data.object.to_dict()
    pk = _named(invoice.get("metadata") or {})
    found = pk and _with_invoice(pk, str(invoice.get("id")))
    if pk and not found and event.type == "invoice.paid":
        raise NoRecord(_no_record(str(invoice.get("id"))))
    return found or None


def paid_since(at: datetime) -> Iterator[TopUp | NoRecord]:
    """The top-ups whose invoices were made since then and paid, known here or not. Raises Unreachable."""
    import stripe

    with asking() as client:
        try:
            paid = client.v1.invoices.list(
                {"created": {"gte": int(at.timestamp())}, "status": "paid", "limit": 100}
            )
        except stripe.PermissionError:
            return  # a key that may not read invoices has made none
        for invoice in paid.auto_paging_iter():
            if pk := _named(invoice.metadata or {}):
                yield _with_invoice(pk, str(invoice.id)) or NoRecord(_no_record(str(invoice.id)))


def _with_invoice(pk: UUID, invoice: str) -> TopUp | None:
    """The top-up for which an invoice was made. A restored backup may know it without."""
    TopUp.objects.filter(pk=pk, invoice=None).update(invoice=invoice)
    return TopUp.objects.select_related("payment").filter(pk=pk).first()


def _named(metadata: Any) -> UUID | None:
    """Our id of a top-up, as we noted it with its invoice."""
    try:
        return UUID(metadata["top_up"])
    except (KeyError, ValueError):
        return None  # of a plan, or of another product that sells by the same account


def _no_record(invoice: str) -> str:
    return (
        f"invoice {invoice} was paid at Stripe for an automatic top-up, but there is no record of it; was a backup restored? Look it"
        " up at Stripe."
    )


def charge(top_up: TopUp, *, is_wanted: bool = True) -> None:
    """Charge the card, once however often this is called. Raises Declined, Unreachable and NotOurs.

    Without either, Stripe has taken the payment; settle it to see. What is not wanted any more, or was begun GIVE_UP ago, is not
    charged, unless that has happened before. An invoice that is not paid here is never charged later.
    """
    import stripe

    payment = top_up.payment
    key, is_late = f"top-up:{payment.pk}", payment.created_at < timezone.now() - GIVE_UP
    too_late = Declined(
        Problem.LATE if is_wanted else "", "it is not wanted any more, or was begun too long ago"
    )
    may_charge = is_wanted and not is_late
    with asking() as client:
        if not may_charge and top_up.invoice is None:
            raise too_late
        try:
            invoice = _invoice(client, top_up, key)
        except stripe.InvalidRequestError as error:
            if top_up.invoice is None:
                # The customer was deleted at Stripe, for example.
                raise Declined(Problem.FAILED, str(error)) from error
            if not may_charge:
                raise too_late from error
            # It was made with the key of another mode or account.
            raise NotOurs(str(error)) from error
        number = str(invoice.id)
        if not may_charge and invoice.status in ("draft", "open"):
            _void(client, invoice)
            raise too_late
        try:
            if invoice.status == "draft":
                client.v1.invoice_items.create(
                    {
                        "customer": str(payment.customer),
                        "invoice": number,
                        "amount": payment.price,
                        "currency": payment.currency,
                        "description": f"{payment.credits} credits",
                        "discountable": False,
                    },
                    {"idempotency_key": f"{key}:item"},
                )
                invoice = client.v1.invoices.finalize_invoice(
                    number, {"auto_advance": False}, {"idempotency_key": f"{key}:finalize"}
                )
            if invoice.status == "open":
                invoice = client.v1.invoices.pay(
                    number,
                    {"payment_method": top_up.card, "off_session": True},
                    {"idempotency_key": f"{key}:pay"},
                )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            invoice = client.v1.invoices.retrieve(number)
            if invoice.status != "paid":
                _void(client, invoice)
                raise Declined(_problem(error), str(error)) from error
    if invoice.status in ("void", "uncollectible"):
        raise Declined(Problem.FAILED, f"invoice {number} is {invoice.status}")


def _invoice(client: "stripe.StripeClient", top_up: TopUp, key: str) -> "stripe.Invoice":
    """The invoice of a top-up, made if there is none."""
    if top_up.invoice:
        return client.v1.invoices.retrieve(top_up.invoice)
    payment = top_up.payment
    _check_record(client, str(payment.customer))
    made = client.v1.invoices.create(
        {
            "customer": str(payment.customer),
            "currency": payment.currency,
            "collection_method": "charge_automatically",
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "automatic_tax": {"enabled": settings.STRIPE_TAX},
            "discounts": "",
            "metadata": {"top_up": str(payment.pk), "credits": str(payment.credits)},
        },
        {"idempotency_key": f"{key}:invoice"},
    )
    TopUp.objects.filter(pk=top_up.pk).update(invoice=made.id)
    return made


def _check_record(client: "stripe.StripeClient", customer: str) -> None:
    """Raise Declined if this customer has paid for a top-up of which a restored backup knows nothing: they may have what they want."""
    since = timezone.now() - A_MONTH
    paid = client.v1.invoices.list(
        {
            "customer": customer,
            "created": {"gte": int(since.timestamp())},
            "status": "paid",
            "limit": 100,
        }
    )
    for invoice in paid.data:
        pk = _named(invoice.metadata or {})
        if pk and not TopUp.objects.filter(pk=pk).exists():
            log.error(_no_record(str(invoice.id)))
            raise Declined(Problem.FAILED, "there is another one without a record")


def _void(client: "stripe.StripeClient", invoice: "stripe.Invoice") -> None:
    """See to it that nobody can pay an invoice. Drafts cannot be paid, and stay drafts."""
    if invoice.status == "open":
        client.v1.invoices.void_invoice(str(invoice.id))


def _problem(error: "stripe.StripeError") -> str:
    import stripe

    if error.code in ("invoice_payment_intent_requires_action", "authentication_required"):
        return Problem.CONFIRM
    return Problem.DECLINED if isinstance(error, stripe.CardError) else Problem.FAILED


def forget_card(card: str) -> None:
    """Remove a saved card at Stripe. Raises Unreachable, also if it is not there."""
    with asking() as client:
        client.v1.payment_methods.detach(card)
