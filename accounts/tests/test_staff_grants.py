"""What staff grant: not to themselves, and much of it only together with a colleague."""

import threading
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import staff_grants
from accounts.models import StaffGrant
from accounts.staff_grants import GrantRefused
from aivideo.ledger_check import violations
from tests.support.fixtures import new_user
from tests.support.sabotage import becomes, never, omit, without

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db):
    return new_user(is_staff=True)


@pytest.fixture
def colleague(db):
    return new_user(is_staff=True)


def grant(user, amount, giver, **more):
    return staff_grants.grant(user, amount, giver=giver, reason="they asked", form=uuid4(), **more)


def balance(user):
    user.refresh_from_db()
    return user.balance


def test_a_small_grant_is_there_at_once(owner, boss):
    made = grant(owner, 1000, boss, note="Sorry for the wait.")
    assert (made.status, balance(owner)) == ("granted", 1100)
    entry = owner.credit_entries.get(reference=made.reference)
    assert (entry.amount, entry.kind, entry.note) == (1000, "grant", "Sorry for the wait.")


@without("the sentence against own grants", "accounts.staff_grants.grant", never("giver == user"))
def test_A70_nobody_grants_to_themselves(boss):
    with pytest.raises(GrantRefused, match="themselves"):
        grant(boss, 1, boss)
    assert (balance(boss), StaffGrant.objects.count()) == (100, 0)


def test_A70_the_database_knows_that_too(owner, boss, colleague):
    with pytest.raises(IntegrityError), transaction.atomic():
        StaffGrant.objects.create(
            user=boss, giver=boss, amount=1, reference="x", reason="x", status="granted"
        )
    waiting = grant(owner, 1001, boss)
    for second in (boss, owner):
        with pytest.raises(IntegrityError), transaction.atomic():
            StaffGrant.objects.filter(pk=waiting.pk).update(second=second, status="granted")


@without(
    "the second person for much",
    "accounts.staff_grants.needs_second",
    becomes("amount > settings.STAFF_GRANT", "False"),
)
@without(
    "the first is not the second",
    "accounts.staff_grants.confirm",
    never("second in (grant.giver, grant.user)"),
)
def test_A70_a_large_grant_waits_for_a_second_person(owner, boss, colleague):
    waiting = grant(owner, 1001, boss)
    assert (waiting.status, balance(owner)) == ("waiting", 100)
    for nobody in (boss, owner):
        with pytest.raises(GrantRefused, match="Somebody else"):
            staff_grants.confirm(waiting, nobody)
    assert balance(owner) == 100
    assert [staff_grants.confirm(waiting, colleague) for _ in range(2)] == [True, False]
    assert balance(owner) == 1101
    assert staff_grants.decline(waiting, colleague) is False


@without("one decision", "accounts.staff_grants._decide", omit("status=Status.WAITING"))
def test_what_was_declined_cannot_be_confirmed(owner, boss, colleague):
    waiting = grant(owner, 5000, boss)
    assert [staff_grants.decline(waiting, boss) for _ in range(2)] == [True, False]
    assert staff_grants.confirm(waiting, colleague) is False
    assert (balance(owner), StaffGrant.objects.get().status) == (100, "declined")


@without(
    "the limit of a day",
    "accounts.staff_grants.needs_second",
    becomes("today + amount > settings.STAFF_GRANTS_A_DAY", "False"),
)
def test_A70_many_small_grants_in_a_day_wait_too(owner, boss, colleague, settings):
    settings.STAFF_GRANTS_A_DAY = 2500
    assert [grant(owner, 1000, boss).status for _ in range(3)] == ["granted", "granted", "waiting"]
    assert grant(owner, 500, boss).status == "granted"
    assert grant(owner, 1, boss).status == "waiting"
    assert grant(owner, 1000, colleague).status == "granted"
    assert balance(owner) == 100 + 2500 + 1000


def test_what_a_colleague_confirmed_does_not_count_for_the_day(owner, boss, colleague, settings):
    settings.STAFF_GRANTS_A_DAY = 2500
    staff_grants.confirm(grant(owner, 2400, boss), colleague)
    assert grant(owner, 1000, boss).status == "granted"


def test_the_command_line_grants_any_amount(owner):
    assert grant(owner, 10**9, None).status == "granted"
    assert balance(owner) == 100 + 10**9


@pytest.mark.django_db(transaction=True)
def test_A70_grants_at_the_same_moment_do_not_pass_the_limit_of_a_day_together(owner, settings):
    settings.STAFF_GRANTS_A_DAY = 2000
    boss, made = new_user(is_staff=True), []

    def ask():
        made.append(grant(owner, 1000, boss).status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["granted"] * 2 + ["waiting"] * 4
    assert balance(owner) == 2100


@pytest.mark.django_db(transaction=True)
def test_two_who_grant_to_each_other_do_not_wait_for_each_other():
    one, other = new_user(is_staff=True), new_user(is_staff=True)
    made = []

    def ask(user, giver):
        for _ in range(20):
            made.append(grant(user, 10, giver).status)
        connection.close()

    threads = [threading.Thread(target=ask, args=pair) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["granted"] * 40


def test_the_ledger_check_knows_what_the_command_line_granted(owner):
    grant(owner, 5, None)
    assert violations()[1] == []
