"""Stripe: the page where people pay, and what is true of a payment. No word of theirs goes beyond this file."""

from functools import cache
from uuid import UUID

import stripe
from django.conf import settings
from django.urls import reverse

from accounts.models import Payment
from accounts.payments import Truth

# Seconds, and tries: a page waits for it. The SDK repeats with the same Idempotency-Key.
TIMEOUT, RETRIES = 15, 2
TOLERANCE = 300  # seconds that a webhook may be behind our clock
PAID = ("paid", "no_payment_required")
# Disputes that take no money, or have given it back; a warning is only an inquiry.
NOT_TAKEN = ("won", "warning_needs_response", "warning_under_review", "warning_closed")
# Disputes in which money is or stays taken away. An appeal is one of a lost dispute, and a prevented one was refunded.
TAKEN = (
    "needs_response",
    "under_review",
    "lost",
    "appeal_needs_response",
    "appeal_under_review",
    "prevented",
)


class Unreachable(Exception):
    """Stripe could not be asked, or did not answer as it should: nothing is known and nothing changed."""


class NotOurs(Exception):
    """A webhook that is forged, stale, of another mode or account, or about something we did not sell."""


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def is_live() -> bool:
    """Whether our key moves real money."""
    return settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))


def try_key() -> None:
    """Ask for something small. Raises Unreachable if Stripe cannot be asked with our key."""
    try:
        _client().v1.checkout.sessions.list({"limit": 1})
    except stripe.StripeError as error:
        raise Unreachable(str(error)) from error


def checkout_url(payment: Payment) -> str:
    """The address of Stripe's page for this payment, the same each time for a day. Raises Unreachable."""
    back = settings.SITE_URL + reverse("accounts:paid", args=[payment.pk])
    email = payment.user.email
    try:
        session = _client().v1.checkout.sessions.create(
            {
                "mode": "payment",
                "client_reference_id": str(payment.pk),
                **({"customer_email": email} if email else {}),
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": payment.currency,
                            "unit_amount": payment.price,
                            "product_data": {"name": f"{payment.credits} credits"},
                        },
                    }
                ],
                "payment_intent_data": {
                    "metadata": {"payment": str(payment.pk)},
                    **({"receipt_email": email} if email else {}),
                },
                "success_url": back,
                "cancel_url": back,
            },
            {"idempotency_key": f"checkout:{payment.pk}"},
        )
    except stripe.StripeError as error:
        raise Unreachable(str(error)) from error
    Payment.objects.filter(pk=payment.pk).update(session=session.id)
    return str(session.url)


def truth_of(payment: Payment) -> Truth:
    """What Stripe knows of this payment, asked with our own key. Raises Unreachable."""
    if payment.session is None:
        return Truth(is_paid=False)  # nobody was ever sent to a page where it could be paid
    try:
        session = _client().v1.checkout.sessions.retrieve(
            payment.session, {"expand": ["payment_intent.latest_charge"]}
        )
        if session.livemode != is_live() or session.client_reference_id != str(payment.pk):
            raise NotOurs(f"session {session.id} belongs to another mode or payment")
        intent = session.payment_intent
        if not isinstance(intent, stripe.PaymentIntent):
            return Truth(session.payment_status in PAID, session.amount_total or 0, session.currency or "")
        disputes = _client().v1.disputes.list({"payment_intent": intent.id, "limit": 100})
    except stripe.StripeError as error:
        raise Unreachable(str(error)) from error
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    return Truth(
        is_paid=session.payment_status in PAID,
        amount=session.amount_total or 0,
        currency=session.currency or "",
        intent=intent.id,
        receipt_url=(charge and charge.receipt_url) or "",
        refunded=charge.amount_refunded if charge else 0,
        disputed=sum(dispute.amount for dispute in disputes.data if dispute.status in TAKEN),
        unclear=_unclear(disputes.data),
    )


def read_webhook(body: bytes, signature: str) -> stripe.Event:
    """An event that Stripe signed for us within TOLERANCE. Raises NotOurs for anything else."""
    try:
        event = _client().construct_event(body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE)
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise NotOurs(str(error)) from error
    if event.livemode is not is_live():
        raise NotOurs("it is of the other mode, live or test")
    if getattr(event, "account", None):
        raise NotOurs("it is of a connected account")
    return event


def payment_in(event: stripe.Event) -> Payment | None:
    """The payment that an event is about, if it is one of ours. Raises Unreachable."""
    thing = event.data.object.to_dict()
    if event.type.startswith("checkout.session."):
        payment = _by_id(thing.get("client_reference_id"))
        if payment and payment.session is None:
            # We died between Stripe's answer and its row. Whether it is this payment's, truth_of asks.
            Payment.objects.filter(pk=payment.pk, session=None).update(session=thing.get("id"))
        return payment
    intent = thing.get("id") if event.type.startswith("payment_intent.") else thing.get("payment_intent")
    if not isinstance(intent, str):
        return None
    if known := Payment.objects.filter(intent=intent).first():
        return known
    # It came before the one that tells us of the intent.
    try:
        found = _client().v1.payment_intents.retrieve(intent)
    except stripe.InvalidRequestError:
        return None
    except stripe.StripeError as error:
        raise Unreachable(str(error)) from error
    return _by_id(found.to_dict().get("metadata", {}).get("payment"))


def _unclear(disputes: list[stripe.Dispute]) -> str:
    """What staff are told where a dispute has a status of which nobody here knows what the money does in it."""
    words = sorted({dispute.status for dispute in disputes} - {*TAKEN, *NOT_TAKEN})
    return f"Stripe calls a dispute “{'”, “'.join(words)[:100]}”, which is not known here" if words else ""


def _by_id(value: object) -> Payment | None:
    try:
        return Payment.objects.filter(pk=UUID(str(value))).first()
    except ValueError:
        return None


@cache
def _client() -> stripe.StripeClient:
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE or stripe.DEFAULT_API_BASE},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )
