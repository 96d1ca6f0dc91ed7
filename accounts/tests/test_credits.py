import pytest
from django.db import IntegrityError, InternalError, transaction

from accounts import credits
from accounts.models import CreditEntry, User
from aivideo.tests.fixtures import new_user

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
    assert (balance(owner), len(ledger(owner))) == (100, 1)


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
    with pytest.raises(ValueError, match="adds credits"):
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
