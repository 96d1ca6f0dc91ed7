"""Buying credits, and what Stripe tells about it."""

from django.db.models import F

from accounts import payments
from aivideo.ledger_check import violations
from tests.support.fixtures import signed_in
from tests.support.stripe_server import sign

NOTHING = ("created", 100, 0, [])
BOUGHT = ("paid", 1100, 0, [("purchase", 1000)])


def buy(user, pack):
    """Click on Buy, as somebody who has not done so for a while."""
    user.payments.update(created_at=F("created_at") - payments.REUSE)
    return click_on_buy(user, pack)


def click_on_buy(user, pack):
    answer = signed_in(user).post("/credits/buy/", {"pack": pack.pk})
    assert (answer.status_code, answer.url[:28]) == (302, "https://checkout.stripe.com/")
    return user.payments.first()


def deliver(client, body, signature=None):
    header = sign(body) if signature is None else signature
    return client.post(
        "/webhooks/stripe/", body, content_type="application/json", headers={"Stripe-Signature": header}
    ).status_code


def settled(payment):
    """Status, and the credits of the buyer: balance, debt and what the ledger says of this payment."""
    payment.refresh_from_db()
    payment.user.refresh_from_db()
    assert violations()[1] == []
    entries = payment.user.credit_entries.filter(reference__startswith=payment.reference).order_by("pk")
    moved = list(entries.values_list("kind", "amount"))
    return (payment.status, payment.user.balance, payment.user.debt, moved)


def completed(stripe, payment, kind="checkout.session.completed"):
    return stripe.event(kind, stripe.session_of(payment))
