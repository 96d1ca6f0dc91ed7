"""Thousands of random histories of purchases: after each step our money is Stripe's, and our credits are those of the money."""

import json
import os
import random
from collections.abc import Iterator

import pytest
import stripe as sdk

from accounts import payments, plans, stripe_gateway, stripe_plans
from accounts.credits import InsufficientCredits
from accounts.invariants import found, sources, sums
from accounts.models import BalanceTransaction, CreditPack, Payment, Plan, Subscription, User
from tests.support.fixtures import QUICK, new_user, spend
from tests.support.stripe_server import KEY, FakeStripe

pytestmark = pytest.mark.django_db

PARTS, STEPS = 10, 5
HISTORIES = 20 if QUICK else 500  # of each part
SEED = int(os.environ.get("SEED", "1"))
PRICE, CREDITS = 2500, 1000
DISPUTES = (
    "needs_response",
    "under_review",
    "lost",
    "appeal_needs_response",
    "appeal_under_review",
    "prevented",
    "warning_needs_response",
    "warning_closed",
)


class Direct(sdk.HTTPClient):
    """Asks the Stripe of the tests without a network between, because it is asked a hundred thousand times."""

    name = "direct"

    def __init__(self, fake: FakeStripe) -> None:
        super().__init__()
        self.fake = fake

    def request(self, method, url, headers, post_data=None, **_more):
        path = url.removeprefix(self.fake.url)
        if method == "get":
            status, answer = self.fake.get(path)
        else:
            status, answer = self.fake.post(path, post_data, headers.get("Idempotency-Key"))
        return json.dumps(answer), status, {}

    def close(self):
        pass


@pytest.fixture
def fake(settings, monkeypatch):
    settings.STRIPE_SECRET_KEY = KEY
    stripe = FakeStripe()
    client = sdk.StripeClient(KEY, base_addresses={"api": stripe.url}, http_client=Direct(stripe))
    monkeypatch.setattr(stripe_gateway, "_client", lambda: client)
    yield stripe
    stripe.server.server_close()


class History:
    """One payment of one person, and what can happen to it at Stripe and here."""

    def __init__(self, stripe: FakeStripe, pack: CreditPack, chance: random.Random) -> None:
        self.stripe, self.chance = stripe, chance
        self.user = new_user()
        self.payment = payments.order(self.user, pack, Payment.Processor.STRIPE)
        stripe_gateway.checkout_url(self.payment)
        self.payment.refresh_from_db()
        self.spent = 0
        self.is_accepted = False

    def _intent(self):
        return self.stripe.session_of(self.payment)["payment_intent"]

    @property
    def charge(self):
        intent = self._intent()
        return intent and self.stripe.intents[intent]["latest_charge"]

    def steps(self) -> Iterator[str]:
        """What can happen now."""
        yield from ("settle", "spend")
        session = self.stripe.session_of(self.payment)
        if session["status"] == "open":
            yield from ("pay", "pay", "pay less", "expire")
            return
        if self.charge is None:
            return
        if session["payment_status"] == "unpaid":
            yield from ("arrive", "fail")
            return
        yield from self._steps_back()
        yield "accept"

    def _steps_back(self) -> Iterator[str]:
        """How the money of a charge can go, and come back."""
        if self.refundable > 0:
            yield from ("refund", "refund all", "dispute")
        if self.refunds:
            yield "fail refund"
        if self.open_disputes:
            yield from ("win", "lose", "appeal")

    @property
    def refunds(self):
        refunds = self.stripe.refunds.values()
        return [one for one in refunds if one["status"] == "succeeded" and self._is_of_charge(one)]

    @property
    def open_disputes(self):
        disputes = self.stripe.disputes.values()
        return [one for one in disputes if one["status"] != "won" and self._is_of_charge(one)]

    def _is_of_charge(self, thing):
        return thing["charge"] == self.charge["id"]

    @property
    def refundable(self):
        disputed = sum(one["amount"] for one in self.open_disputes)
        return self.charge["amount"] - self.charge["amount_refunded"] - disputed

    def take(self, step: str) -> None:
        chance, stripe, payment = self.chance, self.stripe, self.payment
        if step == "pay":
            stripe.pay(payment, later=chance.random() < 0.2)
        elif step == "pay less":
            stripe.pay(payment, amount=chance.randint(50, PRICE - 1))
        elif step == "expire":
            stripe.expire(payment)
        elif step == "arrive":
            stripe.money_arrives(payment)
        elif step == "fail":
            stripe.money_fails(payment)
        elif step.startswith("refund"):
            stripe.refund(payment, self.refundable if "all" in step else chance.randint(1, self.refundable))
        elif step == "fail refund":
            stripe.fail_refund(chance.choice(self.refunds))
        elif step == "dispute":
            stripe.dispute(payment, chance.randint(1, self.refundable), status=chance.choice(DISPUTES))
        elif step == "win":
            dispute = chance.choice(self.open_disputes)
            took = sum(move["amount"] for move in dispute["balance_transactions"])
            dispute["status"] = "won"
            if took:
                stripe.reinstate(dispute)
        elif step in ("lose", "appeal"):
            dispute = chance.choice(self.open_disputes)
            if not dispute["balance_transactions"]:
                stripe.withdraw(dispute)
            dispute["status"] = "lost" if step == "lose" else chance.choice(DISPUTES[3:5])
        elif step == "accept":
            payments.settle(payment, stripe_gateway.truth_of)
            payments.accept(payment)
        elif step == "spend":
            price = chance.randint(1, 400)
            try:
                spend(self.user, price)
                self.spent += price
            except InsufficientCredits:
                pass
        self.settle()

    def settle(self) -> None:
        payments.settle(self.payment, stripe_gateway.truth_of)

    def check(self) -> None:
        """What we have recorded is what Stripe has booked, and the credits follow from it."""
        booked = self.stripe.transactions.values()
        recorded = BalanceTransaction.objects.filter(payment__user=self.user)
        assert sorted(recorded.values_list("pk", "amount", "fee", "net")) == sorted(
            (one["id"], one["amount"], one["fee"], one["net"]) for one in booked
        )
        due = left = 0
        for payment in self.user.payments.all():
            granted = CREDITS if payment.paid_at else 0
            back = min(payment.refunded + payment.disputed, payment.paid)
            due += granted - (granted * back // payment.paid if back else 0)
            left += payment.paid - payment.refunded - payment.disputed
        user = User.objects.get(pk=self.user.pk)
        assert user.balance - user.debt == 100 + due - self.spent
        # What is left of the money, without Stripe's fees, is what was not returned.
        assert sum(one["amount"] for one in booked) == left


class PlanHistory(History):
    """A plan of one person: months that are paid, late, or not at all, and money of the latest that goes back."""

    def __init__(self, stripe: FakeStripe, plan: Plan, chance: random.Random) -> None:
        self.stripe, self.chance, self.user, self.spent = stripe, chance, new_user(), 0
        self.subscription = plans.order(self.user, plan)
        stripe_plans.checkout_url(self.subscription)
        self.made, self.payment, self.unpaid = None, None, []

    def _intent(self):
        return self.payment.intent

    def steps(self) -> Iterator[str]:
        yield from ("settle", "spend")
        if self.made is None:
            yield "subscribe"
            return
        if self.made["status"] != "canceled":
            yield from ("renew", "decline", "cancel", "end")
        if self.unpaid:
            yield "pay late"
        if self.payment:
            yield from self._steps_back()

    def take(self, step: str) -> None:
        billing = self.stripe.billing
        if step == "subscribe":
            self.made = billing.subscribe(self.subscription)
        elif step == "renew":
            billing.renew(self.made, tax=self.chance.choice((0, 171)))
        elif step == "decline":
            self.unpaid.append(billing.renew(self.made, is_paid=False))
        elif step == "pay late":
            billing.pay(self.unpaid.pop())
        elif step == "cancel":
            stripe_plans.cancel(Subscription.objects.get(pk=self.subscription.pk), is_ending=True)
        elif step == "end":
            billing.end(self.made)
        else:
            super().take(step)
        self.settle()

    def settle(self) -> None:
        if self.payment:
            payments.settle(self.payment, stripe_gateway.truth_of)
        plans.settle(self.subscription, stripe_plans.state_of, stripe_gateway.truth_of)
        self.payment = self.user.payments.filter(paid__gt=0).order_by("-created_at").first()


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_to_payments_our_money_is_stripes_and_the_credits_are_the_moneys(fake, part):
    chance = random.Random(f"{SEED} {part}")
    pack = CreditPack.objects.create(name="Some", credits=CREDITS, price=PRICE)
    plan = Plan.objects.create(name="Monthly", credits=CREDITS, price=PRICE)
    for number in range(HISTORIES):
        fake.reset()
        # One in five is of a plan.
        history = PlanHistory(fake, plan, chance) if number % 5 == 0 else History(fake, pack, chance)
        steps: list[str] = []
        try:
            for _ in range(STEPS):
                steps.append(chance.choice(list(history.steps())))
                history.take(steps[-1])
                history.check()
        except AssertionError as error:
            raise AssertionError(f"SEED={SEED}, history {number} of part {part}: {steps}") from error
    assert list(found([*sums(), *sources()])) == []
