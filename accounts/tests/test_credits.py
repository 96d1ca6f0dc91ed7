from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest
from django.db import IntegrityError, InternalError, OperationalError, connection, transaction
from django.utils import timezone

from accounts import credits
from accounts.invariants import found, sums
from accounts.models import CreditEntry, Draw, Lot, User
from tests.support.database import unguarded
from tests.support.fixtures import new_user
from tests.support.sabotage import becomes, without

pytestmark = pytest.mark.django_db


def ledger(user):
    return list(user.credit_entries.order_by("id").values_list("kind", "amount", "reference"))


def balance(user):
    user.refresh_from_db()
    return user.balance


def test_a_new_user_gets_the_signup_credits_once(owner):
    assert credits.grant_signup(owner) is False
    assert balance(owner) == 100
    assert ledger(owner) == [("grant", 100, f"signup:{owner.pk}")]


def test_no_signup_credits_leave_no_entry(settings):
    settings.SIGNUP_CREDITS = 0
    user = new_user()
    assert credits.grant_signup(user) is False
    assert (balance(user), ledger(user)) == (0, [])


def test_a_charge_takes_credits_and_leaves_an_entry(owner):
    credits.charge(owner, 10, reference="video:1")
    assert balance(owner) == 90
    assert ledger(owner)[1:] == [("charge", -10, "video:1")]


def test_a_charge_of_nothing_leaves_nothing(owner):
    credits.charge(owner, 0, reference="video:1")
    assert (balance(owner), len(ledger(owner))) == (100, 1)


def test_a_charge_beyond_the_balance_is_refused_and_says_what_is_missing(owner):
    with pytest.raises(credits.InsufficientCredits) as refusal:
        credits.charge(owner, 130, reference="video:1")
    assert (refusal.value.needed, refusal.value.available, refusal.value.missing) == (130, 100, 30)
    assert str(refusal.value) == "130 credits are needed, 100 are available."
    assert (balance(owner), len(ledger(owner))) == (100, 1)


@pytest.mark.parametrize(
    ("move", "kind"),
    [(credits.grant, "grant"), (credits.purchase, "purchase"), (credits.claw_back, "claw-back")],
)
def test_less_than_nothing_is_never_moved(owner, move, kind):
    with pytest.raises(ValueError, match=f"^The amount of a {kind} must be positive, not -5.$"):
        move(owner, -5, reference="x:1")
    assert (balance(owner), len(ledger(owner))) == (100, 1)


def test_a_grant_that_the_database_refuses_is_not_taken_for_one_that_was_made_before(owner, monkeypatch):
    def refuse(account):
        raise IntegrityError

    monkeypatch.setattr(credits, "_keep", refuse)
    with pytest.raises(IntegrityError):
        credits.grant(owner, 5, reference="x:1")


def test_the_same_reference_is_never_charged_twice(owner):
    credits.charge(owner, 10, reference="video:1")
    with pytest.raises(IntegrityError), transaction.atomic():
        credits.charge(owner, 10, reference="video:1")
    assert (balance(owner), len(ledger(owner))) == (90, 2)


def test_refunding_twice_returns_once(owner):
    credits.charge(owner, 10, reference="video:1")
    assert credits.refund(owner, 10, reference="video:1") is True
    assert credits.refund(owner, 10, reference="video:1") is False
    assert balance(owner) == 100
    assert ledger(owner)[1:] == [("charge", -10, "video:1"), ("refund", 10, "video:1")]


def test_granting_twice_by_one_reference_grants_once(owner):
    assert credits.grant(owner, 5, reference="staff:1", note="sorry") is True
    assert credits.grant(owner, 5, reference="staff:1") is False
    assert balance(owner) == 105


@pytest.mark.parametrize("verb", [credits.grant, credits.refund])
def test_what_adds_credits_takes_no_negative_amount(owner, verb):
    with pytest.raises(ValueError, match="must be positive"):
        verb(owner, -1, reference="x:1")
    assert balance(owner) == 100


def test_the_database_forbids_a_negative_balance(owner):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=owner.pk).update(balance=-1)


def test_saving_a_user_who_was_read_earlier_leaves_the_balance_alone(owner):
    earlier = User.objects.get(pk=owner.pk)
    credits.charge(owner, 10, reference="video:1")
    earlier.first_name = "Ada"
    earlier.save()
    assert (balance(owner), owner.first_name) == (90, "Ada")


def test_the_database_forbids_a_charge_that_adds(owner):
    with pytest.raises(IntegrityError), transaction.atomic():
        CreditEntry.objects.create(user=owner, amount=10, kind="charge", reference="video:1")


def test_entries_never_change_and_never_go(owner):
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        owner.credit_entries.update(amount=1)
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        owner.credit_entries.all().delete()
    assert ledger(owner) == [("grant", 100, f"signup:{owner.pk}")]


# --- Credits that expire ---------------------------------------------------------------------------

SOON, LATER = timedelta(days=1), timedelta(days=30)


def give(user, amount, expires_in):
    name = f"gift:{uuid4()}"
    assert credits.grant(user, amount, reference=name, expires_at=timezone.now() + expires_in)
    return Lot.objects.get(entry__reference=name)


def let_expire(lot):
    with unguarded("accounts_lot"):
        Lot.objects.filter(pk=lot.pk).update(expires_at=timezone.now())


def standing(user):
    """Balance, what of it expires, debt, and what is left in each lot."""
    user.refresh_from_db()
    assert list(found(sums())) == []
    left = user.lots.order_by("expires_at").values_list("left", flat=True)
    return (user.balance, user.expiring, user.debt, list(left))


def test_what_expires_soonest_is_spent_first(owner):
    give(owner, 30, LATER), give(owner, 20, SOON)
    assert standing(owner) == (150, 50, 0, [20, 30])
    credits.charge(owner, 25, reference="order:a")
    assert standing(owner) == (125, 25, 0, [0, 25])
    credits.charge(owner, 40, reference="order:b")
    assert standing(owner) == (85, 0, 0, [0, 0])


def test_what_expires_is_gone_on_its_day_and_only_once(owner):
    lot = give(owner, 20, SOON)
    assert credits.expire_all() == 0
    let_expire(lot)
    assert (credits.expire_all(), credits.expire_all()) == (20, 0)
    assert standing(owner) == (100, 0, 0, [0])
    assert ledger(owner)[-1] == ("expire", -20, f"lot:{lot.pk}")


def test_what_is_shown_leaves_out_what_has_expired_and_is_not_swept_yet(owner, stranger):
    give(owner, 20, LATER)
    for amount in (30, 1):
        let_expire(give(owner, amount, SOON))
    give(stranger, 20, SOON)
    for user in (owner, stranger):
        user.refresh_from_db()
        credits.leave_out_expired(user)
        assert (user.balance, user.expiring) == (120, 20)
        credits.read_balance(user)
        assert (user.balance, user.expiring) == (120, 20)


def test_only_accounts_of_which_something_is_due_are_looked_at(owner, django_assert_num_queries):
    give(owner, 20, LATER)
    let_expire(give(owner, 10, SOON))
    credits.expire(owner)
    with django_assert_num_queries(1):
        assert credits.expire_all() == 0


def test_expired_credits_cannot_be_spent_before_they_are_swept(owner):
    let_expire(give(owner, 20, SOON))
    with pytest.raises(credits.InsufficientCredits) as refusal:
        credits.charge(owner, 110, reference="order:a")
    assert refusal.value.available == 100
    credits.charge(owner, 100, reference="order:a")
    assert standing(owner) == (0, 0, 0, [0])


def test_a_charge_beyond_what_expires_and_what_does_not_is_refused(owner):
    give(owner, 20, SOON)
    with pytest.raises(credits.InsufficientCredits) as refusal:
        credits.charge(owner, 121, reference="order:a")
    assert (refusal.value.needed, refusal.value.available) == (121, 120)
    assert standing(owner) == (120, 20, 0, [20])


def test_a_refund_puts_back_what_a_charge_took_from_each_lot(owner):
    give(owner, 10, SOON), give(owner, 10, LATER)
    credits.charge(owner, 15, reference="order:a")
    credits.charge(owner, 50, reference="order:b")
    assert standing(owner) == (55, 0, 0, [0, 0])
    credits.refund(owner, 15, reference="order:a")
    assert standing(owner) == (70, 15, 0, [10, 5])


def test_a_refund_of_credits_that_expired_meanwhile_is_for_good(owner):
    lot = give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    let_expire(lot)
    credits.refund(owner, 10, reference="order:a")
    credits.expire_all()
    assert standing(owner) == (110, 0, 0, [0])


@without(
    "the expiry of what an owner cancels",
    "accounts.credits.refund",
    becomes("is_canceled", "False"),
    attack="A77",
)
def test_A77_what_an_owner_cancels_keeps_its_expiry_with_a_day_of_grace(owner):
    """An order before the day and its cancellation after it would otherwise be a way to keep the credits."""
    soon, later = give(owner, 10, SOON / 2), give(owner, 10, LATER)
    credits.charge(owner, 20, reference="order:a")
    let_expire(soon)
    credits.refund(owner, 20, reference="order:a", is_canceled=True)
    assert standing(owner) == (120, 20, 0, [0, 10, 10])
    grace = owner.lots.get(entry__kind="refund")
    assert timedelta(hours=23) < grace.expires_at - timezone.now() <= credits.GRACE
    assert Lot.objects.get(pk=later.pk).left == 10
    let_expire(grace)
    credits.expire_all()
    assert standing(owner) == (110, 10, 0, [0, 0, 10])


def test_A77_a_grace_comes_once(owner):
    let = give(owner, 10, SOON / 2)
    credits.charge(owner, 10, reference="order:a")
    let_expire(let)
    credits.refund(owner, 10, reference="order:a", is_canceled=True)
    grace = owner.lots.get(entry__kind="refund")
    for number in range(3):
        credits.charge(owner, 10, reference=f"order:{number}")
        credits.refund(owner, 10, reference=f"order:{number}", is_canceled=True)
    assert Lot.objects.get(pk=grace.pk) == owner.lots.get(left=10)
    assert owner.lots.get(left=10).expires_at == grace.expires_at
    credits.charge(owner, 10, reference="order:b")
    let_expire(grace)
    credits.refund(owner, 10, reference="order:b", is_canceled=True)
    assert standing(owner)[:3] == (100, 0, 0)
    refund = owner.credit_entries.get(kind="refund", reference="order:b")
    assert ledger(owner)[-1] == ("expire", -10, f"canceled:{refund.pk}")


def test_A77_a_debt_is_paid_before_anything_has_its_grace(owner):
    credits.charge(owner, 100, reference="order:all")
    for hours in (2, 3):
        give(owner, 10, timedelta(hours=hours))
    credits.charge(owner, 20, reference="order:a")
    credits.claw_back(owner, 12, reference="payment:1")
    credits.refund(owner, 20, reference="order:a", is_canceled=True)
    assert standing(owner) == (8, 8, 0, [0, 0, 8])


def test_what_expires_at_this_very_moment_has_expired(owner, monkeypatch):
    lot = give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    monkeypatch.setattr(credits.timezone, "now", lambda: lot.expires_at)
    credits.refund(owner, 10, reference="order:a")
    assert standing(owner) == (110, 0, 0, [0])


def test_what_lasts_a_day_longer_needs_no_grace(owner, monkeypatch):
    lot = give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    monkeypatch.setattr(credits.timezone, "now", lambda: lot.expires_at - credits.GRACE)
    credits.refund(owner, 10, reference="order:a", is_canceled=True)
    assert standing(owner) == (110, 10, 0, [10])


def test_a_refund_puts_back_nothing_that_a_claw_back_of_the_same_name_took(owner):
    lot = give(owner, 30, LATER)
    credits.charge(owner, 10, reference="order:a")
    credits.claw_back(owner, 5, reference="order:a", source=lot.entry.reference)
    credits.refund(owner, 10, reference="order:a")
    assert standing(owner) == (125, 25, 0, [25])


def test_A77_what_has_had_its_grace_gets_no_other_one_beside_what_has_not(owner):
    credits.charge(owner, 100, reference="order:all")
    first = give(owner, 50, SOON / 2)
    credits.charge(owner, 50, reference="order:a")
    let_expire(first)
    credits.refund(owner, 50, reference="order:a", is_canceled=True)
    little = give(owner, 1, 2 * LATER)
    credits.charge(owner, 51, reference="order:b")
    with unguarded("accounts_lot"):
        owner.lots.update(expires_at=timezone.now())
    credits.refund(owner, 51, reference="order:b", is_canceled=True)
    assert (standing(owner)[:3], little.amount) == ((1, 1, 0), 1)


def test_a_claw_back_takes_nothing_that_has_expired(owner):
    let_expire(give(owner, 50, SOON))
    credits.claw_back(owner, 120, reference="payment:1")
    assert standing(owner) == (0, 0, 20, [0])
    assert [kind for kind, _amount, _reference in ledger(owner)].count("expire") == 1


def test_a_charge_of_many_lots_takes_few_statements(owner, django_assert_max_num_queries):
    for days in range(1, 41):
        give(owner, 1, timedelta(days=days))
    with django_assert_max_num_queries(12):
        credits.charge(owner, 140, reference="order:a")
    assert standing(owner)[:3] == (0, 0, 0)


def test_the_signup_credits_of_another_are_untouched_when_mine_expire(owner):
    other = new_user()
    let_expire(give(owner, 10, SOON))
    credits.expire_all()
    assert (standing(owner)[0], standing(other)[0]) == (100, 100)


# --- Purchases, and payments that go back ---------------------------------------------------------


def test_a_claw_back_takes_what_its_payment_has_brought_before_anything_else(owner):
    gift = give(owner, 50, SOON)
    credits.purchase(owner, 30, reference="payment:1", expires_at=timezone.now() + LATER)
    credits.claw_back(owner, 30, reference="payment:1:2", source="payment:1")
    assert standing(owner) == (150, 50, 0, [50, 0])
    assert Draw.objects.get().lot != gift


def test_a_purchase_is_given_once(owner):
    assert credits.purchase(owner, 500, reference="payment:1") is True
    assert credits.purchase(owner, 500, reference="payment:1") is False
    assert standing(owner) == (600, 0, 0, [])
    assert ledger(owner)[1:] == [("purchase", 500, "payment:1")]


def test_a_claw_back_takes_what_is_there_and_the_rest_is_owed(owner):
    credits.purchase(owner, 500, reference="payment:1")
    credits.charge(owner, 570, reference="order:a")
    assert credits.claw_back(owner, 500, reference="payment:1") is True
    assert credits.claw_back(owner, 500, reference="payment:1") is False
    assert standing(owner) == (0, 0, 470, [])


def test_a_debt_is_paid_by_whatever_comes_in_and_nothing_is_spent_meanwhile(owner):
    credits.claw_back(owner, 130, reference="payment:1")
    with pytest.raises(credits.InsufficientCredits) as refusal:
        credits.charge(owner, 1, reference="order:a")
    assert refusal.value.available == 0
    credits.grant(owner, 10, reference="staff:1")
    assert standing(owner) == (0, 0, 20, [])
    credits.purchase(owner, 50, reference="payment:2")
    assert standing(owner) == (30, 0, 0, [])


def test_what_pays_a_debt_does_not_expire(owner):
    credits.claw_back(owner, 130, reference="payment:1")
    lot = give(owner, 50, SOON)
    assert standing(owner) == (20, 20, 0, [20])
    let_expire(lot)
    credits.expire_all()
    assert standing(owner) == (0, 0, 0, [0])


def test_a_gift_that_a_debt_swallows_leaves_no_lot(owner):
    credits.claw_back(owner, 130, reference="payment:1")
    assert credits.grant(owner, 30, reference="gift:1", expires_at=timezone.now() + SOON)
    assert standing(owner) == (0, 0, 0, [])


def test_a_refund_that_pays_a_debt_puts_nothing_into_a_lot(owner):
    give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    credits.claw_back(owner, 105, reference="payment:1")
    credits.refund(owner, 10, reference="order:a")
    assert standing(owner) == (5, 5, 0, [5])


def test_a_claw_back_takes_what_does_not_expire_first_and_then_the_soonest(owner):
    give(owner, 10, SOON), give(owner, 10, LATER)
    credits.claw_back(owner, 60, reference="payment:1")
    assert standing(owner) == (60, 20, 0, [10, 10])
    credits.claw_back(owner, 45, reference="payment:2")
    assert standing(owner) == (15, 15, 0, [5, 10])
    credits.claw_back(owner, 8, reference="payment:3")
    assert standing(owner) == (7, 7, 0, [0, 7])


@pytest.mark.parametrize("amount", [0, -5])
def test_a_claw_back_takes_something(owner, amount):
    with pytest.raises(ValueError, match="must be positive"):
        credits.claw_back(owner, amount, reference="payment:1")


@pytest.mark.parametrize(
    "broken",
    [
        {"debt": 1},
        {"expiring": 101},
        {"balance": 0, "debt": -1},
    ],
)
def test_the_database_forbids_an_account_that_makes_no_sense(owner, broken):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=owner.pk).update(**broken)


@pytest.mark.parametrize("kind", ["expire", "claw_back", "charge"])
def test_the_database_forbids_taking_that_adds(owner, kind):
    with pytest.raises(IntegrityError), transaction.atomic():
        CreditEntry.objects.create(user=owner, amount=1, kind=kind, reference="x:1")


@pytest.mark.parametrize("kind", ["grant", "purchase", "refund"])
def test_the_database_forbids_adding_that_takes(owner, kind):
    with pytest.raises(IntegrityError), transaction.atomic():
        CreditEntry.objects.create(user=owner, amount=-1, kind=kind, reference="x:1")


def test_the_database_forbids_a_lot_with_more_left_than_was_given(owner):
    lot = give(owner, 10, SOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        Lot.objects.filter(pk=lot.pk).update(left=11)


def test_what_is_missing_is_what_is_not_there_however_much(owner):
    with pytest.raises(credits.InsufficientCredits) as refusal:
        credits.charge(owner, 370, reference="video:1")
    assert refusal.value.missing == 270


def test_a_gift_as_large_as_a_large_debt_leaves_no_lot(owner):
    credits.claw_back(owner, 1100, reference="payment:1")
    credits.grant(owner, 1000, reference="gift:1", expires_at=timezone.now() + SOON)
    assert standing(owner) == (0, 0, 0, [])
    assert not Lot.objects.exists()


def test_a_gift_that_pays_a_debt_first_is_a_lot_of_what_is_left_of_it(owner):
    credits.claw_back(owner, 105, reference="payment:1")
    credits.grant(owner, 30, reference="gift:1", expires_at=timezone.now() + SOON)
    assert standing(owner) == (25, 25, 0, [25])
    assert Lot.objects.get().amount == 25


def test_a_gift_of_the_same_name_as_a_charge_fills_no_lot(owner):
    give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    credits.grant(owner, 10, reference="order:a")
    assert standing(owner) == (110, 0, 0, [0])


def test_a_refund_of_which_a_debt_takes_a_part_fills_the_lot_that_expires_soonest_first(owner):
    give(owner, 10, SOON), give(owner, 10, LATER)
    credits.charge(owner, 15, reference="order:a")
    credits.claw_back(owner, 108, reference="payment:1")
    assert standing(owner) == (0, 0, 3, [0, 0])
    credits.refund(owner, 15, reference="order:a")
    assert standing(owner) == (12, 12, 0, [10, 2])


def test_a_charge_below_nothing_is_forbidden(owner):
    with pytest.raises(IntegrityError), transaction.atomic():
        credits.charge(owner, -5, reference="order:a")
    assert standing(owner) == (100, 0, 0, [])


def test_an_account_can_be_spent_to_its_last_lapsing_credit(owner):
    give(owner, 1, SOON), give(owner, 10, LATER)
    credits.charge(owner, 1, reference="order:a")
    assert standing(owner) == (110, 10, 0, [0, 10])
    credits.charge(owner, 110, reference="order:b")
    assert standing(owner) == (0, 0, 0, [0, 0])


def test_a_last_single_credit_expires_too(owner):
    let_expire(give(owner, 1, SOON))
    assert credits.expire_all() == 1
    assert standing(owner) == (100, 0, 0, [0])


def test_a_single_credit_can_be_taken_back(owner):
    assert credits.claw_back(owner, 1, reference="payment:1")
    assert standing(owner) == (99, 0, 0, [])


def test_nothing_is_returned_for_what_cost_nothing(owner):
    assert credits.refund(owner, 0, reference="order:a") is False
    assert standing(owner) == (100, 0, 0, [])


def test_a_charge_that_one_lot_can_pay_leaves_the_others_alone(owner):
    give(owner, 10, SOON), give(owner, 10, LATER)
    credits.charge(owner, 10, reference="order:a")
    assert standing(owner) == (110, 10, 0, [0, 10])
    assert Draw.objects.count() == 1


def test_a_lot_that_somebody_else_filled_up_stops_a_refund_and_nothing_moves(owner):
    lot = give(owner, 10, SOON)
    credits.charge(owner, 10, reference="order:a")
    Lot.objects.filter(pk=lot.pk).update(left=10)
    User.objects.filter(pk=owner.pk).update(expiring=10)
    with pytest.raises(IntegrityError):
        credits.refund(owner, 10, reference="order:a")
    assert (balance(owner), owner.expiring, Lot.objects.get(pk=lot.pk).left) == (100, 10, 10)


# --- A machine that dies in the middle ------------------------------------------------------------

DIED = OperationalError("the machine dies here")
VERBS = {
    "grant": lambda user: credits.grant(user, 5, reference="x:1", expires_at=timezone.now() + SOON),
    "purchase": lambda user: credits.purchase(user, 5, reference="x:1"),
    "charge": lambda user: credits.charge(user, 15, reference="x:1"),
    "refund": lambda user: credits.refund(user, 12, reference="earlier:1"),
    "claw_back": lambda user: credits.claw_back(user, 500, reference="x:1"),
    "expire": credits.expire,
}


@pytest.mark.django_db(transaction=True)
def test_a_charge_that_dies_before_its_entry_has_taken_nothing(owner, monkeypatch):
    def die(entry):
        raise DIED

    monkeypatch.setattr(credits.fast_sql, "insert", die)
    with pytest.raises(OperationalError):
        credits.charge(owner, 10, reference="video:1")
    assert (balance(owner), len(ledger(owner))) == (100, 1)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_ends_at_any_of_its_statements_has_moved_nothing(owner, verb):
    lot = give(owner, 10, SOON)
    give(owner, 10, LATER)
    credits.charge(owner, 12, reference="earlier:1")
    if verb == "expire":
        credits.refund(owner, 12, reference="earlier:1")
        let_expire(lot)
    before, deaths = standing(owner), 0
    while True:
        statements = count()

        def die(execute, sql, params, many, context, statements=statements, deaths=deaths):
            if next(statements) == deaths:
                raise DIED
            return execute(sql, params, many, context)

        try:
            with transaction.atomic(), connection.execute_wrapper(die):
                VERBS[verb](owner)
        except OperationalError:
            assert standing(owner) == before
            deaths += 1
        else:
            break
    assert deaths >= 3
    assert standing(owner) != before


@without(
    "the look whether a lot has expired",
    "accounts.credits._put_back",
    becomes("lot.expiry not in expired", "True"),
)
def test_a_refund_by_a_slower_clock_does_not_fill_a_lot_that_has_expired(owner):
    lot = give(owner, 50, SOON)
    credits.charge(owner, 30, reference="order:a")
    let_expire(lot)
    assert credits.expire(owner) == 20
    with unguarded("accounts_lot"):  # as it is for a machine whose clock is behind
        Lot.objects.update(expires_at=timezone.now() + SOON)
    credits.refund(owner, 30, reference="order:a")
    let_expire(lot)
    assert credits.expire(owner) == 0
    assert standing(owner) == (130, 0, 0, [0])


def test_an_account_that_cannot_be_expired_keeps_no_other_from_it(owner, stranger, caplog):
    for user in (owner, stranger):
        let_expire(give(user, 50, SOON))
    name = owner.lots.get().expiry
    CreditEntry.objects.create(user=owner, amount=-1, kind="expire", reference=name)
    assert credits.expire_all() == 50
    assert f"The credits of user {owner.pk} could not be expired." in caplog.text
