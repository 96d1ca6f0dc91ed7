"""Keys: what they open, how they end, and how much may be sent with them."""

import time

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey
from tests.support.api_client import Program, error_of
from tests.support.sabotage import becomes, insert_first, never, without
from videos import serializers
from videos.api import throttling
from videos.catalogue import availability
from videos.generation import lifecycle

pytestmark = pytest.mark.django_db


@without("the check whether a key was revoked", "accounts.api_keys.find", never("key.revoked_at"))
@without(
    "the check whether the owner of a key is suspended", "accounts.api_keys.find", never("key.user.is_active")
)
def test_A10_a_key_ends_when_it_is_revoked_or_expires_or_its_user_is_suspended(owner):
    revoked, expired, suspended = Program(owner), Program(owner), Program(owner)
    assert revoked.get("/v1/credits").status_code == 200
    assert (api_keys.revoke(revoked.key), api_keys.revoke(revoked.key)) == (True, False)
    assert error_of(revoked.get("/v1/credits")) == (401, None, "invalid_api_key")
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now())
    assert error_of(expired.get("/v1/credits")) == (401, None, "invalid_api_key")
    type(owner).objects.update(is_active=False)
    assert error_of(suspended.get("/v1/credits")) == (401, None, "invalid_api_key")


@without(
    "the rule that only a key opens the API",
    "videos.api.auth.ApiKeyAuth.__call__",
    insert_first("if request.user.is_authenticated: return ApiKey(user=request.user)"),
)
def test_A11_a_session_opens_nothing_here_and_a_key_nothing_there(as_owner, owner):
    assert error_of(as_owner.get("/v1/credits"))[0] == 401
    assert error_of(as_owner.post("/v1/videos", {"prompt": "A"}))[0] == 401
    assert error_of(Program(owner).get("/credits/"))[0] == 404
    assert Program(owner).get("/credits/", headers={"Accept": "text/html"}).status_code == 302
    assert not owner.videos.exists()


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer av_live_", "Bearer \x00", "av_live_x"]
)
def test_without_a_key_it_is_401(value):
    assert error_of(Client().get("/v1/credits", headers={"Authorization": value})) == (
        401,
        None,
        "invalid_api_key",
    )


@without("the digest of a key", "accounts.api_keys.create", becomes("_digest(text)", "text"))
def test_A08_of_a_key_only_its_digest_is_kept(owner):
    key, text = api_keys.create(owner, "tests")
    assert api_keys.is_well_formed(text)
    assert len(text) == 57
    stored = [str(value) for value in ApiKey.objects.values_list().get()]
    assert not any(text[14:] in value for value in stored)
    assert api_keys.find(text) == key


def test_A08_a_mistyped_key_is_refused_without_the_database(owner, django_assert_num_queries):
    _key, text = api_keys.create(owner, "tests")
    with django_assert_num_queries(0), pytest.raises(api_keys.KeyRefused):
        api_keys.find(text[:20] + ("a" if text[20] != "a" else "b") + text[21:])


def test_A08_a_hundred_thousand_random_keys_open_nothing(owner):
    api_keys.create(owner, "tests")
    letters = api_keys.ALPHABET
    for number in range(100_000):
        random = "".join(letters[(number * 7919 + place * place) % 62] for place in range(43))
        with pytest.raises(api_keys.KeyRefused):
            api_keys.find(api_keys.PREFIX + random + "000000")


@without(
    "silence about a key",
    "accounts.api_keys.find",
    becomes("_note_use(key)", "__import__('logging').getLogger(__name__).warning('%s', text)"),
)
def test_A09_a_key_stands_in_no_log_no_answer_and_no_row(as_owner, owner, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    program = Program(owner)
    secret = program.text[len(program.key.prefix) :]
    answers = [
        program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "1"}),
        program.send("/v1/videos", {"prompt": "A", "seconds": "5"}),
        program.get("/v1/nothing"),
        Client().get("/v1/credits", headers={"Authorization": f"Bearer {program.text}x"}),
        as_owner.get("/account/"),
        as_owner.get(f"/account/keys/{program.key.pk}/"),
    ]
    monkeypatch.setattr(availability, "models", lambda: 1 / 0)
    answers.append(program.get("/v1/models"))
    assert answers[-1].status_code == 500
    for answer in answers:
        assert secret not in answer.content.decode()
        assert secret not in str(answer.headers)
    assert secret not in caplog.text
    for model in apps.get_models():
        for row in model._default_manager.values_list():
            assert secret not in str(row), model


def test_a_key_may_be_bound_to_models(owner):
    program = Program(owner, allowed_models=["sora-2-pro"])
    assert program.send("/v1/videos", {"prompt": "A"}).json()["model"] == "sora-2-pro"
    answer = program.send("/v1/videos", {"prompt": "A", "model": "sora-2"})
    assert error_of(answer) == (400, "model", "model_not_found")


def test_a_key_may_be_bound_to_credits_a_day(owner):
    program = Program(owner, credits_a_day=20)
    first = program.send("/v1/videos", {"prompt": "A"}).json()
    answer = program.send("/v1/videos", {"prompt": "A", "n": 2})
    assert error_of(answer) == (429, None, "daily_limit_reached")
    assert 0 < int(answer["Retry-After"]) <= 24 * 3600
    lifecycle.cancel(
        owner.videos.get(pk=serializers.uuid_of(first["id"]))
    )  # what came back may be spent again
    assert program.send("/v1/videos", {"prompt": "A", "n": 2}).status_code == 200


def test_when_a_key_was_used_last_is_known_to_the_minute(owner, django_assert_num_queries):
    program = Program(owner)
    program.get("/v1/credits")
    program.key.refresh_from_db()
    assert timezone.now() - program.key.last_used_at < api_keys.LAST_USED_EXACT_TO
    with django_assert_num_queries(1):
        api_keys.find(program.text)


def test_who_sends_too_much_is_told_when_to_come_again(program, owner, settings, monkeypatch):
    settings.API_REQUESTS_A_MINUTE = 3
    left = [program.get("/v1/credits")["RateLimit-Remaining"] for _ in range(3)]
    refused = program.get("/v1/credits")
    assert left == ["2", "1", "0"]
    assert error_of(refused) == (429, None, "rate_limit_exceeded")
    assert (refused["Retry-After"], refused["RateLimit-Limit"]) == ("20", "3")
    assert "x-should-retry" not in refused
    assert Program(owner).get("/v1/credits").status_code == 200, "another key has its own bucket"
    now = time.time()
    monkeypatch.setattr(throttling.time, "time", lambda: now + 21)
    assert program.get("/v1/credits").status_code == 200
    assert program.get("/v1/credits").status_code == 429


def test_guessing_keys_is_slow(monkeypatch):
    now = time.time()
    monkeypatch.setattr(throttling.time, "time", lambda: now)  # a slow machine takes a second for so many
    statuses = [Client().get("/v1/credits").status_code for _ in range(61)]
    assert statuses == [401] * 60 + [429]
