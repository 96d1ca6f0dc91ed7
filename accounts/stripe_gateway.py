"""Stripe Checkout: create checkout pages and fetch the state of payments. Stripe's own terms stay in this file.

Its SDK is imported where it is used: that takes up to half a second, and most processes never need it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from accounts import payments
from accounts.models import BalanceTransaction, PaidMonth, Payment, TopUp, User, money
from accounts.payments import Truth
from accounts.stripe_money import as_row, what_happened

if TYPE_CHECKING:
    import stripe
    from stripe.params.checkout import SessionCreateParams

# Seconds, and retries: a page is waiting. The SDK retries with the same Idempotency-Key.
TIMEOUT, RETRIES = 15, 2
TOLERANCE = 300  # seconds between the signing of a webhook and now
PAID = ("paid", "no_payment_required")


class Unreachable(Exception):
    """Stripe did not answer, or not as expected. Nothing is known and nothing has changed."""


class NoRecord(Exception):
    """Something was paid for which we have no record, and we cannot tell by whom. The text is for staff."""


class NotOurs(Exception):
    """The webhook is forged, too old, from another mode or account, or not about one of our payments."""


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def is_live() -> bool:
    """Whether our key is for live mode, with real money."""
    return settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))


def try_key() -> None:
    """Make a minimal request. Raises Unreachable if Stripe does not answer or rejects our key."""
    with asking() as client:
        client.v1.checkout.sessions.list({"limit": 1})


def checkout_url(payment: Payment) -> str:
    """The URL of Stripe's checkout page for this payment, the same for a day. Raises Unreachable."""
    session = new_session(payment.user, f"checkout:{payment.pk}", lambda customer: _page(payment, customer))
    Payment.objects.filter(pk=payment.pk).update(session=session.id)
    return str(session.url)


def new_session(
    user: User, key: str, page: Callable[[str | None], "SessionCreateParams"]
) -> "stripe.checkout.Session":
    """Make the checkout page that `page` describes for this customer (None: new to Stripe); once for each `key`. Raises Unreachable."""
    import stripe

    customer = payments.customer_of(user)
    with asking() as client:
        try:
            return client.v1.checkout.sessions.create(page(customer), {"idempotency_key": key})
        except stripe.InvalidRequestError as error:
            if customer is None or error.param != "customer":
                raise
            # Somebody has deleted that customer at Stripe, or it is of the other mode.
            return client.v1.checkout.sessions.create(page(None), {"idempotency_key": f"{key}:new"})


def options(customer: str | None, email: str) -> "SessionCreateParams":
    """What all checkout pages offer, as the settings say, and who the buyer is."""
    page: SessionCreateParams = {
        "automatic_tax": {"enabled": settings.STRIPE_TAX},
        "tax_id_collection": {"enabled": settings.STRIPE_TAX_IDS},
        "allow_promotion_codes": settings.STRIPE_PROMOTION_CODES,
    }
    if customer:
        page["customer"] = customer
        if settings.STRIPE_TAX or settings.STRIPE_TAX_IDS:
            page["customer_update"] = {"address": "auto", "name": "auto"}
    elif email:
        page["customer_email"] = email
    return page


def _page(payment: Payment, customer: str | None) -> "SessionCreateParams":
    """What Stripe's checkout page offers to somebody whom it knows as `customer`, or not yet."""
    back = settings.SITE_URL + reverse("accounts:paid", args=[payment.pk])
    email = payment.user.email
    about = {"payment": str(payment.pk), "credits": str(payment.credits)}
    page: SessionCreateParams = {
        **options(customer, email),
        "mode": "payment",
        "client_reference_id": str(payment.pk),
        "metadata": about,
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
        "payment_intent_data": {"metadata": about},
        "saved_payment_method_options": {"payment_method_save": "enabled"},
        "invoice_creation": {"enabled": settings.STRIPE_INVOICES},
        "success_url": back,
        "cancel_url": back,
    }
    if email:
        page["payment_intent_data"]["receipt_email"] = email
    if not customer:
        page["customer_creation"] = "always"
    return page


def portal_url(customer: str) -> str:
    """The URL of the page at Stripe where a customer finds invoices and saved cards. Raises Unreachable."""
    back = settings.SITE_URL + reverse("accounts:credits")
    with asking() as client:
        session = client.v1.billing_portal.sessions.create({"customer": customer, "return_url": back})
    return str(session.url)


def open_page(payment: Payment) -> str | None:
    """The URL of the payment's checkout page, if nothing has been paid there and it still can be. Raises Unreachable."""
    import stripe

    if payment.session is None:
        return None
    with asking() as client:
        try:
            session = client.v1.checkout.sessions.retrieve(payment.session)
        except stripe.InvalidRequestError:
            return None  # it was made with the key of another mode or account
    return str(session.url) if session.status == "open" else None


def truth_of(payment: Payment) -> Truth:
    """The state of this payment at Stripe, fetched with our own key. Raises Unreachable and NotOurs."""
    if payment.session is None:
        invoice = _invoice_of(payment)
        # With neither a checkout page nor an invoice it cannot have been paid.
        return _truth_of_invoice(invoice) if invoice else Truth(is_paid=False)
    import stripe

    with asking() as client:
        try:
            session = _whole(client, payment.session)
        except stripe.InvalidRequestError as error:
            # It was made with the key of another mode or account.
            raise NotOurs(str(error)) from error
        if session.livemode != is_live() or session.client_reference_id != str(payment.pk):
            raise NotOurs(f"session {session.id} belongs to another mode or payment")
        # As long as the page is open, "nothing to pay" may change again.
        is_paid = session.status == "complete" and session.payment_status in PAID
        intent = session.payment_intent
        if not isinstance(intent, stripe.PaymentIntent):
            # Nothing has been paid yet, or there was nothing to pay.
            return Truth(
                is_paid=is_paid,
                **_sums(session),
                is_over=session.status == "expired",
            )
        after = what_happened(client, intent)
    return Truth(
        is_paid=is_paid,
        # A payment that takes days may fail after the page was completed, which cannot be paid again.
        is_over=session.status == "expired"
        or (session.status == "complete" and intent.status in ("canceled", "requires_payment_method")),
        **_sums(session),
        **(after | {"receipt_url": _invoice_url(session) or after["receipt_url"]}),
    )


def _invoice_of(payment: Payment) -> str | None:
    """The invoice by which a month of a plan or an automatic top-up is paid."""
    found = (kind.objects.filter(payment=payment).first() for kind in (PaidMonth, TopUp))
    return next((one.invoice for one in found if one), None)


def _truth_of_invoice(number: str) -> Truth:
    """The same for a payment by an invoice."""
    import stripe

    with asking() as client:
        try:
            invoice = client.v1.invoices.retrieve(number, {"expand": ["payments"]})
        except stripe.InvalidRequestError as error:
            raise NotOurs(str(error)) from error
        tried = invoice.payments.data if invoice.payments else []
        # Absent if it was paid in another way.
        intents = [getattr(one.payment, "payment_intent", None) for one in tried if one.status == "paid"]
        # Nothing was to be paid, or it was paid without Stripe.
        after: dict[str, Any] = {"receipt_url": ""}
        if intents and intents[0]:
            intent = intents[0] if isinstance(intents[0], str) else intents[0].id
            after = what_happened(client, _whole_intent(client, intent))
    customer = invoice.customer
    return Truth(
        is_paid=invoice.status == "paid",
        is_over=invoice.status in ("void", "uncollectible"),
        amount=invoice.amount_paid,
        subtotal=invoice.subtotal,
        tax=max(0, sum(tax.amount for tax in invoice.total_taxes or ())),
        discount=sum(one.amount for one in invoice.total_discount_amounts or ()),
        currency=invoice.currency,
        customer=customer if customer is None or isinstance(customer, str) else customer.id,
        **(after | {"receipt_url": invoice.hosted_invoice_url or after["receipt_url"]}),
    )


def _whole_intent(client: "stripe.StripeClient", intent: str) -> "stripe.PaymentIntent":
    """A payment intent with its charge and, if our key may read it, what the charge did to our balance."""
    import stripe

    charge = "latest_charge"
    try:
        return client.v1.payment_intents.retrieve(intent, {"expand": [f"{charge}.balance_transaction"]})
    except stripe.PermissionError:
        return client.v1.payment_intents.retrieve(intent, {"expand": [charge]})


class Sums(TypedDict):
    """What a checkout page says of the money, and whose it is. See `Truth`."""

    amount: int
    subtotal: int | None
    tax: int
    discount: int
    currency: str
    customer: str | None


def _sums(session: "stripe.checkout.Session") -> Sums:
    details, customer = session.total_details, session.customer
    return {
        "amount": session.amount_total or 0,
        "subtotal": session.amount_subtotal,
        "tax": details.amount_tax if details else 0,
        "discount": details.amount_discount if details else 0,
        "currency": session.currency or "",
        "customer": customer if customer is None or isinstance(customer, str) else customer.id,
    }


def _invoice_url(session: "stripe.checkout.Session") -> str | None:
    invoice = session.invoice
    return None if invoice is None or isinstance(invoice, str) else invoice.hosted_invoice_url


def refund(payment: Payment, amount: int, key: str) -> None:
    """Give back `amount` of a payment, in the smallest unit of its currency. The same `key` again gives nothing more back.

    The credits follow when the payment is settled. Raises Unreachable, also if Stripe refuses.
    """
    with asking() as client:
        client.v1.refunds.create(
            {
                "payment_intent": payment.intent or "",
                "amount": amount,
                "reason": "requested_by_customer",
                "metadata": {"payment": str(payment.pk)},
            },
            {"idempotency_key": f"refund:{key}"},
        )


def read_webhook(body: bytes, signature: str) -> "stripe.Event":
    """An event that Stripe signed for us within TOLERANCE. Raises NotOurs for anything else."""
    import stripe

    try:
        event = _client().construct_event(body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE)
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise NotOurs(str(error)) from error
    # The SDK has read this time, and only compares it with the past.
    sent_at = next(part.removeprefix("t=") for part in signature.split(",") if part.startswith("t="))
    if int(sent_at) > time.time() + TOLERANCE:
        raise NotOurs("it is from the future")
    if event.livemode is not is_live():
        raise NotOurs("it is from the other mode, live or test")
    if getattr(event, "account", None):
        raise NotOurs("it is from a connected account")
    return event


def payment_in(event: "stripe.Event") -> Payment | None:
    """The payment that an event is about, if it is one of ours. Raises Unreachable, NotOurs and NoRecord."""
    import stripe

    thing = event.data.object.to_dict()
    if event.type.startswith("checkout.session."):
        return _payment_of(thing.get("id"), thing.get("client_reference_id"))
    intent = thing.get("id") if event.type.startswith("payment_intent.") else thing.get("payment_intent")
    if not isinstance(intent, str):
        return None
    if known := Payment.objects.filter(intent=intent).first():
        return known
    # This event arrived before the one that tells us the intent.
    with asking() as client:
        try:
            found = client.v1.payment_intents.retrieve(intent)
        except stripe.InvalidRequestError:
            return None
        sessions = client.v1.checkout.sessions.list({"payment_intent": found.id, "limit": 1}).data
    return _payment_of(sessions[0].id, sessions[0].client_reference_id) if sessions else None


def payments_since(at: datetime) -> Iterator[Payment | NoRecord]:
    """The payments of all checkout pages that were completed since then, or what is wrong with one. Raises Unreachable."""
    with asking() as client:
        pages = client.v1.checkout.sessions.list(
            {"created": {"gte": int(at.timestamp())}, "status": "complete", "limit": 100}
        )
        for session in pages.auto_paging_iter():
            try:
                payment = _payment_of(session.id, session.client_reference_id)
            except NotOurs:
                continue
            except NoRecord as problem:
                yield problem
            else:
                if payment:
                    yield payment


def _payment_of(session_id: object, reference: object) -> Payment | None:
    """The payment of one of our checkout sessions; made anew if it was paid and there is no record of it here.

    None if the session is none of ours. Raises NoRecord if it was paid and we cannot tell by whom, and NotOurs if it names a
    payment for which it was not made.
    """
    try:
        pk = UUID(str(reference))
    except ValueError:
        return None
    payment = Payment.objects.filter(pk=pk).first()
    if payment and payment.session:
        return payment  # truth_of asks for its own session, whatever this one says
    session, about = _session_and_metadata(str(session_id))
    if session.livemode != is_live() or about.get("payment") != str(pk):
        if payment is None:
            return None  # of another product that sells by the same account
        raise NotOurs(f"session {session_id} was not made for the payment that it names")
    if payment:
        # We crashed after Stripe created the session and before we saved it.
        Payment.objects.filter(pk=pk, session=None).update(session=session.id)
        return payment
    if session.status != "complete" or session.payment_status not in PAID:
        return None
    users = _buyers(session)
    sums, bought = _sums(session), about.get("credits", "")
    price, currency = sums["subtotal"] or sums["amount"], sums["currency"]
    if len(users) != 1 or not price or not bought.isdecimal():
        raise NoRecord(
            f"{money(sums['amount'], currency)} was paid in the checkout session {session.id}, but there is no record of that order, and"
            " not exactly one account with the buyer's address. Look it up at Stripe."
        )
    return payments.recover(pk, users[0], session.id, price, currency, int(bought))


def _buyers(session: "stripe.checkout.Session") -> list[User]:
    """Who may have paid: whoever paid before as the same customer, or who has that address. At most two."""
    customer = _sums(session)["customer"]
    if customer and (known := User.objects.filter(payments__customer=customer).distinct()[:2]):
        return list(known)
    details = session.customer_details
    email = session.customer_email or (details and details.email) or "-"
    return list(User.objects.filter(email__iexact=email)[:2])


def _session_and_metadata(session_id: str) -> tuple["stripe.checkout.Session", dict[str, str]]:
    """A checkout session, and what we noted there when we made it. Raises NotOurs if there is none."""
    import stripe

    with asking() as client:
        try:
            session = client.v1.checkout.sessions.retrieve(session_id, {"expand": ["payment_intent"]})
        except stripe.InvalidRequestError as error:
            raise NotOurs(str(error)) from error
    # Pages of the version before have it in the intent only.
    intent = session.payment_intent if isinstance(session.payment_intent, stripe.PaymentIntent) else None
    notes = [thing.metadata.to_dict() for thing in (intent, session) if thing and thing.metadata]
    return session, {name: value for note in notes for name, value in note.items()}


def _whole(client: "stripe.StripeClient", session: str) -> "stripe.checkout.Session":
    """A session with its charge and, if our key may read it, what the charge did to our balance."""
    import stripe

    charge = "payment_intent.latest_charge"
    with_money = [f"{charge}.balance_transaction"]
    # A key may be allowed to read more or less.
    for expand in ([*with_money, "invoice"], with_money):
        if "invoice" not in expand or settings.STRIPE_INVOICES:
            with suppress(stripe.PermissionError):
                return client.v1.checkout.sessions.retrieve(session, {"expand": expand})
    return client.v1.checkout.sessions.retrieve(session, {"expand": [charge]})


def balance_transactions(since: datetime) -> Iterator[tuple[BalanceTransaction, str | None]]:
    """All that happened to our balance at Stripe since then, newest first, each with the payment intent that it is about, if any.

    Raises Unreachable, also if our key may not read the balance.
    """
    import stripe

    with asking() as client:
        moves = client.v1.balance_transactions.list(
            {"created": {"gte": int(since.timestamp())}, "limit": 100, "expand": ["data.source"]}
        )
        for move in moves.auto_paging_iter():
            about = move.source
            intent = (
                None if about is None or isinstance(about, str) else getattr(about, "payment_intent", None)
            )
            yield as_row(move), intent.id if isinstance(intent, stripe.PaymentIntent) else intent


@contextmanager
def asking() -> Iterator["stripe.StripeClient"]:
    """Stripe's client, with its errors as Unreachable."""
    import stripe

    try:
        yield _client()
    except stripe.StripeError as error:
        raise Unreachable(str(error)) from error


@cache
def _client() -> "stripe.StripeClient":
    import stripe

    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE or stripe.DEFAULT_API_BASE},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )
