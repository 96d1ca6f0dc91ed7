from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import RequestFactory
from django.utils import timezone

from accounts import signup_credits
from accounts.models import FreeCredits, FreeCreditTally, User, Welcome
from accounts.signup_credits import Outcome
from aivideo.ledger_check import violations
from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import becomes, drop, never, omit, without

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _limits():
    FreeCredits.objects.create(credits_a_day=1000, people_a_day_and_network=3)


def newcomer(sub, email=None):
    """Somebody who signs in with this identity for the first time, or after the account was deleted."""
    SocialAccount.objects.filter(uid=sub).delete()
    user = User.objects.create(
        username=f"newcomer-{User.objects.count()}", email=email or f"{sub}@example.com"
    )
    user.socialaccount_set.create(provider="google", uid=sub)
    return user


def knock(user, address="127.0.0.1"):
    outcome = signup_credits.give(user, RequestFactory().get("/", REMOTE_ADDR=address))
    user.refresh_from_db()
    assert user.balance == (100 if signup_credits.is_welcomed(user) else 0)
    assert violations()[1] == []
    return outcome


def test_a_newcomer_gets_the_free_credits_once():
    user = newcomer("1")
    assert [knock(user), knock(user)] == [Outcome.GIVEN, Outcome.HAD]


@without("the memory of who had them", "accounts.signup_credits.give", drop("Welcome.objects.bulk_create"))
def test_A39_who_deletes_the_account_and_comes_back_ten_times_had_them():
    assert knock(newcomer("1")) == Outcome.GIVEN
    for turn in range(10):
        assert knock(newcomer("1", f"other-{turn}@example.com")) == Outcome.HAD


@without(
    "the memory of who had them under a former key",
    "accounts.signup_credits.give",
    becomes("_was_welcomed_under_a_former_key(user)", "False"),
)
def test_A39_a_change_of_the_secret_key_forgets_nobody(settings):
    assert knock(newcomer("1")) == Outcome.GIVEN
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert knock(newcomer("1", "other@example.com")) == Outcome.HAD
    assert knock(newcomer("2", "1@example.com")) == Outcome.HAD
    assert knock(newcomer("2", "2@example.com")) == Outcome.GIVEN


@without(
    "the rule that aliases are one mailbox",
    "accounts.signup_credits._identities",
    becomes("_mailbox(user.email)", "user.email"),
)
@pytest.mark.parametrize(
    ("first", "alias"),
    [
        ("ada.l@gmail.com", "adal+video@googlemail.com"),
        ("ada@example.com", "Ada+2@Example.COM"),
    ],
)
def test_A39_an_alias_of_a_mailbox_is_the_same_person(first, alias):
    assert knock(newcomer("1", first)) == Outcome.GIVEN
    assert knock(newcomer("2", alias)) == Outcome.HAD


def test_dots_tell_people_apart_where_they_do():
    assert knock(newcomer("1", "ada.l@example.com")) == Outcome.GIVEN
    assert knock(newcomer("2", "adal@example.com")) == Outcome.GIVEN


@without("the budget of the day", "accounts.signup_credits._count", omit("given__lte"))
def test_A39_a_day_costs_no_more_than_its_budget_and_the_next_day_begins_anew():
    users = [newcomer(f"{n}") for n in range(12)]
    assert [knock(user) for user in users] == [Outcome.GIVEN] * 10 + [Outcome.NOT_TODAY] * 2
    FreeCreditTally.objects.update(day=timezone.now().date() - timedelta(days=1))
    assert knock(users[-1]) == Outcome.GIVEN


@without("the limit of a network", "accounts.signup_credits.give", never("block"))
def test_A39_a_network_gets_only_some_a_day():
    addresses = ["8.8.8.1", "8.8.8.2", "::ffff:8.8.8.3", "8.8.8.200", "8.8.9.1"]
    outcomes = [knock(newcomer(f"{n}"), address) for n, address in enumerate(addresses)]
    assert outcomes == [Outcome.GIVEN] * 3 + [Outcome.NOT_HERE, Outcome.GIVEN]
    outcomes = [knock(newcomer(f"6-{n}"), f"2606:4700:1:2:{n}::1") for n in range(4)]
    assert outcomes == [Outcome.GIVEN] * 3 + [Outcome.NOT_HERE]


def test_who_was_refused_for_the_network_left_the_budget_alone():
    for n in range(4):
        knock(newcomer(f"{n}"), "8.8.8.8")
    assert FreeCreditTally.objects.get(what="site").given == 300


def test_addresses_that_are_no_visitors_own_are_not_counted():
    outcomes = [knock(newcomer(f"{n}"), "10.0.0.1") for n in range(5)]
    assert outcomes == [Outcome.GIVEN] * 5


def test_what_is_kept_of_a_person_names_nobody():
    knock(newcomer("sub-of-ada", "ada@example.com"), "8.8.8.8")
    kept = [*Welcome.objects.values_list("identity", flat=True)]
    kept += FreeCreditTally.objects.exclude(what="site").values_list("what", flat=True)
    assert len(kept) == 3
    assert all(len(text) == 64 for text in kept)


def test_old_tallies_are_forgotten_and_people_are_not():
    knock(newcomer("1"))
    FreeCreditTally.objects.update(day=timezone.now().date() - timedelta(days=8))
    signup_credits.purge_expired()
    assert (FreeCreditTally.objects.count(), Welcome.objects.count()) == (0, 2)


def test_who_came_on_a_day_without_credits_asks_again_on_the_page():
    FreeCredits.objects.update(credits_a_day=0)
    user = newcomer("1")
    client = signed_in(user)
    assert "New users get 100 free credits." in client.get("/credits/").text
    assert "have all been claimed. Come back after" in client.post("/credits/welcome/", follow=True).text
    FreeCredits.objects.update(credits_a_day=100)
    page = client.post("/credits/welcome/", follow=True).text
    assert "100 credits added." in page
    assert "New users get" not in page


def test_the_button_gives_nothing_to_who_had_them():
    knock(newcomer("1"))
    client = signed_in(newcomer("1", "again@example.com"))
    assert (
        "You have already received your free credits." in client.post("/credits/welcome/", follow=True).text
    )


def test_without_free_credits_nobody_is_offered_any(settings):
    settings.SIGNUP_CREDITS = 0
    user = new_user()
    assert knock(user) == Outcome.HAD
    assert "New users get" not in signed_in(user).get("/credits/").text
