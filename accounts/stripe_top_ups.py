"""Stripe for automatic top-ups: save a card, and charge it by an invoice while its owner is not there."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import LowBalance, TopUp
from accounts.stripe_gateway import NoRecord, NotOurs, asking, is_live, new_session

if TYPE_CHECKING:
    from uuid import UUID

    import stripe
    from stripe.params.checkout import SessionCreateParams


GIVE_UP = timedelta(hours=12)  # Stripe knows for a day what it was asked with a key


class Declined(Exception):
    """The card was not charged, and this payment will not be tried again. `problem` is a LowBalance.Problem."""

    def __init__(self, problem: str, text: str = "") -> None:
        super().__init__(text)
        self.problem = problem


@dataclass(frozen=True)
class Card:
    """A card that may be charged later: its owner and itself at Stripe, and a name that its owner knows it by."""

    customer: str
    number: str
    name: str


def card_url(low: LowBalance, key: "UUID") -> str:
    """The URL of a page at Stripe where the user saves a card; nothing is charged there. Raises Unreachable."""
    session = new_session(low.user, f"card:{key}", lambda customer: _page(low, customer))
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
    return LowBalance.objects.filter(session=event.data.object.to_dict().get("id")).first()


def top_up_in(event: "stripe.Event") -> TopUp | None:
    """The top-up whose invoice an event is about. Raises NoRecord if it was paid and is unknown here."""
    if not event.type.startswith("invoice."):
        return None
    invoice = event.data.object.to_dict()
    about = (invoice.get("metadata") or {}).get("top_up")
    if not about:
        return None
    if found := TopUp.objects.select_related("payment").filter(payment=about).first():
        return found
    if event.type == "invoice.paid":
        raise NoRecord(
            f"invoice {invoice.get('id')} was paid at Stripe for an automatic top-up, but there is no record of it; was a backup"
            " restored? Look it up at Stripe."
        )
    return None


def charge(top_up: TopUp) -> None:
    """Charge the card, once however often this is called. Raises Declined and Unreachable.

    Without either, Stripe has taken the payment; settle it to see. An invoice that is not paid here is never charged later, and
    one that was begun GIVE_UP ago is not paid here any more.
    """
    import stripe

    payment = top_up.payment
    key, is_late = f"top-up:{payment.pk}", payment.created_at < timezone.now() - GIVE_UP
    with asking() as client:
        if is_late and top_up.invoice is None:
            raise Declined(LowBalance.Problem.FAILED, "it was begun too long ago")
        invoice = _invoice(client, top_up, key)
        number = str(invoice.id)
        if is_late and invoice.status in ("draft", "open"):
            _void(client, invoice)
            raise Declined(LowBalance.Problem.FAILED, "it was begun too long ago")
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
        raise Declined(LowBalance.Problem.FAILED, f"invoice {number} is {invoice.status}")


def _invoice(client: "stripe.StripeClient", top_up: TopUp, key: str) -> "stripe.Invoice":
    import stripe

    if top_up.invoice:
        return client.v1.invoices.retrieve(top_up.invoice)
    payment = top_up.payment
    try:
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
    except stripe.InvalidRequestError as error:
        # The customer was deleted at Stripe, for example.
        raise Declined(LowBalance.Problem.FAILED, str(error)) from error
    TopUp.objects.filter(pk=top_up.pk).update(invoice=made.id)
    return made


def _void(client: "stripe.StripeClient", invoice: "stripe.Invoice") -> None:
    """See to it that nobody can pay an invoice. Drafts cannot be paid, and stay drafts."""
    if invoice.status == "open":
        client.v1.invoices.void_invoice(str(invoice.id))


def _problem(error: "stripe.StripeError") -> str:
    import stripe

    if error.code in ("invoice_payment_intent_requires_action", "authentication_required"):
        return LowBalance.Problem.CONFIRM
    return LowBalance.Problem.DECLINED if isinstance(error, stripe.CardError) else LowBalance.Problem.FAILED
