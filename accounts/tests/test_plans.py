"""Plans: credits of each month by subscription, from the first payment to the last."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from accounts import credits, guards, payments, plans, stripe_gateway, stripe_plans
from accounts.models import CreditEntry, Lot, PaidMonth, Plan, StripeEvent, Subscription
from aivideo import tasks
from aivideo.ledger_check import violations
from tests.support.database import unguarded
from tests.support.fixtures import give, signed_in, spend
from tests.support.payments import buy, deliver
from tests.support.sabotage import becomes, never, without
from tests.support.stripe_server import FEE

pytestmark = pytest.mark.django_db
TABLES = [guard.table for guard in guards.MONEY]
DAY = 24 * 3600


@pytest.fixture
def plan():
    return Plan.objects.create(name="Maker", credits=500, price=900)


@pytest.fixture
def subscription(stripe, owner, plan):
    """Ordered, with its buyer on Stripe's page."""
    answer = signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk})
    assert (answer.status_code, answer.url[:28]) == (302, "https://checkout.stripe.com/")
    return owner.subscriptions.get()


@pytest.fixture
def at_stripe(stripe, subscription, client):
    """The first month is paid, and told to us."""
    made = stripe.billing.subscribe(subscription)
    tell(stripe, client, "checkout.session.completed", stripe.session_of(subscription))
    return made


def tell(stripe, client, kind, thing):
    assert deliver(client, stripe.event(kind, thing)) == 200


def has(user):
    """Balance, what of it expires, and debt."""
    credits.expire(user)
    user.refresh_from_db()
    assert violations()[1] == []
    return (user.balance, user.expiring, user.debt)


def pass_time(stripe, days):
    """As if all had happened earlier, here and at Stripe."""
    for made in stripe.billing.subscriptions.values():
        for item in made["items"]["data"]:
            item["current_period_start"] -= days * DAY
            item["current_period_end"] -= days * DAY
    for invoice in stripe.billing.invoices.values():
        for line in invoice["lines"]["data"]:
            line["period"] = {name: at - days * DAY for name, at in line["period"].items()}
    moved = timedelta(days=days)
    with unguarded(*TABLES):
        CreditEntry.objects.update(created_at=F("created_at") - moved)
        Lot.objects.update(expires_at=F("expires_at") - moved)
        PaidMonth.objects.update(starts_at=F("starts_at") - moved, ends_at=F("ends_at") - moved)
        Subscription.objects.update(created_at=F("created_at") - moved, renews_at=F("renews_at") - moved)


def subscription_of(user):
    return str(user.subscriptions.latest("created_at").pk)


def test_the_first_month_brings_its_credits_once_and_they_expire_after_it(stripe, at_stripe, owner, client):
    for _ in range(2):
        tell(stripe, client, "invoice.paid", next(iter(stripe.billing.invoices.values())))
        assert has(owner) == (600, 500, 0)
    payment = owner.payments.get()
    assert (payment.status, payment.paid, payment.credits) == ("paid", 900, 500)
    assert payment.balance_transactions.get().net == 900 - FEE
    days = (owner.lots.get().expires_at - timezone.now()).total_seconds() / DAY
    assert 30.9 < days < 31.1
    assert owner.subscriptions.get().status == "active"


def test_each_month_brings_new_credits_and_ends_what_is_left_of_the_old_ones(
    stripe, at_stripe, owner, client
):
    spend(owner, 450)
    assert has(owner) == (150, 50, 0)
    pass_time(stripe, 30)
    # Stripe takes its time: the old ones are still there.
    assert has(owner) == (150, 50, 0)
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe))
    assert has(owner) == (650, 550, 0)
    pass_time(stripe, 2)
    assert has(owner) == (600, 500, 0)
    assert owner.payments.filter(status="paid").count() == 2


def test_a_top_up_beside_a_plan_lasts(stripe, at_stripe, owner):
    give(owner, 1000)
    spend(owner, 200)
    assert has(owner) == (1400, 300, 0)
    pass_time(stripe, 32)
    assert has(owner) == (1100, 0, 0)


def test_a_pack_that_is_bought_beside_a_plan_lasts(stripe, at_stripe, owner, pack):
    bought = buy(owner, pack)
    stripe.pay(bought)
    payments.settle(bought, stripe_gateway.truth_of)
    assert has(owner) == (1600, 500, 0)


def test_a_declined_card_brings_nothing_until_it_works(stripe, at_stripe, owner, client):
    pass_time(stripe, 30)
    invoice = stripe.billing.renew(at_stripe, is_paid=False)
    tell(stripe, client, "invoice.payment_failed", invoice)
    assert has(owner) == (600, 500, 0)
    assert owner.payments.count() == 1
    page = signed_in(owner).get("/credits/").text
    assert "Payment failed" in page
    assert "Update your card" in page
    stripe.billing.pay(invoice)
    tell(stripe, client, "invoice.paid", invoice)
    assert has(owner) == (1100, 1000, 0)
    assert "Payment failed" not in signed_in(owner).get("/credits/").text


def test_a_plan_is_canceled_at_the_end_of_its_month_and_that_can_be_taken_back(
    stripe, at_stripe, owner, client
):
    page = signed_in(owner)
    assert "Cancel the plan" in page.get("/credits/").text
    page.post("/credits/plan/", {"plan": subscription_of(owner)})
    assert at_stripe["cancel_at_period_end"]
    assert "No further month is charged" in page.get("/credits/").text
    page.post("/credits/plan/", {"plan": subscription_of(owner), "keep": "1"})
    assert not at_stripe["cancel_at_period_end"]
    assert "It is renewed on" in page.get("/credits/").text
    page.post("/credits/plan/", {"plan": subscription_of(owner)})
    pass_time(stripe, 30)
    stripe.billing.end(at_stripe)
    tell(stripe, client, "customer.subscription.deleted", at_stripe)
    assert owner.subscriptions.get().status == "ended"
    assert page.post("/credits/plan/", {"plan": subscription_of(owner)}).status_code == 409
    assert "Subscribe for $9.00 a month" in page.get("/credits/").text


def test_money_of_a_month_that_goes_back_takes_the_credits_of_that_month(stripe, at_stripe, owner, client):
    give(owner, 1000)
    payment = owner.payments.get()
    stripe.refund(payment, 450)
    tell(stripe, client, "charge.refunded", stripe.charge_of(payment))
    assert has(owner) == (1350, 250, 0)
    dispute = stripe.dispute(payment, 450)
    tell(stripe, client, "charge.dispute.created", dispute)
    assert has(owner) == (1100, 0, 0)
    stripe.win(dispute)
    tell(stripe, client, "charge.dispute.closed", dispute)
    assert has(owner) == (1350, 250, 0)


@without(
    "the month's own credits first",
    "accounts.credits.claw_back",
    becomes("_lots(account).filter(entry__reference__startswith=source)", "[]"),
)
def test_what_was_bought_for_good_stays_when_a_month_is_refunded(stripe, at_stripe, owner, client):
    give(owner, 1000)
    payment = owner.payments.get()
    stripe.refund(payment)
    tell(stripe, client, "charge.refunded", stripe.charge_of(payment))
    pass_time(stripe, 40)
    assert has(owner) == (1100, 0, 0)


def test_a_renewal_that_nobody_told_us_is_found_within_the_hour(stripe, at_stripe, owner):
    pass_time(stripe, 30)
    stripe.billing.renew(at_stripe)
    tasks.settle_open_payments()
    assert has(owner) == (1100, 1000, 0)


@without(
    "asking until the month is paid",
    "accounts.plans.ask_about_due",
    becomes(
        "Q(status__in=Subscription.LIVE) & ~Exists(is_paid)",
        "Q(status__in=Subscription.LIVE, renews_at__lte=now)",
    ),
)
def test_a_month_that_is_charged_an_hour_after_it_began_is_found_too(stripe, at_stripe, owner, client):
    """At Stripe the month begins at once, and its invoice is a draft for an hour."""
    pass_time(stripe, 30)
    invoice = stripe.billing.renew(at_stripe, is_draft=True)
    tell(stripe, client, "customer.subscription.updated", at_stripe)
    tasks.settle_open_payments()
    assert has(owner) == (600, 500, 0)
    stripe.billing.pay(invoice)
    tasks.settle_open_payments()
    assert has(owner) == (1100, 1000, 0)


def test_a_month_whose_payment_could_not_be_fetched_is_settled_within_the_hour(
    stripe, subscription, owner, monkeypatch
):
    stripe.billing.subscribe(subscription)

    def fail(_payment):
        raise stripe_gateway.Unreachable("no answer")

    with pytest.raises(stripe_gateway.Unreachable):
        plans.settle(subscription, stripe_plans.state_of, fail)
    assert (owner.payments.get().status, has(owner)[0]) == ("created", 100)
    tasks.settle_open_payments()
    assert has(owner) == (600, 500, 0)


def test_a_cancellation_in_the_portal_is_seen_and_can_be_taken_back(stripe, at_stripe, owner, client):
    stripe.billing.cancel_in_portal(at_stripe)
    tell(stripe, client, "customer.subscription.updated", at_stripe)
    page = signed_in(owner)
    assert "No further month is charged" in page.get("/credits/").text
    page.post("/credits/plan/", {"plan": subscription_of(owner), "keep": "1"})
    assert at_stripe["cancel_at"] is None
    assert "It is renewed on" in page.get("/credits/").text


def test_a_page_that_is_left_open_in_another_tab_cannot_be_paid_beside_another_plan(
    stripe, subscription, owner, plan
):
    other = Plan.objects.create(name="Studio", credits=5000, price=5000)
    signed_in(owner).post("/credits/subscribe/", {"plan": other.pk})
    assert stripe.session_of(subscription)["status"] == "expired"
    assert [one.status for one in owner.subscriptions.order_by("created_at")] == ["ended", "created"]
    # It was paid before the click: then there is no second one.
    stripe.billing.subscribe(owner.subscriptions.get(name="Studio"))
    assert signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 409
    assert has(owner) == (5100, 5000, 0)


def test_two_plans_that_were_paid_at_the_same_moment_are_both_shown_and_canceled(
    stripe, at_stripe, owner, client
):
    second = plans.order(owner, Plan.objects.get())
    stripe_plans.checkout_url(second)
    made = stripe.billing.subscribe(second)
    tell(stripe, client, "checkout.session.completed", stripe.session_of(second))
    page = signed_in(owner)
    assert page.get("/credits/").text.count("Your plan: Maker") == 2
    for one in owner.subscriptions.all():
        page.post("/credits/plan/", {"plan": str(one.pk)})
    assert at_stripe["cancel_at_period_end"]
    assert made["cancel_at_period_end"]


def test_subscriptions_of_another_mode_keep_no_other_from_being_asked_about(
    stripe, at_stripe, owner, stranger
):
    for number in range(4):
        foreign = plans.order(stranger, Plan.objects.get())
        with unguarded(*TABLES):
            Subscription.objects.filter(pk=foreign.pk).update(number=f"sub_{number}", status="active")
    pass_time(stripe, 30)
    stripe.billing.renew(at_stripe)
    tasks.settle_open_payments()
    assert has(owner) == (1100, 1000, 0)


def test_the_command_finds_months_that_nobody_told_us(stripe, at_stripe, owner, capsys):
    stripe.billing.renew(at_stripe)
    call_command("reconcile_stripe", "--since", "2026-01-01")
    assert "1 changed here" in capsys.readouterr().out
    assert has(owner) == (1100, 1000, 0)


def test_a_first_payment_that_nobody_told_us_is_found_too(stripe, subscription, owner):
    stripe.billing.subscribe(subscription)
    Subscription.objects.update(created_at=timezone.now() - timedelta(minutes=20))
    tasks.settle_open_payments()
    assert has(owner) == (600, 500, 0)


def test_a_month_of_which_we_hear_when_it_is_over_lasts_a_month_all_the_same(stripe, at_stripe, owner):
    pass_time(stripe, 30)
    stripe.billing.renew(at_stripe)
    pass_time(stripe, 40)
    tasks.settle_open_payments()
    assert has(owner) == (600, 500, 0)
    days = (owner.lots.get(left__gt=0).expires_at - timezone.now()).total_seconds() / DAY
    assert 30.9 < days < 31.1


def test_a_month_of_which_we_hear_in_its_middle_ends_when_it_ends(stripe, at_stripe, owner):
    pass_time(stripe, 30)
    stripe.billing.renew(at_stripe)
    pass_time(stripe, 10)
    tasks.settle_open_payments()
    assert has(owner) == (600, 500, 0)
    days = (owner.lots.get(left__gt=0).expires_at - timezone.now()).total_seconds() / DAY
    assert 20.9 < days < 21.1


def test_an_accepted_month_gives_less_of_its_own_credits_for_what_went_back(stripe, at_stripe, owner, client):
    give(owner, 1000)
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe, amount=100))
    payment = owner.payments.get(status="held")
    stripe.refund(payment, 50)
    payments.settle(payment, stripe_gateway.truth_of)
    assert payments.accept(payment)
    assert has(owner) == (1850, 750, 0)
    assert [lot.left for lot in owner.lots.order_by("entry_id")] == [500, 250]


def test_the_buyer_who_returns_has_the_credits_and_sees_the_plan(stripe, subscription, owner):
    page = signed_in(owner)
    assert (
        "not received a payment yet" in page.get(f"/credits/subscribed/{subscription.pk}/", follow=True).text
    )
    stripe.billing.subscribe(subscription)
    plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
    text = page.get(f"/credits/subscribed/{subscription.pk}/", follow=True).text
    assert "500 credits added" in text
    assert "Your plan: Maker" in page.get("/credits/").text
    assert has(owner) == (600, 500, 0)


def test_a_page_that_nobody_pays_ends_and_brings_nothing(stripe, subscription, owner):
    stripe.expire(subscription)
    plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
    assert (owner.subscriptions.get().status, has(owner)) == ("ended", (100, 0, 0))


def test_an_amount_that_is_not_the_plans_is_held(stripe, at_stripe, owner, client):
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe, amount=100))
    assert has(owner) == (600, 500, 0)
    assert owner.payments.filter(status="held").count() == 1


def test_a_tax_on_a_month_is_no_reason_to_hold_it(stripe, at_stripe, owner, client):
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe, tax=171))
    payment = owner.payments.get(tax=171)
    assert (payment.status, payment.paid) == ("paid", 1071)
    assert payment.receipt_url.startswith("https://invoice.stripe.com/")


def test_nobody_subscribes_twice_or_to_what_is_not_sold(stripe, at_stripe, owner, plan, stranger):
    assert signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 409
    Plan.objects.update(is_sold=False)
    for wrong in (plan.pk, "x", 10**30):
        assert signed_in(stranger).post("/credits/subscribe/", {"plan": wrong}).status_code == 422
    assert signed_in(stranger).get(f"/credits/subscribed/{owner.subscriptions.get().pk}/").status_code == 404
    stripe.is_down = True
    assert signed_in(owner).post("/credits/plan/", {"plan": subscription_of(owner)}).status_code == 503
    Plan.objects.update(is_sold=True)
    assert signed_in(stranger).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 503


@without(
    "the number that an event tells",
    "accounts.stripe_plans._with_number",
    becomes("isinstance(number, str)", "False"),
)
@pytest.mark.parametrize("kind", ["checkout.session.completed", "invoice.paid"])
def test_a_plan_whose_page_we_did_not_save_before_we_died_brings_its_credits(
    stripe, subscription, owner, client, kind
):
    stripe.billing.subscribe(subscription)
    [session], [invoice] = stripe.sessions.values(), stripe.billing.invoices.values()
    with unguarded(*TABLES):
        Subscription.objects.update(session=None)
    tell(stripe, client, kind, session if kind.startswith("checkout") else invoice)
    assert has(owner) == (600, 500, 0)


def test_a_second_click_leads_to_the_same_page(stripe, subscription, owner, plan):
    again = signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk})
    assert again.url == stripe.session_of(subscription)["url"]
    assert owner.subscriptions.count() == 1
    stripe.expire(subscription)
    signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk})
    assert owner.subscriptions.count() == 2


@without(
    "the question whether the first page was paid",
    "accounts.views.subscribe",
    becomes("other == before and url", "other == before"),
)
def test_a_second_click_after_a_payment_that_nobody_told_us_buys_no_second_plan(
    stripe, subscription, owner, plan
):
    stripe.billing.subscribe(subscription)
    assert signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 409
    assert owner.subscriptions.count() == 1
    assert has(owner) == (600, 500, 0)


@without(
    "the wait for a first payment",
    "accounts.views.subscribe",
    never("plans.unpaid(request.user).exclude(number=None)"),
)
def test_while_the_first_payment_of_a_plan_is_processed_no_other_can_be_bought(
    stripe, subscription, owner, plan
):
    made = stripe.billing.subscribe(subscription)
    made["status"] = "incomplete"
    stripe.billing.invoices.clear()
    answer = signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk})
    assert (answer.status_code, owner.subscriptions.count()) == (409, 1)
    assert "still being processed" in answer.text
    made["status"] = "incomplete_expired"
    assert signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 302


def test_a_plan_that_has_ended_at_stripe_is_left_although_nobody_told_us(stripe, at_stripe, owner, plan):
    at_stripe["status"] = "canceled"
    answer = signed_in(owner).post("/credits/plan/", {"plan": subscription_of(owner)})
    assert answer.status_code == 409
    assert "You do not have this plan any more." in answer.text
    assert signed_in(owner).post("/credits/subscribe/", {"plan": plan.pk}).status_code == 302


def test_the_command_finds_plans_that_a_restored_backup_has_forgotten_or_knows_as_unpaid(
    stripe, subscription, owner, stranger, plan, capsys
):
    stripe.billing.subscribe(subscription)
    forgotten = plans.order(stranger, plan)
    stripe_plans.checkout_url(forgotten)
    made = stripe.billing.subscribe(forgotten)
    of_others = stripe.billing.subscribe(subscription)
    of_others["metadata"] = {}
    stripe.session_of(subscription)["subscription"] = None
    with unguarded(*TABLES):
        forgotten.delete()
    with pytest.raises(CommandError, match="Payments without a record here: 1"):
        call_command("reconcile_stripe", "--since", "2026-01-01")
    assert f"subscription {made['id']} was paid at Stripe" in capsys.readouterr().out
    assert has(owner) == (600, 500, 0)
    # One that was never paid is nothing to look for.
    made["status"] = "incomplete_expired"
    call_command("reconcile_stripe", "--since", "2026-01-01")


def test_what_was_paid_for_a_plan_that_a_restored_backup_has_forgotten_waits_for_staff(
    stripe, subscription, client, as_staff
):
    made = stripe.billing.subscribe(subscription)
    with unguarded(*TABLES):
        Subscription.objects.all().delete()
    tell(stripe, client, "customer.subscription.updated", made)
    assert StripeEvent.objects.filter(settled_at=None).count() == 0
    tell(stripe, client, "invoice.paid", next(iter(stripe.billing.invoices.values())))
    assert f"subscription {made['id']} was paid at Stripe" in as_staff.get("/admin/money/").text
    del made["metadata"]["subscription"]
    tell(stripe, client, "invoice.paid", stripe.billing.renew(made))  # of another product
    assert StripeEvent.objects.filter(settled_at=None).count() == 1


def test_a_subscription_that_names_ours_and_is_another_is_refused(stripe, at_stripe, subscription, client):
    event = stripe.event("customer.subscription.updated", at_stripe)
    at_stripe["metadata"] = {"subscription": str(plans.order(subscription.user, Plan.objects.get()).pk)}
    assert deliver(client, event) == 400


def test_a_changed_plan_changes_no_subscription(stripe, at_stripe, owner, client):
    Plan.objects.update(credits=1, price=5000)
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe))
    assert has(owner) == (1100, 1000, 0)


def test_the_books_agree_with_stripe_to_the_cent(stripe, at_stripe, owner, client, capsys):
    tell(stripe, client, "invoice.paid", stripe.billing.renew(at_stripe))
    call_command("reconcile_stripe", "--since", "2026-01-01")
    said = capsys.readouterr().out
    assert "WRONG" not in said
    assert "charge 18.00 USD" in said


def test_staff_see_plans_and_subscriptions(stripe, at_stripe, as_staff, subscription, plan):
    assert "Maker" in as_staff.get("/admin/accounts/plan/").text
    page = as_staff.get(f"/admin/accounts/subscription/{subscription.pk}/change/")
    assert page.status_code == 200
    assert next(iter(stripe.billing.invoices)) in page.text


def test_the_check_finds_a_month_that_is_not_its_subscriptions(at_stripe, stranger, owner):
    with unguarded(*TABLES):
        Subscription.objects.update(user=stranger)
    assert "and they do not go together" in violations()[1][0]
