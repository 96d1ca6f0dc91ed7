"""Thousands of random lives of two accounts, beside a model in plain Python that says what each must hold."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accounts import credits
from accounts.models import User
from tests.support.database import unguarded
from tests.support.fixtures import QUICK

pytestmark = pytest.mark.django_db

LIVES, STEPS = 100 if QUICK else 2000, 8
PROCESSES = 3
references = count(1)

amounts = st.integers(1, 60)
who = st.integers(0, 1)
process = st.integers(0, PROCESSES - 1)
days = st.integers(1, 5)
which = st.integers(0, 3)


# Plain SQL, because it is asked after each of many thousand steps.
ACCOUNT = """
    SELECT balance, debt, lapsing,
           (SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM accounts_creditentry WHERE user_id = person.id)
    FROM accounts_user person WHERE id = %s
"""
LOTS = 'SELECT "left" FROM accounts_lot WHERE user_id = %s ORDER BY id'


@dataclass
class ModelLot:
    days: float
    left: int
    is_over: bool = False
    has_grace: bool = False


@dataclass
class Model:
    """What one account must be: slow, obvious, and without a database."""

    balance: int = 0
    debt: int = 0
    lots: list[ModelLot] = field(default_factory=list)
    charges: dict[str, tuple[int, list[tuple[ModelLot, int]]]] = field(default_factory=dict)
    purchases: dict[str, int] = field(default_factory=dict)
    done: set[tuple[str, str]] = field(default_factory=set)

    @property
    def expiring(self):
        return sum(lot.left for lot in self.lots)

    def in_order(self):
        return sorted((lot for lot in self.lots if lot.left), key=lambda lot: (not lot.is_over, lot.days))

    def add(self, amount):
        """What of it is not swallowed by a debt."""
        owed = min(amount, self.debt)
        self.debt -= owed
        self.balance += amount - owed
        return amount - owed

    def expire(self):
        for lot in self.lots:
            if lot.is_over:
                self.balance -= lot.left
                lot.left = 0

    def charge(self, amount, reference):
        self.expire()
        if self.balance < amount:
            return False
        drawn, wanted = [], amount
        for lot in self.in_order():
            taken = min(lot.left, wanted)
            if taken:
                lot.left -= taken
                wanted -= taken
                drawn.append((lot, taken))
        self.balance -= amount
        self.charges[reference] = (amount, drawn)
        return True

    def refund(self, reference, is_canceled):
        amount, drawn = self.charges[reference]
        self.add(amount)
        late = 0
        for lot, taken in sorted(drawn, key=lambda pair: (not pair[0].is_over, pair[0].days)):
            room = min(taken, self.balance - self.expiring - late)
            # A lot of one day ends within the day of grace.
            gets_grace = is_canceled and not lot.has_grace and (lot.is_over or lot.days <= 1)
            if gets_grace:
                late += room
            elif not lot.is_over:
                lot.left += room
            elif is_canceled:
                self.balance -= room
        if late:
            # It ends a moment after the lots of one day.
            self.lots.append(ModelLot(1.5, late, has_grace=True))

    def claw_back(self, amount):
        self.expire()
        taken = min(amount, self.balance)
        self.balance -= taken
        self.debt += amount - taken
        for lot in self.in_order():
            lot.left -= min(lot.left, max(0, self.expiring - self.balance))


class Ledger(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        owners = [User.objects.create(username=f"person-{next(references)}-of-the-machine") for _ in range(2)]
        self.now = timezone.now()
        # Each process read the rows at the beginning, and what it read is long out of date.
        self.seen = [[User.objects.get(pk=owner.pk) for owner in owners] for _ in range(PROCESSES)]
        self.models = [Model(), Model()]

    def user(self, process, who):
        return self.seen[process][who]

    @rule(who=who, process=process, amount=amounts, paid=st.booleans())
    def give(self, who, process, amount, paid):
        reference = f"given:{next(references)}"
        verb = credits.purchase if paid else credits.grant
        assert verb(self.user(process, who), amount, reference=reference)
        assert not verb(self.user(process, who), amount, reference=reference)
        self.models[who].add(amount)
        if paid:
            self.models[who].purchases[reference] = amount

    @rule(who=who, process=process, amount=amounts, days=days)
    def give_for_some_days(self, who, process, amount, days):
        model, reference = self.models[who], f"gift:{next(references)}"
        expires_at = self.now + timedelta(days=days)
        assert credits.grant(self.user(process, who), amount, reference=reference, expires_at=expires_at)
        if rest := model.add(amount):
            model.lots.append(ModelLot(days, rest))

    @rule(who=who, process=process, amount=amounts)
    def charge(self, who, process, amount):
        reference = f"order:{next(references)}"
        if self.models[who].charge(amount, reference):
            credits.charge(self.user(process, who), amount, reference=reference)
        else:
            with pytest.raises(credits.InsufficientCredits) as refusal:
                credits.charge(self.user(process, who), amount, reference=reference)
            assert refusal.value.missing == amount - self.models[who].balance

    @rule(who=who, process=process, which=which, is_canceled=st.booleans())
    def refund(self, who, process, which, is_canceled):
        model = self.models[who]
        if which < len(model.charges):
            reference = list(model.charges)[-1 - which]
            first = ("refund", reference) not in model.done
            amount = model.charges[reference][0]
            user = self.user(process, who)
            assert credits.refund(user, amount, reference=reference, is_canceled=is_canceled) == first
            if first:
                model.done.add(("refund", reference))
                model.refund(reference, is_canceled)

    @rule(who=who, process=process, which=which)
    def claw_back(self, who, process, which):
        model = self.models[who]
        if which < len(model.purchases):
            reference = list(model.purchases)[-1 - which]
            first = ("claw_back", reference) not in model.done
            amount = model.purchases[reference]
            assert credits.claw_back(self.user(process, who), amount, reference=reference) == first
            if first:
                model.done.add(("claw_back", reference))
                model.claw_back(amount)

    @rule(who=who, process=process, amount=amounts, days=days)
    def a_process_dies_before_its_commit(self, who, process, amount, days):
        user = self.user(process, who)
        with transaction.atomic():
            credits.grant(user, amount, reference="never", expires_at=self.now + timedelta(days=days))
            with suppress(credits.InsufficientCredits):
                credits.charge(user, amount, reference="never")
            credits.claw_back(user, amount, reference="never")
            transaction.set_rollback(True)

    @rule(who=who, days=days)
    def time_passes(self, who, days):
        """The lots of that many days are over, though nobody has swept them."""
        user = self.user(0, who)
        over = user.lots.filter(expires_at__lte=self.now + timedelta(days=days), expires_at__gt=self.now)
        with unguarded("accounts_lot"):
            over.update(expires_at=self.now - timedelta(days=100))
        for lot in self.models[who].lots:
            lot.is_over |= lot.days <= days

    @rule()
    def sweep(self):
        credits.expire_all()
        for model in self.models:
            model.expire()

    @invariant()
    def the_accounts_are_as_the_model_says(self):
        with connection.cursor() as cursor:
            for user, model in zip(self.seen[0], self.models, strict=True):
                cursor.execute(ACCOUNT, [user.pk])
                assert cursor.fetchone() == (
                    model.balance,
                    model.debt,
                    model.expiring,
                    model.balance - model.debt,
                )
                cursor.execute(LOTS, [user.pk])
                assert [left for (left,) in cursor] == [lot.left for lot in model.lots]


def test_whatever_happens_to_accounts_they_hold_what_a_simple_model_says():
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
