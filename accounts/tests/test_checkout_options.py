"""What Stripe's checkout page does besides: taxes, promotion codes, invoices, and buyers who come back."""

import pytest
from django.utils import timezone

from accounts import payments
from accounts.models import Payment, TopUp
from tests.support.database import unguarded
from tests.support.fixtures import signed_in
from tests.support.payments import BOUGHT, buy, completed, deliver, settled
from tests.support.sabotage import becomes, without
from tests.support.stripe_server import FEE

pytestmark = pytest.mark.django_db


def money_of(payment):
    payment.refresh_from_db()
    return (payment.price, payment.discount, payment.tax, payment.paid)


def portal(user):
    return signed_in(user).post("/credits/portal/")


@without("the price before taxes", "accounts.payments._ordered", becomes("truth.subtotal is None", "True"))
def test_a_tax_on_top_is_no_reason_to_hold_a_payment(stripe, payment, client):
    stripe.pay(payment, tax=475)
    deliver(client, completed(stripe, payment))
    assert settled(payment) == BOUGHT
    assert money_of(payment) == (2500, 0, 475, 2975)


def test_a_promotion_code_takes_off_money_and_no_credits(stripe, payment, client):
    stripe.pay(payment, discount=500, tax=380)
    deliver(client, completed(stripe, payment))
    assert settled(payment) == BOUGHT
    assert money_of(payment) == (2500, 500, 380, 2380)
    # Half of what was paid goes back, and with it half of the credits.
    stripe.refund(payment, 1190)
    deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert settled(payment)[:2] == ("refunded", 600)


def test_a_code_for_the_whole_price_needs_no_money(stripe, payment, client):
    stripe.pay(payment, discount=2500)
    deliver(client, completed(stripe, payment))
    assert settled(payment) == BOUGHT
    assert money_of(payment) == (2500, 2500, 0, 0)
    assert (payment.refundable, stripe.transactions) == (0, {})


def test_a_page_that_is_open_is_not_paid_even_if_there_is_nothing_to_pay(stripe, payment):
    session = stripe.session_of(payment)
    session["payment_status"], session["amount_total"] = "no_payment_required", 0
    assert signed_in(payment.user).get(f"/credits/paid/{payment.pk}/").status_code == 302
    assert settled(payment)[:2] == ("created", 100)


def test_less_than_the_price_is_held_with_a_tax_too(stripe, payment, client):
    stripe.pay(payment, amount=2400, tax=100)
    deliver(client, completed(stripe, payment))
    assert settled(payment)[0] == "held"
    assert payment.reason == "paid 24.00 USD, which is not what was ordered"


def test_the_page_offers_what_the_operator_switched_on(stripe, owner, pack, settings):
    plain = stripe.session_of(buy(owner, pack))
    settings.STRIPE_TAX = settings.STRIPE_INVOICES = settings.STRIPE_PROMOTION_CODES = True
    rich = stripe.session_of(buy(owner, pack))
    offered = [
        (page["automatic_tax"]["enabled"], page["invoice_creation"]["enabled"], page["allow_promotion_codes"])
        for page in (plain, rich)
    ]
    assert offered == [(False, False, False), (True, True, True)]


def test_the_receipt_of_a_payment_with_an_invoice_is_the_invoice(stripe, owner, pack, settings):
    settings.STRIPE_INVOICES = True
    payment = buy(owner, pack)
    stripe.pay(payment)
    page = signed_in(owner).get(f"/credits/paid/{payment.pk}/", follow=True)
    payment.refresh_from_db()
    assert payment.receipt_url.startswith("https://invoice.stripe.com/i/in_")
    assert payment.receipt_url in page.text


def test_who_comes_back_is_the_customer_they_were_and_need_not_type_their_card_again(stripe, owner, pack):
    first = buy(owner, pack)
    assert stripe.session_of(first)["customer"] is None
    stripe.pay(first)
    signed_in(owner).get(f"/credits/paid/{first.pk}/")
    second = buy(owner, pack)
    page = stripe.session_of(second)
    assert page["customer"] == stripe.session_of(first)["customer"]
    assert page["customer_email"] is None
    stripe.pay(second)
    signed_in(owner).get(f"/credits/paid/{second.pk}/")
    assert settled(second)[1] == 2100


@without(
    "the page without a customer who is gone",
    "accounts.stripe_gateway.new_session",
    becomes('error.param != "customer"', "True"),
)
def test_a_customer_who_was_deleted_at_stripe_can_buy_again(stripe, payment, pack):
    stripe.pay(payment)
    signed_in(payment.user).get(f"/credits/paid/{payment.pk}/")
    stripe.customers.clear()
    again = buy(payment.user, pack)
    assert stripe.session_of(again)["customer"] is None
    stripe.pay(again)
    signed_in(payment.user).get(f"/credits/paid/{again.pk}/")
    assert payments.customer_of(payment.user) == stripe.session_of(again)["customer"]


def test_the_portal_opens_for_its_own_customer_only(stripe, payment, stranger):
    assert [portal(user).status_code for user in (payment.user, stranger)] == [404, 404]
    assert "Invoices and cards" not in signed_in(payment.user).get("/credits/").text
    stripe.pay(payment)
    signed_in(payment.user).get(f"/credits/paid/{payment.pk}/")
    answer = portal(payment.user)
    assert (answer.status_code, answer.url[:39]) == (302, "https://billing.stripe.com/p/session/bp")
    assert "Invoices and cards" in signed_in(payment.user).get("/credits/").text
    assert portal(stranger).status_code == 404
    stripe.is_down = True
    answer = portal(payment.user)
    assert answer.status_code == 503
    assert "Invoices and cards are unavailable at the moment" in answer.text


def test_a_forgotten_payment_of_a_customer_finds_its_buyer_whatever_their_address_is_now(
    stripe, owner, pack, client
):
    first = buy(owner, pack)
    stripe.pay(first)
    signed_in(owner).get(f"/credits/paid/{first.pk}/")
    second = buy(owner, pack)
    stripe.pay(second, tax=475)
    session = dict(stripe.session_of(second))
    with unguarded("accounts_payment"):
        Payment.objects.filter(pk=second.pk).delete()
    owner.email = "moved@example.com"
    owner.save()
    assert deliver(client, stripe.event("checkout.session.completed", session)) == 200
    found = Payment.objects.get(pk=second.pk)
    assert (found.status, found.user, found.price, found.paid) == ("held", owner, 2500, 2975)
    assert found.balance_transactions.get().net == 2975 - FEE


@pytest.mark.parametrize("is_paid", [False, True])
@pytest.mark.parametrize("kind", ["recovered", "top-up", "pack"])
def test_a_payment_of_which_nobody_knows_whose_it_is_or_why_it_failed_tells_no_customer(
    owner, pack, kind, is_paid
):
    payment = payments.order(owner, pack, Payment.Processor.STRIPE, "cus_1")
    if kind == "top-up":
        TopUp.objects.create(payment=payment, user=owner, card="pm_1")
    with unguarded("accounts_payment"):
        Payment.objects.update(is_recovered=kind == "recovered", paid_at=timezone.now() if is_paid else None)
    assert payments.customer_of(owner) == ("cus_1" if is_paid or kind == "pack" else None)
