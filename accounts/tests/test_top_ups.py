"""Top-ups that are begun twice, late or half: what the card is charged and what its owner gets are the same in the end."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.db.models import F
from django.utils import timezone

from accounts import (
    credits,
    low_balance,
    payments,
    stripe_gateway,
    stripe_reconciliation,
    stripe_top_ups,
)
from accounts.models import (
    BalanceTransaction,
    CreditEntry,
    CreditPack,
    LowBalance,
    Payment,
    StripeEvent,
    TopUp,
)
from aivideo import tasks
from tests.support.database import unguarded
from tests.support.fixtures import give, signed_in, spend
from tests.support.low_balances import TABLES, ask, bought, has, state, subjects, while_stripe_is_down
from tests.support.payments import deliver
from tests.support.sabotage import becomes, drop, without

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("step", "is_made"),
    [
        ("/v1/invoices", False),
        ("/v1/invoices", True),
        ("/v1/invoiceitems", False),
        ("/v1/invoiceitems", True),
        ("/finalize", False),
        ("/finalize", True),
        ("/pay", False),
        ("/pay", True),
    ],
)
def test_a_crash_at_any_step_charges_once_and_gives_once(stripe, saved, step, is_made, monkeypatch):
    """`is_made`: Stripe had done it, and we did not hear of it any more."""
    real = stripe.post

    def die(path, body, key):
        if not path.endswith(step):
            return real(path, body, key)
        if is_made:
            real(path, body, key)
        return 503, {"error": {"message": "gone", "type": "api_error"}}

    spend(saved, 100)
    with monkeypatch.context() as patch:
        patch.setattr(stripe, "post", die)
        low_balance.attend()
    assert bought(saved) == [("created", True)]
    assert low_balance.attend() == 0  # nothing else is begun meanwhile
    with unguarded(*TABLES):
        Payment.objects.update(created_at=F("created_at") - low_balance.YOUNGEST)
    for _ in range(2):
        tasks.settle_open_payments()
    assert (bought(saved), has(saved)) == ([("paid", False)], (1000, 0))
    assert [move["amount"] for move in stripe.transactions.values()] == [2500]
    assert stripe.cards.drafts_and_open == []


@without(
    "giving up what Stripe may have forgotten",
    "accounts.stripe_top_ups.charge",
    becomes("payment.created_at < timezone.now() - GIVE_UP", "False"),
)
@pytest.mark.parametrize("step", ["/v1/invoices", "/v1/invoiceitems", "/pay"])
def test_what_could_not_be_completed_for_half_a_day_is_never_charged(stripe, saved, step, monkeypatch):
    while_stripe_is_down(stripe, saved, monkeypatch, step)
    with unguarded(*TABLES):
        Payment.objects.update(created_at=timezone.now() - stripe_top_ups.GIVE_UP - timedelta(minutes=1))
    tasks.settle_open_payments()
    assert (bought(saved), state(saved), has(saved)) == (
        [("expired", False)],
        ("paused", "late"),
        (0, 0),
    )
    assert stripe.transactions == {}
    assert "open" not in {one["status"] for one in stripe.billing.invoices.values()}


@without(
    "asking again before the charge",
    "accounts.low_balance.complete",
    becomes("_is_wanted(low, top_up)", "True"),
)
@pytest.mark.parametrize("step", ["/v1/invoices", "/pay"])
@pytest.mark.parametrize("change", ["off", "email", "suspended", "bought", "debt"])
def test_what_is_not_wanted_any_more_is_not_charged_later(stripe, saved, monkeypatch, step, change):
    while_stripe_is_down(stripe, saved, monkeypatch, step)
    if change == "suspended":
        saved.is_active = False
        saved.save()
    elif change == "bought":
        give(saved, 50)
    elif change == "debt":
        credits.claw_back(saved, 50, reference="tests")
    else:
        ask(saved, do=change, below="50")
    before = state(saved)
    tasks.settle_open_payments()
    assert bought(saved) == [("expired", False)]
    assert stripe.transactions == {}
    assert state(saved) == before
    assert "open" not in {one["status"] for one in stripe.billing.invoices.values()}


@without(
    "the terms of what was begun",
    "accounts.low_balance._is_wanted",
    becomes("low.terms == top_up.payment.terms", "True"),
)
@pytest.mark.parametrize("step", ["/v1/invoices", "/pay"])
def test_what_was_begun_on_other_terms_than_its_owner_wants_now_is_not_charged(
    stripe, saved, monkeypatch, step
):
    while_stripe_is_down(stripe, saved, monkeypatch, step)
    small = CreditPack.objects.create(name="Some", credits=200, price=600)
    ask(saved, do="buy", below="50", pack=small.as_shown, a_month="1")
    tasks.settle_open_payments()
    assert (bought(saved), state(saved)) == ([("expired", False)], ("buy", ""))
    low_balance.attend()
    assert (has(saved), [move["amount"] for move in stripe.transactions.values()]) == ((200, 0), [600])


@without("the card of now", "accounts.low_balance._is_wanted", becomes("low.card == top_up.card", "True"))
def test_a_card_that_was_changed_meanwhile_is_kept(stripe, saved, pack, monkeypatch):
    while_stripe_is_down(stripe, saved, monkeypatch, "/pay")
    ask(saved, do="off")
    ask(saved, do="buy", below="50", pack=pack.as_shown, a_month="1")
    stripe.cards.save(list(stripe.sessions.values())[-1])
    signed_in(saved).get("/credits/card/")
    tasks.settle_open_payments()
    assert (bought(saved), state(saved)) == ([("expired", False)], ("buy", ""))
    low_balance.attend()
    assert has(saved) == (1000, 0)


def test_money_that_came_before_it_was_switched_off_brings_its_credits(stripe, saved, monkeypatch):
    def die(*args):
        raise stripe_gateway.Unreachable

    spend(saved, 100)
    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "truth_of", die)
        low_balance.attend()
    ask(saved, do="off")
    with unguarded(*TABLES):
        Payment.objects.update(created_at=F("created_at") - timedelta(hours=13))
    tasks.settle_open_payments()
    assert (bought(saved), has(saved)) == ([("paid", False)], (1000, 0))


@without(
    "the wait for a decision",
    "accounts.low_balance.complete",
    becomes("Payment.Status.HELD", "Payment.Status.CREATED"),
)
@pytest.mark.parametrize("decision", ["accepted", "refunded"])
def test_while_staff_have_to_decide_about_a_purchase_nothing_else_is_bought(
    stripe, saved, monkeypatch, decision
):
    while_stripe_is_down(stripe, saved, monkeypatch, "/pay")
    [invoice] = stripe.billing.invoices.values()
    invoice["subtotal"] = invoice["total"] = 2400  # staff have changed it there, and collected it
    stripe.billing.pay(invoice)
    for _ in range(2):
        tasks.settle_open_payments()
        low_balance.attend()
    assert (bought(saved), has(saved)) == ([("held", True)], (0, 0))
    payment = saved.payments.get()
    if decision == "accepted":
        payments.accept(payment)
    else:
        stripe.refund(payment)
        payments.settle(payment, stripe_gateway.truth_of)
    subjects()
    tasks.settle_open_payments()
    if decision == "accepted":
        assert (bought(saved), has(saved), state(saved)) == ([("paid", False)], (1000, 0), ("buy", ""))
    else:
        assert (bought(saved), has(saved)) == ([("refunded", False)], (0, 0))
        assert state(saved) == ("paused", "returned")
    assert len(subjects()) == 1


def test_an_invoice_that_is_gone_at_stripe_is_given_up_after_half_a_day(stripe, saved, monkeypatch):
    while_stripe_is_down(stripe, saved, monkeypatch, "/v1/invoiceitems")
    stripe.billing.invoices.clear()
    tasks.settle_open_payments()
    assert bought(saved) == [("created", True)]
    with unguarded(*TABLES):
        Payment.objects.update(created_at=F("created_at") - stripe_top_ups.GIVE_UP)
    tasks.settle_open_payments()
    assert (bought(saved), state(saved)) == ([("expired", False)], ("paused", "late"))


@without("the look for purchases without a record", "accounts.stripe_top_ups._invoice", drop("_check_record"))
def test_after_a_backup_was_restored_the_same_is_not_bought_again_and_staff_find_what_is_missing(
    stripe, saved, caplog
):
    spend(saved, 100)
    low_balance.attend()
    with unguarded(*TABLES):
        for kind in (TopUp, BalanceTransaction, Payment):
            kind.objects.all().delete()
        CreditEntry.objects.filter(kind="purchase").delete()
    saved.refresh_from_db()
    type(saved).objects.filter(pk=saved.pk).update(balance=0)
    assert low_balance.attend() == 1
    assert len(stripe.transactions) == 1
    assert state(saved) == ("paused", "failed")
    assert "there is no record of it" in caplog.text
    found = list(stripe_reconciliation.reconcile(timezone.now() - timedelta(days=1)))
    assert [type(one) for one in found] == [stripe_gateway.NoRecord]


def test_reconciliation_completes_a_purchase_whose_invoice_a_restored_backup_does_not_know(stripe, saved):
    spend(saved, 100)
    low_balance.attend()
    with unguarded(*TABLES):
        BalanceTransaction.objects.all().delete()
        CreditEntry.objects.filter(kind="purchase").delete()
        Payment.objects.update(
            created_at=F("created_at") - timedelta(hours=13),
            **{"status": "created", "paid": 0, "intent": None, "paid_at": None, "charged_at": None},
        )
        TopUp.objects.update(invoice=None, is_open=True)
    type(saved).objects.filter(pk=saved.pk).update(balance=0)
    [(payment, before)] = stripe_reconciliation.reconcile(timezone.now() - timedelta(days=1))
    assert (payment.status, before, has(saved)) == ("paid", "created", (1000, 0))


def test_reconciliation_completes_a_paid_purchase(stripe, saved, monkeypatch):
    def die(*args):
        raise stripe_gateway.Unreachable

    spend(saved, 100)
    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "truth_of", die)
        low_balance.attend()
    [(payment, before)] = stripe_reconciliation.reconcile(timezone.now() - timedelta(days=1))
    assert (payment.status, before, has(saved)) == ("paid", "created", (1000, 0))


@pytest.mark.parametrize("metadata", [{}, {"top_up": "x"}, {"top_up": ""}])
def test_invoices_of_others_are_ignored(stripe, saved, client, metadata):
    spend(saved, 100)
    low_balance.attend()
    [invoice] = stripe.billing.invoices.values()
    assert deliver(client, stripe.event("invoice.paid", invoice | {"metadata": metadata})) == 200
    assert StripeEvent.objects.latest("received_at").problem == ""


def test_without_a_key_nothing_is_begun(stripe, saved, settings):
    settings.STRIPE_SECRET_KEY = ""
    spend(saved, 100)
    assert low_balance.attend() == 0
    assert bought(saved) == []


def test_a_failed_purchase_does_not_become_the_customer_of_the_next_page(stripe, saved, stranger):
    assert payments.customer_of(saved) == LowBalance.objects.get().customer
    assert payments.customer_of(stranger) is None
    stripe.customers.clear()
    spend(saved, 100)
    low_balance.attend()
    LowBalance.objects.update(customer="")
    assert payments.customer_of(saved) is None


def test_a_paid_invoice_is_told_by_a_webhook_if_we_died_before_we_saw_it(stripe, saved, client, monkeypatch):
    spend(saved, 100)

    def die(*args):
        raise stripe_gateway.Unreachable

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "truth_of", die)
        low_balance.attend()
    [invoice] = stripe.billing.invoices.values()
    for _ in range(2):
        assert deliver(client, stripe.event("invoice.paid", invoice)) == 200
    assert (bought(saved), has(saved)) == ([("paid", False)], (1000, 0))
    assert StripeEvent.objects.filter(payment=saved.payments.get()).exists()


def test_money_that_is_not_there_yet_gives_nothing_yet(stripe, saved, client):
    stripe.cards.is_slow = True
    spend(saved, 100)
    low_balance.attend()
    assert (bought(saved), has(saved)) == ([("created", True)], (0, 0))
    [invoice] = stripe.billing.invoices.values()
    stripe.billing.pay(invoice)
    assert deliver(client, stripe.event("invoice.paid", invoice)) == 200
    assert (bought(saved), has(saved)) == ([("paid", False)], (1000, 0))


def test_a_customer_who_was_deleted_at_stripe_stops_it(stripe, saved):
    stripe.customers.clear()
    spend(saved, 100)
    low_balance.attend()
    assert (bought(saved), state(saved)) == ([("expired", False)], ("paused", "failed"))


def test_a_purchase_that_a_backup_forgot_is_shown_to_staff(stripe, saved, client):
    spend(saved, 100)
    low_balance.attend()
    [invoice] = stripe.billing.invoices.values()
    with unguarded(*TABLES):
        TopUp.objects.all().delete()
    assert deliver(client, stripe.event("invoice.paid", invoice)) == 200
    assert "there is no record of it" in StripeEvent.objects.latest("received_at").problem


def test_the_database_allows_one_purchase_of_a_user_at_a_time(owner, pack):
    def begin():
        payment = Payment.objects.create(user=owner, pack=pack, credits=1, price=1, processor="stripe")
        return TopUp.objects.create(payment=payment, user=owner, card="pm_1")

    begin()
    with pytest.raises(IntegrityError):
        begin()


@pytest.mark.django_db(transaction=True)
def test_four_workers_at_once_buy_one_pack(stripe, saved):
    spend(saved, 100)

    def work():
        try:
            low_balance.attend()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert bought(saved) == [("paid", False)]
    assert has(saved) == (1000, 0)
    assert len(stripe.transactions) == 1
