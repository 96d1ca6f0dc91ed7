import time
from itertools import permutations
from random import Random
from typing import get_args
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db.models import F
from stripe import Dispute

from accounts import credits, payments, stripe_gateway, stripe_money
from accounts.models import CreditPack, Payment, StripeEvent
from accounts.payments import Truth
from aivideo.management.commands import doctor
from aivideo.models import AuditEntry
from tests.support.database import unguarded
from tests.support.fixtures import new_user, signed_in, spend
from tests.support.payments import BOUGHT, NOTHING, buy, click_on_buy, completed, deliver, settled
from tests.support.sabotage import becomes, drop, never, omit, without
from tests.support.stripe_server import DISPUTE_FEE, FEE, sign

pytestmark = pytest.mark.django_db


TAKES_MONEY = {
    "warning_needs_response": False,
    "warning_under_review": False,
    "warning_closed": False,
    "won": False,
    "needs_response": True,
    "under_review": True,
    "lost": True,
    "appeal_needs_response": True,
    "appeal_under_review": True,
    "prevented": True,
}


def test_a_payment_is_asked_for_what_the_pack_costs_and_told_apart_by_its_own_key(stripe, payment):
    session = stripe.session_of(payment)
    assert (session["amount_total"], session["currency"]) == (2500, "usd")
    assert session["customer_email"] == session["_receipt_email"] == payment.user.email
    assert session["success_url"].endswith(f"/credits/paid/{payment.pk}/")
    assert stripe_gateway.checkout_url(payment) == session["url"]
    assert (payment.session, settled(payment)) == (session["id"], NOTHING)


def test_a_webhook_gives_the_credits_of_a_paid_payment(stripe, payment, client):
    stripe.pay(payment)
    assert deliver(client, completed(stripe, payment)) == 200
    assert settled(payment) == BOUGHT
    assert payment.receipt_url.startswith("https://pay.stripe.com/")
    event = StripeEvent.objects.get()
    assert (event.kind, event.payment, event.times) == ("checkout.session.completed", payment, 1)
    assert event.settled_at


def test_coming_back_gives_them_as_well_and_only_once(stripe, payment, client):
    stripe.pay(payment)
    for _ in range(2):
        answer = signed_in(payment.user).get(f"/credits/paid/{payment.pk}/", follow=True)
        assert "1000 credits added." in answer.text
    assert deliver(client, completed(stripe, payment)) == 200
    assert settled(payment) == BOUGHT


@without(
    "the memory of what was given",
    "accounts.payments._move",
    becomes("payment.paid_at is None", "True"),
    becomes("timezone.now() if becomes_paid else payment.paid_at", "timezone.now()"),
    "accounts.payments._give",
    becomes("payment.reference", "f'{payment.reference}:{__import__(\"uuid\").uuid4()}'"),
)
def test_A29_an_event_that_comes_again_gives_nothing_more(stripe, payment, client):
    stripe.pay(payment)
    body = completed(stripe, payment)
    assert [deliver(client, body) for _ in range(5)] == [200] * 5
    assert settled(payment) == BOUGHT
    assert StripeEvent.objects.get().times == 5


def test_A29_events_in_any_order_end_the_same(stripe, owner, pack, client):
    for order in permutations(range(4)):
        payment = buy(owner, pack)
        stripe.pay(payment)
        stripe.refund(payment, 500)
        dispute = stripe.dispute(payment, 1000)
        bodies = [
            completed(stripe, payment),
            stripe.event("charge.refunded", stripe.charge_of(payment)),
            stripe.event("charge.dispute.created", dispute),
            completed(stripe, payment, "checkout.session.async_payment_succeeded"),
        ]
        assert [deliver(client, bodies[number]) for number in order] == [200] * 4
        assert settled(payment)[0] == "disputed"
        assert sum(amount for _kind, amount in settled(payment)[3]) == 400


@without("the owner check on a payment", "accounts.views.paid", becomes("request.user.payments", "Payment"))
def test_A31_somebody_elses_return_page_is_not_found_and_gives_nothing(stripe, payment):
    stripe.pay(payment)
    thief = new_user()
    assert signed_in(thief).get(f"/credits/paid/{payment.pk}/").status_code == 404
    assert signed_in(thief).get(f"/credits/paid/{uuid4()}/").status_code == 404
    assert settled(payment) == NOTHING
    assert thief.balance == 100


@without("the check whether it was paid", "accounts.payments._move", becomes("truth.is_paid", "True"))
def test_A31_coming_back_without_paying_gives_nothing_and_says_so(stripe, payment):
    answer = signed_in(payment.user).get(f"/credits/paid/{payment.pk}/", follow=True)
    assert "We have not received a payment yet." in answer.text
    assert settled(payment) == NOTHING


@without(
    "the state of a payment that takes days",
    "accounts.stripe_gateway.truth_of",
    becomes("session.payment_status in PAID", "session.status == 'complete'"),
)
def test_A32_money_that_takes_days_gives_credits_when_it_is_there(stripe, payment, client):
    stripe.pay(payment, later=True)
    assert deliver(client, completed(stripe, payment)) == 200
    assert settled(payment) == NOTHING
    stripe.money_arrives(payment)
    assert deliver(client, completed(stripe, payment, "checkout.session.async_payment_succeeded")) == 200
    assert settled(payment) == BOUGHT


def test_A32_money_that_never_comes_gives_nothing(stripe, payment, client):
    stripe.pay(payment, later=True)
    assert deliver(client, completed(stripe, payment, "checkout.session.async_payment_failed")) == 200
    assert settled(payment) == NOTHING


@without(
    "the comparison with what was ordered",
    "accounts.payments._is_as_ordered",
    becomes("(_ordered(truth), truth.currency) == (payment.price, payment.currency)", "truth.amount > 0"),
)
@pytest.mark.parametrize(
    ("amount", "currency"), [(1, "usd"), (2500, "jpy"), (2499, "usd"), (9999, "usd"), (0, "usd")]
)
def test_A33_another_amount_or_currency_is_held_for_staff(stripe, payment, client, amount, currency):
    stripe.pay(payment, amount, currency)
    assert deliver(client, completed(stripe, payment)) == 200
    assert settled(payment) == ("held", 100, 0, [])
    assert "not what was ordered" in payment.reason
    answer = signed_in(payment.user).get(f"/credits/paid/{payment.pk}/", follow=True)
    assert "We are looking into it." in answer.text


def test_staff_may_accept_a_held_payment_once(stripe, payment, client):
    stripe.pay(payment, 2400)
    deliver(client, completed(stripe, payment))
    assert Payment.objects.get().reason
    assert [payments.accept(payment), payments.accept(payment)] == [True, False]
    assert (settled(payment), Payment.objects.get().reason) == (BOUGHT, "")
    deliver(client, completed(stripe, payment))
    assert (settled(payment), Payment.objects.get().reason) == (BOUGHT, "")


def test_what_was_not_paid_yet_says_nothing_of_money(stripe, payment):
    before = Payment.objects.values().get()
    for _ in range(2):
        payments.settle(payment, stripe_gateway.truth_of)
        assert Payment.objects.values().get() == before
    stripe.expire(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    ended = Payment.objects.get()
    assert (ended.status, ended.reason, ended.charged_at, ended.paid) == ("expired", "", None, 0)


def test_what_was_paid_once_stays_paid_whatever_the_session_says_later(stripe, payment):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    for is_over in (False, True):
        payments.settle(payment, lambda _, over=is_over: Truth(is_paid=False, is_over=over))
        assert settled(payment) == BOUGHT


def test_an_order_that_was_paid_is_not_led_to_its_page_again(stripe, payment):
    def open_order():
        return payments.open_order(payment.user, payment.pack)

    assert open_order() == payment
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    assert open_order() is None


def test_staff_are_told_all_that_is_wrong_with_a_payment_and_nothing_of_one_that_is_settled(payment):
    def reason(**truth):
        payments.settle(payment, lambda _: Truth(is_paid=True, currency="usd", **truth))
        return Payment.objects.get().reason

    wrong = "paid 1.00 USD, which is not what was ordered"
    assert reason(amount=100, unclear="Unclear") == f"Unclear; {wrong}"
    assert reason(amount=100) == wrong
    assert reason(amount=100, disputed=100, is_contested=True) == ""
    assert reason(amount=100, refunded=100) == ""
    assert reason(amount=2500) == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("amount", [2500, 2400])
def test_a_payment_that_was_settled_or_accepted_half_is_so_again(stripe, payment, monkeypatch, amount):
    def die(*_arguments, **_more):
        raise OperationalError("the machine dies here")

    def complete():
        payments.settle(payment, truth(amount=amount, refunded=amount // 2))
        return amount == 2500 or payments.accept(payment)

    with monkeypatch.context() as patch:
        patch.setattr(credits, "claw_back", die)
        with pytest.raises(OperationalError):
            complete()
    assert settled(payment)[3] == []
    assert complete()
    assert settled(payment)[1] == 600


def test_of_two_held_payments_the_one_that_is_meant_is_accepted(stripe, payment, pack):
    other = payments.order(payment.user, pack, Payment.Processor.STRIPE)
    for one in (payment, other):
        payments.settle(one, truth(amount=2400))
    assert payments.accept(payment)
    assert (settled(payment)[0], settled(other)[0]) == ("paid", "held")


def test_a_held_payment_that_staff_refund_gives_and_takes_nothing(stripe, payment, client):
    stripe.pay(payment, 2400)
    deliver(client, completed(stripe, payment))
    stripe.refund(payment)
    deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert settled(payment) == ("refunded", 100, 0, [])


def test_nobody_accepts_what_is_not_held(stripe, payment):
    assert payments.accept(payment) is False
    assert settled(payment) == NOTHING


def test_a_pack_that_changes_while_its_page_is_open_is_sold_as_it_was(stripe, payment, pack, client):
    CreditPack.objects.update(credits=1, price=999_999, is_sold=False)
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    assert settled(payment) == BOUGHT


@without("the claw-back after a refund", "accounts.payments._to_take_back", becomes("truth.refunded", "0"))
def test_A34_a_refund_takes_back_its_share_and_rounds_for_the_customer(stripe, payment, client):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    for amount, total in ((1, 0), (832, 333), (1667, 1000)):
        stripe.refund(payment, amount)
        deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
        payment.refresh_from_db()
        assert (payment.status, payment.clawed_back) == ("refunded", total)
    assert settled(payment) == (
        "refunded",
        100,
        0,
        [("purchase", 1000), ("claw_back", -333), ("claw_back", -667)],
    )


@without("the debt", "accounts.credits.claw_back", becomes("amount - taken", "0"))
def test_A34_a_refund_of_spent_credits_becomes_a_debt(stripe, payment, client):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    spend(payment.user, 1050)
    stripe.refund(payment)
    deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert settled(payment)[:3] == ("refunded", 0, 950)


@without("the claw-back after a dispute", "accounts.payments._to_take_back", becomes("truth.disputed", "0"))
def test_A34_a_dispute_takes_the_credits_and_a_won_one_brings_them_back(stripe, payment, client):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    dispute = stripe.dispute(payment)
    deliver(client, stripe.event("charge.dispute.created", dispute))
    assert settled(payment)[:3] == ("disputed", 100, 0)
    stripe.win(dispute)
    deliver(client, stripe.event("charge.dispute.closed", dispute))
    assert settled(payment) == (
        "paid",
        1100,
        0,
        [("purchase", 1000), ("claw_back", -1000), ("purchase", 1000)],
    )


@pytest.mark.parametrize(("status", "taken"), list(TAKES_MONEY.items()))
def test_A34_only_disputes_that_take_money_take_credits(stripe, payment, client, status, taken):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    deliver(client, stripe.event("charge.dispute.created", stripe.dispute(payment, status=status)))
    ended = "lost" if status in ("lost", "prevented") else "disputed"
    assert settled(payment)[:2] == ((ended, 100) if taken else ("paid", 1100))


def test_A76_each_word_of_stripe_about_a_dispute_is_known():
    """A new release of the SDK that knows another word fails here: say what the money does then."""
    words, _any_other = get_args(Dispute.__annotations__["status"])
    assert set(get_args(words)) == set(TAKES_MONEY)
    assert set(stripe_money.TAKEN) == {word for word, takes in TAKES_MONEY.items() if takes}
    assert set(stripe_money.NOT_TAKEN) == {word for word, takes in TAKES_MONEY.items() if not takes}


@without(
    "the appeals of a lost dispute",
    "accounts.stripe_money.TAKEN",
    omit("'appeal_needs_response'"),
    omit("'appeal_under_review'"),
)
def test_A76_a_lost_dispute_that_is_appealed_gives_nothing_back_until_it_is_won(stripe, payment, client):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    spend(payment.user, 100 + 900)
    dispute = stripe.dispute(payment)
    for status, expected in (
        ("lost", ("lost", 0, 900)),
        ("appeal_needs_response", ("disputed", 0, 900)),
        ("appeal_under_review", ("disputed", 0, 900)),
        ("won", ("paid", 100, 0)),
    ):
        if status == "won":
            stripe.win(dispute)
        dispute["status"] = status
        assert deliver(client, stripe.event("charge.dispute.updated", dispute)) == 200
        assert settled(payment)[:3] == expected


@pytest.fixture
def yen(stripe, owner):
    """A payment in yen that was settled in dollars: 2,500 yen as 16 dollars."""
    stripe.account_currency, stripe.rate = "usd", 0.64
    payment = buy(owner, CreditPack.objects.create(name="Yen", credits=1000, price=2500, currency="jpy"))
    stripe.pay(payment)
    return payments.settle(payment, stripe_gateway.truth_of)


@pytest.mark.parametrize(("cents", "taken"), [(1600, 1000), (800, 500), (1, 0), (1700, 1000)])
def test_a_dispute_that_is_stated_in_another_currency_takes_its_share_of_the_payment(
    stripe, yen, cents, taken
):
    stripe.dispute(yen, cents, currency="usd")
    payment = payments.settle(yen, stripe_gateway.truth_of)
    assert (payment.status, payment.clawed_back) == ("disputed", taken)


def test_a_key_that_may_not_read_the_balance_leaves_such_a_dispute_to_staff(stripe, yen):
    stripe.is_restricted = True
    assert payments.settle(yen, stripe_gateway.truth_of).status == "paid"
    stripe.dispute(yen, 1600, currency="usd")
    assert payments.settle(yen, stripe_gateway.truth_of).status == "held"


def test_a_dispute_of_all_takes_all_whatever_the_exchange_rate_of_the_day(stripe, yen):
    stripe.rate = 0.61
    dispute = stripe.dispute(yen)
    assert payments.settle(yen, stripe_gateway.truth_of).clawed_back == 1000
    stripe.rate = 0.59
    stripe.win(dispute)
    assert payments.settle(yen, stripe_gateway.truth_of).clawed_back == 0


def test_a_won_dispute_brings_the_credits_back_when_the_money_is_back(stripe, payment):
    stripe.pay(payment)
    dispute = stripe.dispute(payment)
    dispute["status"] = "won"
    assert payments.settle(payment, stripe_gateway.truth_of).clawed_back == 1000
    stripe.reinstate(dispute)
    assert payments.settle(payment, stripe_gateway.truth_of).clawed_back == 0


def test_a_dispute_without_a_withdrawal_counts_by_its_status_if_its_currency_is_the_payments(
    stripe, payment, yen
):
    stripe.account_currency = ""
    stripe.pay(payment)
    stripe.dispute(payment, 500)["balance_transactions"].clear()
    assert payments.settle(payment, stripe_gateway.truth_of).clawed_back == 200
    stripe.dispute(yen, 1600, currency="usd")["balance_transactions"].clear()
    held = payments.settle(yen, stripe_gateway.truth_of)
    assert (held.status, held.clawed_back) == ("held", 0)
    assert "in another currency" in held.reason


@without("the rule that an unknown status changes nothing", "accounts.payments._move", never("truth.unclear"))
def test_A76_an_unknown_word_about_a_dispute_moves_nothing_and_waits_for_staff(
    stripe, payment, client, as_staff, caplog
):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    dispute = stripe.dispute(payment, 500)
    deliver(client, stripe.event("charge.dispute.created", dispute))
    before = settled(payment)
    assert before[:2] == ("disputed", 900)
    dispute["status"], stripe.is_newer = "half_forgiven", True
    stripe.refund(payment, 750)
    for _ in range(2):
        assert deliver(client, stripe.event("charge.dispute.updated", dispute)) == 200
        assert settled(payment) == ("held", *before[1:])
    assert (payment.clawed_back, "half_forgiven" in payment.reason) == (200, True)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([text for text in warnings if "half_forgiven" in text]) == 1
    assert "half_forgiven" in as_staff.get("/admin/money/").text
    assert "half_forgiven" in as_staff.get("/admin/accounts/payment/").text
    assert payments.accept(payment) is False
    assert settled(payment) == ("held", *before[1:])
    stripe.win(dispute)
    deliver(client, stripe.event("charge.dispute.closed", dispute))
    assert settled(payment)[:3] == ("refunded", 800, 0)
    stripe.refund(payment, 1750)
    deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert settled(payment)[:3] == ("refunded", 100, 0)


def test_A76_a_payment_that_meets_an_unknown_word_first_gives_its_credits_once(stripe, payment, client):
    stripe.pay(payment)
    stripe.is_newer = True
    dispute = stripe.dispute(payment, status="half_forgiven")
    deliver(client, completed(stripe, payment))
    assert settled(payment) == ("held", 100, 0, [])
    assert [payments.accept(payment), payments.accept(payment)] == [True, False]
    assert settled(payment) == BOUGHT
    deliver(client, stripe.event("charge.dispute.updated", dispute))
    assert settled(payment) == ("held", *BOUGHT[1:])
    assert payments.accept(payment) is False
    stripe.win(dispute)
    deliver(client, stripe.event("charge.dispute.closed", dispute))
    assert settled(payment) == BOUGHT


@without(
    "the check of Stripe's signature",
    "accounts.stripe_gateway.read_webhook",
    becomes(
        "_client().construct_event(body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE)",
        "stripe.Event.construct_from(__import__('json').loads(body), '')",
    ),
)
def test_A28_only_what_stripe_signed_is_believed(stripe, payment, client):
    stripe.pay(payment)
    body, chance = completed(stripe, payment), Random(28)
    good = sign(body)
    forged = [
        deliver(client, body, header)
        for header in ("", "t=,v1=", sign(body, secret="whsec_another"), sign(body, scheme="v0"), good[:-1])
    ]
    for _ in range(300):
        changed = bytearray(body)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        forged.append(deliver(client, bytes(changed), good))
    assert set(forged) == {400}
    assert (settled(payment), StripeEvent.objects.count()) == (NOTHING, 0)


@without("the age limit of a webhook", "accounts.stripe_gateway.TOLERANCE", becomes("300", "10**9"))
@pytest.mark.parametrize("late", [301, 86400, -310, -86400])
def test_A30_what_was_signed_too_long_ago_or_in_the_future_is_refused(stripe, payment, client, late):
    stripe.pay(payment)
    body = completed(stripe, payment)
    assert deliver(client, body, sign(body, at=time.time() - late)) == 400
    assert settled(payment) == NOTHING


@without("the mode check of a webhook", "accounts.stripe_gateway.read_webhook", never("event.livemode"))
@pytest.mark.parametrize("foreign", [{"livemode": True}, {"account": "acct_of_somebody"}])
def test_A30_events_of_another_mode_or_account_are_refused(stripe, payment, client, foreign):
    stripe.pay(payment)
    body = stripe.event("checkout.session.completed", stripe.session_of(payment), **foreign)
    assert deliver(client, body) == 400
    assert settled(payment) == NOTHING


def test_a_session_of_the_other_mode_gives_nothing(stripe, payment, client):
    stripe.pay(payment)
    stripe.session_of(payment)["livemode"] = True
    body = stripe.event("checkout.session.completed", stripe.session_of(payment))
    assert deliver(client, body) == 400
    assert settled(payment) == NOTHING


@pytest.mark.parametrize("kind", ["customer.created", "charge.refunded", "payment_intent.succeeded"])
def test_events_about_what_we_did_not_sell_are_taken_and_change_nothing(stripe, owner, client, kind):
    assert (
        deliver(client, stripe.event(kind, {"id": "pi_x", "object": "thing", "payment_intent": "pi_x"}))
        == 200
    )
    assert (
        deliver(client, stripe.event("checkout.session.completed", {"id": "x", "client_reference_id": "x"}))
        == 200
    )
    assert StripeEvent.objects.filter(payment=None).count() == 2


def test_while_stripe_is_down_nothing_is_lost(stripe, payment, client, caplog):
    stripe.pay(payment)
    body = completed(stripe, payment)
    stripe.is_down = True
    assert deliver(client, body) == 503
    answer = signed_in(payment.user).get(f"/credits/paid/{payment.pk}/", follow=True)
    assert "your credits will be added automatically" in answer.text
    stripe.is_down = False
    assert deliver(client, body) == 200
    assert settled(payment) == BOUGHT


def test_a_refund_that_is_told_before_the_payment_finds_it(stripe, payment, client):
    stripe.pay(payment)
    stripe.refund(payment)
    assert deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment))) == 200
    assert settled(payment) == ("refunded", 100, 0, [("purchase", 1000), ("claw_back", -1000)])


def test_a_session_whose_answer_we_did_not_survive_is_found_by_its_webhook(stripe, payment, client):
    with unguarded("accounts_payment"):
        Payment.objects.update(session=None)
    stripe.pay(payment)
    assert deliver(client, completed(stripe, payment)) == 200
    assert settled(payment) == BOUGHT


def test_somebody_elses_session_cannot_pay_a_payment(stripe, owner, pack, client):
    cheap = CreditPack.objects.create(name="Little", credits=1, price=100)
    paid, dear = buy(owner, cheap), buy(owner, pack)
    with unguarded("accounts_payment"):
        Payment.objects.filter(pk=dear.pk).update(session=None)
    stripe.pay(paid)
    forged = {**stripe.session_of(paid), "client_reference_id": str(dear.pk)}
    with unguarded("accounts_payment"):
        Payment.objects.filter(pk=paid.pk).update(session=None)
    assert deliver(client, stripe.event("checkout.session.completed", forged)) == 400
    assert settled(dear) == NOTHING


def test_a_refund_that_fails_gives_the_credits_back(stripe, payment, client):
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    refund = stripe.refund(payment, 500)
    stripe.refund(payment, 250)
    deliver(client, stripe.event("refund.created", refund))
    assert settled(payment)[:2] == ("refunded", 800)
    refund["status"] = "failed"
    assert deliver(client, stripe.event("refund.failed", refund)) == 200
    assert settled(payment)[:2] == ("refunded", 1000)


def test_a_second_click_on_buy_leads_to_the_same_page_until_that_is_paid(stripe, owner, pack):
    first = click_on_buy(owner, pack)
    assert click_on_buy(owner, pack) == first
    assert len(stripe.sessions) == 1
    stripe.pay(first)
    payments.settle(first, stripe_gateway.truth_of)
    second = click_on_buy(owner, pack)
    assert second != first
    CreditPack.objects.update(price=2600)
    assert click_on_buy(owner, pack).price == 2600
    Payment.objects.update(created_at=F("created_at") - payments.REUSE)
    third = click_on_buy(owner, pack)
    assert third not in (first, second)
    stripe.expire(third)
    assert click_on_buy(owner, pack) != third


@pytest.mark.parametrize(
    "change",
    [{"credits": 900}, {"price": 2600}, {"currency": "eur"}, {"processor": "test"}, {"session": None}],
)
def test_a_page_for_other_terms_is_not_shown_again(payment, pack, change):
    assert payments.open_order(payment.user, pack) == payment
    other = CreditPack.objects.create(
        name="Other", credits=pack.credits, price=pack.price, currency=pack.currency
    )
    assert payments.open_order(payment.user, other) is None
    with unguarded("accounts_payment"):
        Payment.objects.update(**change)
    assert payments.open_order(payment.user, pack) is None


def test_thirty_visits_of_the_return_page_ask_stripe_once(stripe, payment):
    client, path = signed_in(payment.user), f"/credits/paid/{payment.pk}/"
    stripe.asked.clear()
    for _ in range(30):
        client.get(path)
    assert len(stripe.asked) == 1
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    stripe.asked.clear()
    assert "1000 credits added." in client.get(path, follow=True).text
    assert stripe.asked == []


def test_a_settling_that_was_overtaken_asks_again(stripe, payment):
    stripe.pay(payment)
    calls = []

    def fetch(current):
        truth = stripe_gateway.truth_of(current)
        calls.append(truth)
        if len(calls) == 1:
            stripe.refund(payment)
            payments.settle(payment, stripe_gateway.truth_of)
        return truth

    payments.settle(payment, fetch)
    assert [truth.refunded for truth in calls] == [0, 2500]
    assert settled(payment)[:3] == ("refunded", 100, 0)


def test_a_pack_that_is_not_sold_cannot_be_bought(stripe, owner, pack):
    client = signed_in(owner)
    CreditPack.objects.update(is_sold=False)
    for wrong in (pack.pk, "", "x", "-1", "9" * 30, 0):
        answer = client.post("/credits/buy/", {"pack": wrong})
        assert (answer.status_code, "no longer available" in answer.text) == (422, True)
    assert Payment.objects.count() == 0


def test_a_payment_page_that_cannot_be_reached_is_said_and_nothing_is_charged(stripe, owner, pack):
    stripe.is_down = True
    answer = signed_in(owner).post("/credits/buy/", {"pack": pack.pk})
    assert (answer.status_code, "The payment page is unavailable" in answer.text) == (503, True)
    assert settled(owner.payments.get()) == NOTHING


def test_without_a_secret_there_is_no_door_for_webhooks(client, settings):
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert deliver(client, b"{}") == 404


def test_a_webhook_is_posted_and_small(stripe, client):
    assert client.get("/webhooks/stripe/").status_code == 405
    assert deliver(client, b"x" * 300_000) == 413


def test_the_doctor_tries_the_key_and_counts_what_needs_a_decision(stripe, payment, client, settings):
    assert doctor.payments() is None
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    stripe_gateway._client.cache_clear()
    assert "Invalid API Key" in doctor.payments()
    Payment.objects.update(status="held")
    assert doctor.payments() == "payments waiting for a decision: 1"


# --- Without Stripe -------------------------------------------------------------------------------


@pytest.fixture
def demo_mode(settings):
    settings.TOP_UPS = settings.TEST_CHECKOUT = True


def test_in_demo_mode_a_pack_is_paid_with_nothing_and_once(demo_mode, owner, pack):
    client = signed_in(owner)
    answer = client.post("/credits/buy/", {"pack": pack.pk}, follow=True)
    assert "TEST MODE · no real money" in answer.text
    payment = owner.payments.get()
    assert settled(payment) == NOTHING
    for _ in range(2):
        answer = client.post(f"/credits/test-checkout/{payment.pk}/", follow=True)
        assert "1000 credits added." in answer.text
    assert settled(payment) == BOUGHT


def test_nobody_pays_for_somebody_else_with_nothing(demo_mode, owner, pack):
    payment = payments.order(owner, pack, Payment.Processor.TEST)
    assert signed_in(new_user()).post(f"/credits/test-checkout/{payment.pk}/").status_code == 404
    assert settled(payment) == NOTHING


def test_a_payment_by_stripe_is_never_paid_with_nothing(demo_mode, owner, pack):
    payment = payments.order(owner, pack, Payment.Processor.STRIPE)
    assert signed_in(owner).post(f"/credits/test-checkout/{payment.pk}/").status_code == 404
    assert settled(payment) == NOTHING


def test_outside_demo_mode_nothing_is_bought_with_nothing(settings, owner, pack):
    settings.TOP_UPS = settings.TEST_CHECKOUT = False
    client = signed_in(owner)
    payment = payments.order(owner, pack, Payment.Processor.TEST)
    assert client.post(f"/credits/test-checkout/{payment.pk}/").status_code == 404
    assert client.post("/credits/buy/", {"pack": pack.pk}).status_code == 404
    assert "Buy for" not in client.get("/credits/").text
    assert settled(payment) == NOTHING


def truth(**facts):
    return lambda _payment: payments.Truth(**{"is_paid": True, "amount": 2500, "currency": "usd", **facts})


def test_a_dispute_about_one_credit_takes_one_and_a_won_one_brings_it_back(stripe, payment):
    payments.settle(payment, truth(disputed=3, is_contested=True))
    assert settled(payment)[:2] == ("disputed", 1099)
    payments.settle(payment, truth())
    assert settled(payment)[:2] == ("paid", 1100)
    told = payment.user.credit_entries.order_by("id").values_list("reference", "note")
    name = payment.reference
    assert list(told)[-2:] == [(f"{name}:1", "disputed"), (f"{name}:2", "paid")]


def test_refunds_piece_by_piece_take_back_each_piece(stripe, payment):
    payments.settle(payment, truth())
    for cents, balance in ((250, 1000), (500, 900), (750, 800), (1000, 700), (2500, 100)):
        payments.settle(payment, truth(refunded=cents))
        assert settled(payment)[1] == balance


def test_an_answer_that_says_nothing_new_moves_nothing(stripe, payment):
    for expected in (1, 1, 1):
        payments.settle(payment, truth())
        assert Payment.objects.get(pk=payment.pk).version == expected
    payments.settle(payment, truth(refunded=500))
    taken_back = payment.user.credit_entries.get(kind="claw_back")
    assert taken_back.reference == f"{payment.reference}:2"


def test_nothing_is_known_of_a_payment_that_nobody_was_sent_to():
    unknown = payments.Truth(is_paid=False)
    assert (unknown.amount, unknown.refunded, unknown.disputed, unknown.intent) == (0, 0, 0, None)


def test_what_the_processor_has_said_once_is_kept_when_it_says_less(stripe, payment):
    url = "https://pay.stripe.com/receipts/1"
    payments.settle(payment, truth(intent="pi_1", customer="cus_1", receipt_url=url))
    payments.settle(payment, truth(refunded=500))
    payment.refresh_from_db()
    assert (payment.intent, payment.customer, payment.receipt_url) == ("pi_1", "cus_1", url)
    payments.settle(payment, truth(intent="pi_1", customer="cus_2"))
    payment.refresh_from_db()
    assert payment.customer == "cus_1"


def test_a_held_payment_waits_until_all_of_its_money_went_back(stripe, payment):
    for refunded, status in ((0, "held"), (1000, "held"), (2400, "refunded")):
        payments.settle(payment, truth(amount=2400, refunded=refunded))
        assert settled(payment) == (status, 100, 0, [])


def test_what_was_refunded_and_what_is_disputed_add_up(stripe, payment):
    payments.settle(payment, truth())
    payments.settle(payment, truth(refunded=500, disputed=500, is_contested=True))
    assert settled(payment)[:2] == ("disputed", 700)


def test_of_a_held_payment_that_was_refunded_in_part_only_the_rest_is_granted(stripe, payment):
    payments.settle(payment, truth(amount=2400, refunded=600))
    assert settled(payment)[0] == "held"
    assert payments.accept(payment)
    assert settled(payment)[:2] == ("paid", 850)
    taken = payment.user.credit_entries.get(kind="claw_back")
    assert (taken.reference, taken.note) == (f"{payment.reference}:{payment.version}", "refunded")
    payments.settle(payment, truth(amount=2400, refunded=600))
    assert settled(payment)[:2] == ("refunded", 850)


def test_of_a_held_payment_that_is_disputed_in_part_only_the_rest_is_granted(stripe, payment):
    payments.settle(payment, truth(amount=2400, disputed=600, is_contested=True))
    payments.settle(payment, truth(amount=2400, unclear="Stripe says something new."))
    assert settled(payment)[0] == "held"
    assert payments.accept(payment)
    assert settled(payment)[:2] == ("paid", 850)


def money_of(payment):
    """What was paid, refunded and disputed; and what is left of it at Stripe."""
    payment.refresh_from_db()
    net = sum(payment.balance_transactions.values_list("net", flat=True))
    return (payment.paid, payment.refunded, payment.disputed, net)


@without(
    "what a failed refund brings back",
    "accounts.stripe_money._transactions",
    becomes("getattr(one, 'failure_balance_transaction', None)", "None"),
)
def test_what_a_payment_really_brought_is_known_to_the_cent(stripe, payment, client):
    """Whatever happens to it: what we recorded is what Stripe booked."""

    def booked():
        return sum(move["net"] for move in stripe.transactions.values())

    assert money_of(payment) == (0, 0, 0, 0)
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    assert money_of(payment) == (2500, 0, 0, 2500 - FEE) == (2500, 0, 0, booked())
    refund = stripe.refund(payment, 500)
    for _ in range(2):
        deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert money_of(payment) == (2500, 500, 0, booked())
    stripe.fail_refund(refund)
    deliver(client, stripe.event("refund.failed", refund))
    assert money_of(payment) == (2500, 0, 0, booked()) == (2500, 0, 0, 2500 - FEE)
    dispute = stripe.dispute(payment)
    deliver(client, stripe.event("charge.dispute.created", dispute))
    assert money_of(payment) == (2500, 0, 2500, booked()) == (2500, 0, 2500, -FEE - DISPUTE_FEE)
    stripe.win(dispute)
    deliver(client, stripe.event("charge.dispute.closed", dispute))
    assert money_of(payment) == (2500, 0, 0, booked()) == (2500, 0, 0, 2500 - FEE - DISPUTE_FEE)
    assert payment.balance_transactions.count() == 5


def test_without_the_right_to_read_the_balance_a_payment_is_settled_all_the_same(stripe, payment, client):
    stripe.is_restricted = True
    stripe.pay(payment)
    deliver(client, completed(stripe, payment))
    assert settled(payment) == BOUGHT
    stripe.refund(payment, 500)
    deliver(client, stripe.event("charge.refunded", stripe.charge_of(payment)))
    assert money_of(payment) == (2500, 500, 0, 0)
    stripe.is_restricted = False
    payments.settle(payment, stripe_gateway.truth_of)
    assert money_of(payment) == (2500, 500, 0, 2000 - FEE)


def test_what_was_paid_in_another_currency_is_money_of_that_currency(stripe, payment, client):
    stripe.pay(payment, amount=2300, currency="eur")
    deliver(client, completed(stripe, payment))
    payment.refresh_from_db()
    assert (payment.status, payment.paid, payment.paid_currency) == ("held", 2300, "eur")


def test_a_decision_counts_as_a_move_so_that_an_older_answer_loses(stripe, payment):
    payments.settle(payment, truth(amount=2400))
    before = Payment.objects.get(pk=payment.pk).version
    assert payments.accept(payment)
    assert Payment.objects.get(pk=payment.pk).version == before + 1


@pytest.fixture
def pay_back(as_staff):
    """Press "Refund money" on a payment's page; what is said then."""

    def press(payment, amount="", form=None):
        url = f"/admin/accounts/payment/{payment.pk}/pay_back/"
        fields = {"reason": "they did not like it", "_form_submitted": "True", "form": form or uuid4()}
        assert as_staff.post(url, {**fields, "amount": amount}).status_code == 200
        return as_staff.get(f"/admin/accounts/payment/{payment.pk}/change/").text

    return press


@without("the audit log before a refund", "aivideo.staff.actions.pay_back", drop("_do"))
def test_staff_refund_money_in_part_and_then_the_rest_and_the_credits_follow(stripe, payment, pay_back):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    assert "Refunded." in pay_back(payment, "5.00")
    assert settled(payment)[:2] == ("refunded", 900)
    form = uuid4()
    assert "Refunded." in pay_back(payment, "10", form)
    for _ in range(2):
        said = pay_back(payment, "10", form)
        assert "This was sent before. By now, 15.00 USD of 25.00 USD have been refunded." in said
    assert settled(payment)[:2] == ("refunded", 500)
    assert "At most 10.00 USD can be refunded." in pay_back(payment, "10.01")
    assert "At most 10.00 USD can be refunded." in pay_back(payment, "0.001")
    pay_back(payment)
    assert settled(payment)[:2] == ("refunded", 100)
    assert money_of(payment) == (2500, 2500, 0, -FEE)
    assert [refund["amount"] for refund in stripe.refunds.values()] == [500, 1000, 1000]
    log = AuditEntry.objects.filter(action="pay_back").order_by("pk")
    assert list(log.values_list("detail", flat=True)) == ["5.00 USD", "10.00 USD", "10.00 USD"]


def test_a_refund_of_staff_that_fails_gives_the_credits_back(stripe, payment, pay_back, client):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    pay_back(payment)
    assert settled(payment)[:2] == ("refunded", 100)
    (refund,) = stripe.refunds.values()
    stripe.fail_refund(refund)
    deliver(client, stripe.event("refund.failed", refund))
    assert settled(payment)[:2] == ("paid", 1100)
    pay_back(payment)
    assert settled(payment)[:2] == ("refunded", 100)


def test_a_refund_whose_answer_was_lost_is_told_so_that_nobody_makes_another(
    stripe, payment, pay_back, monkeypatch
):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    refund = stripe_gateway.refund

    def lose(*arguments):
        refund(*arguments)
        raise stripe_gateway.Unreachable("no answer.")

    monkeypatch.setattr(stripe_gateway, "refund", lose)
    assert "no answer. By now, 5.00 USD of 25.00 USD have been refunded" in pay_back(payment, "5")
    assert settled(payment)[:2] == ("refunded", 900)


@pytest.mark.parametrize(
    ("loses", "says"), [(True, "may have been refunded"), (False, "The money is refunded")]
)
def test_after_a_refund_of_which_stripe_can_say_nothing_staff_hear_what_is_in_doubt(
    stripe, payment, pay_back, monkeypatch, loses, says
):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    refund = stripe_gateway.refund

    def refund_and_go_down(*arguments):
        refund(*arguments)
        stripe.is_down = True
        if loses:
            raise stripe_gateway.Unreachable("no answer.")

    monkeypatch.setattr(stripe_gateway, "refund", refund_and_go_down)
    said = pay_back(payment, "5")
    assert says in said
    assert "refresh the payment" in said
    assert settled(payment) == BOUGHT
    stripe.is_down = False
    payments.settle(payment, stripe_gateway.truth_of)
    assert settled(payment)[:2] == ("refunded", 900)


def test_a_refund_that_failed_before_anybody_looked_is_in_the_books_all_the_same(stripe, payment):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    stripe.fail_refund(stripe.refund(payment, 500))
    payments.settle(payment, stripe_gateway.truth_of)
    assert money_of(payment) == (2500, 0, 0, 2500 - FEE)
    assert payment.balance_transactions.count() == 3


def test_a_refund_that_stripe_refuses_or_does_not_answer_changes_nothing(stripe, payment, pay_back):
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    stripe.is_down = True
    assert "Stripe gave no usable answer" in pay_back(payment, "5")
    stripe.is_down = False
    assert settled(payment) == BOUGHT
    assert stripe.refunds == {}


def test_staff_can_ask_stripe_again_and_hear_when_it_does_not_answer(stripe, payment, as_staff):
    stripe.pay(payment)
    form = {"reason": "they say they paid", "_form_submitted": "True"}
    url = f"/admin/accounts/payment/{payment.pk}/settle/"
    assert as_staff.get(url).status_code == 200
    stripe.is_down = True
    answer = as_staff.post(url, form | {"form": str(uuid4())})
    assert answer["HX-Redirect"].endswith(f"/{payment.pk}/change/")
    assert "no usable answer" in as_staff.get(answer["HX-Redirect"]).content.decode()
    assert settled(payment) == NOTHING
    stripe.is_down = False
    answer = as_staff.post(url, form | {"form": str(uuid4())})
    assert answer["HX-Redirect"].endswith(f"/{payment.pk}/change/")
    assert settled(payment) == BOUGHT
