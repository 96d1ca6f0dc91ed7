"""What happens when credits run low: an email, or a pack that is bought with a saved card."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail
from django.db.models import F
from django.utils import timezone

from accounts import (
    credits,
    low_balance,
    payments,
    plans,
    stripe_gateway,
    stripe_plans,
    stripe_top_ups,
)
from accounts.models import (
    CreditEntry,
    CreditPack,
    LowBalance,
    Payment,
    Plan,
    TopUp,
)
from tests.support.database import unguarded
from tests.support.fixtures import give, new_user, signed_in, spend
from tests.support.low_balances import TABLES, ask, bought, has, state, subjects
from tests.support.payments import buy, deliver
from tests.support.sabotage import becomes, drop, never, without

pytestmark = pytest.mark.django_db


# --- Email


def test_an_email_is_sent_once_when_the_balance_falls_below_the_limit_and_again_when_it_had_recovered(owner):
    assert ask(owner, do="email", below="50").status_code == 302
    assert low_balance.attend() == 0
    spend(owner, 60)
    assert [low_balance.attend() for _ in range(2)] == [1, 0]
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == ([owner.email], "Your credits run low")
    assert "You have 40 credits left." in letter.body
    assert "/credits/" in letter.body
    give(owner, 100)
    low_balance.attend()
    spend(owner, 100)
    low_balance.attend()
    assert subjects() == ["Your credits run low"] * 2


def test_a_mail_server_that_is_away_is_tried_again(owner, monkeypatch):
    low_balance.email(owner, 200)

    def refuse(*args):
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(low_balance, "send_mail", refuse)
        assert low_balance.attend() == 0
    assert low_balance.attend() == 1
    assert subjects() == ["Your credits run low"]


def test_nobody_is_told_who_did_not_ask_or_is_suspended_or_owes(owner, stranger):
    spend(owner, 100)
    low_balance.email(stranger, 200)
    stranger.is_active = False
    stranger.save()
    debtor = new_user()
    credits.claw_back(debtor, 150, reference="tests")
    low_balance.email(debtor, 200)
    assert not low_balance.due().exists()


def test_an_address_that_is_refused_is_not_tried_again_and_keeps_nobody_else_waiting(
    owner, stranger, monkeypatch
):
    for user in (owner, stranger):
        low_balance.email(user, 200)
    asked = []

    def refuse(_subject, _text, _sender, to):
        asked.extend(to)
        raise SMTPRecipientsRefused({})

    monkeypatch.setattr(low_balance, "send_mail", refuse)
    assert [low_balance.attend() for _ in range(2)] == [2, 0]
    assert sorted(asked) == sorted([owner.email, stranger.email])


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"do": "email", "below": ""}, "Below how many credits?"),
        ({"do": "email", "below": "0"}, "greater than or equal to 1"),
        ({"do": "email", "below": "x"}, "Enter a whole number."),
        ({"do": "buy", "below": "50", "pack": ""}, "Choose a pack."),
        ({"do": "buy", "below": "50", "pack": "99999"}, "no longer available"),
        ({"do": "buy", "below": "1001", "a_month": "1"}, "Not more than the pack has: 1000 credits."),
        ({"do": "buy", "below": "50", "a_month": ""}, "How many times a month, at most?"),
        ({"do": "buy", "below": "50", "a_month": "31"}, "less than or equal to 30"),
        ({"do": "steal", "below": "50"}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence_and_changes_nothing(
    stripe, owner, pack, form, sentence
):
    answer = ask(owner, **{"pack": pack.as_shown, "a_month": "1", **form})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not LowBalance.objects.exists()
    assert stripe.asked == []


def test_without_stripe_only_an_email_is_offered(owner, pack):
    page = signed_in(owner).get("/credits/low/").content.decode()
    assert "Send me an email" in page
    assert "saved card" not in page
    answer = ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1")
    assert answer.status_code == 422
    assert "Credits cannot be bought automatically here." in answer.content.decode()


# --- The card


def test_nothing_is_bought_before_a_card_is_saved(stripe, owner, pack):
    ask(owner, do="buy", below="200", pack=pack.as_shown, a_month="1")
    page = signed_in(owner).get("/credits/card/", follow=True).content.decode()
    assert "No card was saved yet" in page
    assert low_balance.attend() == 0
    assert "your card is missing" in signed_in(owner).get("/credits/").content.decode()


def test_a_webhook_tells_of_the_card_of_somebody_who_did_not_come_back(stripe, owner, pack, client):
    ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1")
    [session] = stripe.sessions.values()
    for _ in range(2):
        assert deliver(client, stripe.event("checkout.session.completed", stripe.cards.save(session))) == 200
    assert state(owner) == ("buy", "")
    low = LowBalance.objects.get()
    assert (low.card_name, low.customer) == ("Visa •••• 4242", session["customer"])


@without(
    "the check whose page a card was saved on",
    "accounts.stripe_top_ups.card_of",
    never("session.client_reference_id != f'low-balance:{low.pk}'"),
)
def test_the_card_of_somebody_elses_page_is_not_taken(stripe, owner, stranger, pack):
    for user in (owner, stranger):
        ask(user, do="buy", below="50", pack=pack.as_shown, a_month="1")
    mine, others = (LowBalance.objects.get(user=user) for user in (owner, stranger))
    stripe.cards.save(stripe.sessions[others.session])
    LowBalance.objects.filter(pk=others.pk).update(session=None)
    LowBalance.objects.filter(pk=mine.pk).update(session=others.session)
    page = signed_in(owner).get("/credits/card/", follow=True).content.decode()
    assert "No card was saved yet" in page
    assert state(owner) == ("waiting", "")


def test_whoever_is_told_by_the_webhook_first_is_told_so_on_the_page(stripe, owner, pack):
    ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1")
    [session] = stripe.sessions.values()
    stripe.cards.save(session)
    low = LowBalance.objects.get()
    real = stripe_top_ups.card_of

    def slow(one):
        found = real(one)
        low_balance.take_card(LowBalance.objects.get(), real)
        return found

    assert low_balance.take_card(low, slow)
    assert state(owner) == ("buy", "")


def test_of_two_pages_for_a_card_the_later_one_counts_and_the_other_is_closed(stripe, owner, pack):
    for _ in range(2):
        ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1")
    first, second = stripe.sessions.values()
    assert (first["status"], second["status"]) == ("expired", "open")


def test_a_stripe_that_is_down_is_said_and_can_be_tried_again(stripe, owner, pack):
    stripe.is_down = True
    answer = ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1")
    assert answer.status_code == 503
    assert "unavailable at the moment" in answer.content.decode()
    stripe.is_down = False
    assert ask(owner, do="buy", below="50", pack=pack.as_shown, a_month="1").status_code == 302


def test_taxes_of_later_purchases_are_those_of_the_cards_address(stripe, owner, pack, settings):
    settings.STRIPE_TAX = True
    ask(owner, do="buy", below="200", pack=pack.as_shown, a_month="1")
    [session] = stripe.sessions.values()
    stripe.cards.save(session)
    signed_in(owner).get("/credits/card/")
    assert stripe.cards.addresses == {
        session["customer"]: {"country": "DE", "postal_code": "10115", "city": "Berlin"}
    }
    stripe.cards.tax = 475
    low_balance.attend()
    payment = owner.payments.get()
    assert (payment.paid, payment.tax, payment.status) == (2975, 475, "paid")
    assert has(owner) == (1100, 0)
    assert "for 29.75 USD with your card" in mail.outbox[-1].body
    assert "Taxes may come on top." in signed_in(owner).get("/credits/").content.decode()


# --- Buying


def test_a_pack_is_bought_once_when_the_balance_falls_below_the_limit(stripe, saved):
    spend(saved, 40)
    assert low_balance.attend() == 0
    spend(saved, 20)
    assert [low_balance.attend() for _ in range(3)] == [1, 0, 0]
    assert has(saved) == (1040, 0)
    payment = saved.payments.get()
    assert (payment.status, payment.paid, payment.price) == ("paid", 2500, 2500)
    assert bought(saved) == [("paid", False)]
    assert sum(move["amount"] for move in stripe.transactions.values()) == 2500
    (letter,) = mail.outbox
    assert letter.subject == "Credits were bought for you"
    assert "You had fewer than 50 credits, so 1000 were bought for 25.00 USD with your card." in letter.body
    page = signed_in(saved).get("/credits/").content.decode()
    assert "1,000 are bought for $25.00 with Visa •••• 4242, for $50.00 a month at most." in page


@without(
    "the limit a month",
    "accounts.low_balance._attend_to",
    never("_bought_this_month(low.user) >= low.a_month"),
    "accounts.low_balance._begin",
    becomes("_bought_this_month(low.user) >= low.a_month", "False"),
)
def test_no_more_is_bought_in_a_month_than_was_allowed_and_its_owner_is_told_once(stripe, saved):
    for _ in range(2):
        spend(saved, has(saved)[0])
        low_balance.attend()
    spend(saved, 1000)
    subjects()
    assert [low_balance.attend() for _ in range(3)] == [1, 0, 0]
    assert subjects() == ["Your credits run low"]
    assert has(saved) == (0, 0)
    assert len(stripe.billing.invoices) == 2
    # The next month begins.
    moved = timedelta(days=32)
    with unguarded(*TABLES):
        CreditEntry.objects.update(created_at=F("created_at") - moved)
        Payment.objects.update(created_at=F("created_at") - moved)
    LowBalance.objects.update(noticed_at=F("noticed_at") - moved)
    assert low_balance.attend() == 1
    assert has(saved) == (1000, 0)


@pytest.mark.parametrize(
    ("code", "problem", "sentence"),
    [
        ("card_declined", "declined", "The card was declined."),
        ("invoice_payment_intent_requires_action", "confirm", "The bank wants its customer to confirm"),
    ],
)
def test_a_declined_card_stops_it_and_the_invoice_cannot_be_paid_later(
    stripe, saved, pack, code, problem, sentence
):
    stripe.cards.decline(code)
    spend(saved, 100)
    assert [low_balance.attend() for _ in range(2)] == [1, 0]
    assert (bought(saved), state(saved)) == ([("expired", False)], ("paused", problem))
    assert stripe.cards.drafts_and_open == []
    (letter,) = mail.outbox
    assert letter.subject == "No more credits are bought for you"
    assert sentence in letter.body
    assert sentence in signed_in(saved).get("/credits/").content.decode()
    # With another card it goes on, and what failed does not count for the month.
    stripe.cards.refusal = None
    for _ in range(2):  # the first page is left
        answer = ask(saved, do="buy", below="50", pack=pack.as_shown, a_month="1")
        assert answer.url[:28] == "https://checkout.stripe.com/"
    stripe.cards.save(list(stripe.sessions.values())[-1])
    signed_in(saved).get("/credits/card/")
    low_balance.attend()
    assert (has(saved), state(saved)) == ((1000, 0), ("buy", ""))


def test_other_terms_with_the_saved_card_need_no_other_page(stripe, saved, pack):
    assert ask(saved, do="buy", below="70", pack=pack.as_shown, a_month="5").url == "/credits/"
    low = LowBalance.objects.get()
    assert (low.status, low.below, low.a_month) == ("buy", 70, 5)


@without("the terms that were agreed to", "accounts.low_balance._attend_to", never("not low.is_as_agreed"))
@pytest.mark.parametrize("change", [{"price": 2600}, {"credits": 900}, {"is_sold": False}])
def test_a_pack_that_has_changed_is_not_bought_before_its_buyer_agrees_again(stripe, saved, pack, change):
    CreditPack.objects.filter(pk=pack.pk).update(**change)
    spend(saved, 100)
    assert [low_balance.attend() for _ in range(2)] == [1, 0]
    assert (state(saved), has(saved), stripe.billing.invoices) == (("paused", "changed"), (0, 0), {})
    assert subjects() == ["No more credits are bought for you"]


@without(
    "the terms that were shown",
    "accounts.low_balance_pages.LowBalanceForm.clean_pack",
    becomes("pack.as_shown == shown", "pack.as_shown.split('-')[0] == shown.split('-')[0]"),
)
@pytest.mark.parametrize("change", [{"price": 2600}, {"credits": 900}, {"currency": "eur"}])
def test_nobody_agrees_to_other_terms_than_those_that_were_shown(stripe, saved, pack, change):
    shown = pack.as_shown
    assert f'value="{shown}" selected' in signed_in(saved).get("/credits/low/").text
    CreditPack.objects.filter(pk=pack.pk).update(**change)
    answer = ask(saved, do="buy", below="40", pack=shown, a_month="1")
    assert answer.status_code == 422
    assert "is no longer available, or has changed" in answer.text
    assert LowBalance.objects.get().below == 50


def test_beside_a_plan_only_packs_in_its_currency_are_offered(stripe, saved, pack):
    """Stripe makes no invoices in another currency for who has a subscription."""
    plan = Plan.objects.create(name="Maker", credits=500, price=900, currency="eur")
    subscription = plans.order(saved, plan)
    stripe_plans.checkout_url(subscription)
    stripe.billing.subscribe(subscription)
    plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
    other = CreditPack.objects.create(name="Some", credits=1000, price=2200, currency="eur")
    page = signed_in(saved).get("/credits/low/").text
    assert (pack.as_shown in page, other.as_shown in page) == (False, True)
    assert ask(saved, do="buy", below="40", pack=pack.as_shown, a_month="1").status_code == 422
    assert ask(saved, do="buy", below="40", pack=other.as_shown, a_month="1").status_code == 302


@without("the pause when money goes back", "accounts.payments._move", drop("update"))
@pytest.mark.parametrize("how", ["refund", "dispute"])
def test_nothing_is_bought_again_after_money_went_back(stripe, saved, client, how):
    spend(saved, 60)
    low_balance.attend()
    payment = saved.payments.get()
    LowBalance.objects.update(noticed_at=timezone.now())  # the owner was told of something else
    if how == "refund":
        stripe.refund(payment)
        told = stripe.event("charge.refunded", stripe.charge_of(payment))
    else:
        told = stripe.event("charge.dispute.created", stripe.dispute(payment))
    assert deliver(client, told) == 200
    assert has(saved) == (40, 0)
    subjects()
    assert [low_balance.attend() for _ in range(2)] == [1, 0]
    assert subjects() == ["No more credits are bought for you"]
    assert state(saved) == ("paused", "returned")
    assert len(stripe.billing.invoices) == 1
    # Whoever wants it all the same says so; the card is good.
    assert ask(saved, do="buy", below="50", pack=payment.pack.as_shown, a_month="2").url == "/credits/"


def test_money_that_goes_back_changes_nothing_for_others_and_for_who_wants_an_email(
    stripe, saved, stranger, pack
):
    low_balance.email(stranger, 50)
    payment = buy(stranger, pack)
    stripe.pay(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    stripe.refund(payment)
    payments.settle(payment, stripe_gateway.truth_of)
    assert has(stranger) == (100, 0)
    assert (state(stranger), state(saved)) == (("email", ""), ("buy", ""))


def test_who_switches_it_off_is_not_charged_and_the_card_is_forgotten(stripe, saved):
    assert ask(saved, do="off").status_code == 302
    spend(saved, 100)
    assert low_balance.attend() == 0
    assert LowBalance.objects.get().card == ""
    assert [one["_customer"] for one in stripe.cards.intents.values()] == [None]  # and at Stripe
    assert "When credits run low, nothing happens." in signed_in(saved).get("/credits/").content.decode()


def test_who_has_just_allowed_more_is_not_told_that_the_limit_is_reached(stripe, saved, pack, monkeypatch):
    """They did so while others had their turn."""
    for _ in range(2):
        spend(saved, has(saved)[0])
        low_balance.attend()
    spend(saved, 1000)
    for _ in range(9):
        low_balance.email(new_user(), 200)
    subjects()
    real = low_balance.send_mail

    def slow(*letter):
        if LowBalance.objects.get(user=saved).a_month == 2:
            ask(saved, do="buy", below="50", pack=pack.as_shown, a_month="9")
        return real(*letter)

    monkeypatch.setattr(low_balance, "send_mail", slow)
    for _ in range(2):
        low_balance.attend()
    assert has(saved) == (1000, 0)


def test_staff_see_what_people_have_asked_for(stripe, saved, as_staff):
    spend(saved, 100)
    low_balance.attend()
    page = as_staff.get("/admin/accounts/lowbalance/").content.decode()
    assert "Buy automatically" in page
    payment = as_staff.get(f"/admin/accounts/payment/{saved.payments.get().pk}/change/").content.decode()
    assert TopUp.objects.get().invoice in payment
    assert as_staff.get(f"/admin/accounts/lowbalance/{saved.pk}/change/").status_code == 200


def test_the_supervisor_looks_whether_somebody_is_due(owner, monkeypatch):
    from videos.worker import supervisor

    asked = []
    monkeypatch.setattr(supervisor.queue, "attend_to_low_balances_later", lambda: asked.append(1))
    boss = supervisor.Supervisor("here")
    boss.look_at_accounts()
    low_balance.email(owner, 200)
    boss.looked_at_accounts = 0.0
    for _ in range(2):
        boss.look_at_accounts()
    assert asked == [1]


def test_of_many_people_each_is_attended_to(settings):
    for _ in range(5):
        low_balance.email(new_user(), 200)
    assert [low_balance.attend() for _ in range(2)] == [5, 0]
    assert len(mail.outbox) == 5
