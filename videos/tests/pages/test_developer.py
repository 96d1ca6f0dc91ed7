"""The pages where people manage their keys and webhooks."""

import re

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey
from tests.support.fixtures import order
from tests.support.sabotage import omit, without
from videos.models import Delivery
from videos.webhooks import outbox

pytestmark = pytest.mark.django_db


def text_of(answer):
    return answer.content.decode()


@pytest.fixture
def key(owner):
    return api_keys.create(owner, "nightly", webhook_url="https://example.com/hook")[0]


def test_a_new_key_is_shown_once_and_works(as_owner):
    answer = as_owner.post(
        "/account/", {"name": "My program", "credits_a_day": "50", "models": ["sora-2-pro"], "lifetime": "30"}
    )
    assert answer.status_code == 201
    shown = re.search(rf"{api_keys.PREFIX}\w{{49}}", text_of(answer))[0]
    key = api_keys.find(shown)
    assert (key.name, key.credits_a_day, key.allowed_models) == ("My program", 50, ["sora-2-pro"])
    assert 29 <= (key.expires_at - timezone.now()).days <= 30
    assert shown not in text_of(as_owner.get("/account/"))
    assert key.prefix in text_of(as_owner.get("/account/"))
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "Enter a name for the key."),
        ({"name": "x" * 61}, "at most 60 characters"),
        ({"name": "a", "credits_a_day": "0"}, "greater than or equal to 1"),
        ({"name": "a", "credits_a_day": "many"}, "Enter a whole number."),
    ],
)
def test_a_form_that_is_wrong_makes_no_key(as_owner, fields, sentence):
    answer = as_owner.post("/account/", fields)
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    assert not ApiKey.objects.exists()


def test_there_is_a_limit_to_keys(as_owner, owner, monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 1)
    key, _text = api_keys.create(owner, "first")
    assert "Revoke one first" in text_of(as_owner.post("/account/", {"name": "second"}))
    api_keys.revoke(key)
    assert as_owner.post("/account/", {"name": "second"}).status_code == 201


def test_a_key_can_be_revoked(as_owner, key):
    assert as_owner.post(f"/account/keys/{key.pk}/revoke/").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at
    assert "Revoked" in text_of(as_owner.get(f"/account/keys/{key.pk}/"))
    assert "Expired and revoked keys" in text_of(as_owner.get("/account/"))


@without(
    "the owner check on the key of a delivery", "videos.pages.developer.replay", omit("user=request.user")
)
def test_A01_A02_a_strangers_key_and_deliveries_are_404(as_stranger, key):
    delivery = outbox.ping(key)
    for path in ("", "revoke/", "secret/", "ping/"):
        assert as_stranger.post(f"/account/keys/{key.pk}/{path}").status_code == 404
    assert as_stranger.get(f"/account/keys/{key.pk}/").status_code == 404
    assert as_stranger.post(f"/account/deliveries/{delivery.pk}/").status_code == 404
    before = key.webhook_secret
    key.refresh_from_db()
    assert (key.revoked_at, key.webhook_secret) == (None, before)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "nonsense", "https://user:pw@example.com/"]
)
def test_a_webhook_that_we_would_not_go_to_is_refused(as_owner, key, url):
    answer = as_owner.post(f"/account/keys/{key.pk}/", {"url": url})
    assert (answer.status_code, 'role="alert"' in text_of(answer)) == (422, True)
    key.refresh_from_db()
    assert key.webhook_url == "https://example.com/hook"


def test_a_webhook_can_be_set_and_taken_away(as_owner, key):
    for url in ("https://example.com/other", ""):
        assert as_owner.post(f"/account/keys/{key.pk}/", {"url": url}).status_code == 302
        key.refresh_from_db()
        assert key.webhook_url == url


def test_a_secret_is_shown_and_can_be_changed(as_owner, key):
    assert key.webhook_secret in text_of(as_owner.get(f"/account/keys/{key.pk}/"))
    as_owner.post(f"/account/keys/{key.pk}/secret/")
    assert key.webhook_secret not in text_of(as_owner.get(f"/account/keys/{key.pk}/"))


def test_a_test_event_is_sent_and_every_delivery_can_be_seen_and_sent_again(as_owner, key, owner):
    as_owner.post(f"/account/keys/{key.pk}/ping/")
    video = order(owner, api_key=key, webhook_url=key.webhook_url)
    outbox._write(key.pk, key.webhook_url, "video.completed", {}, video)
    Delivery.objects.filter(event="ping").update(attempts=8, status=500, next_attempt_at=None)
    page = text_of(as_owner.get(f"/account/keys/{key.pk}/"))
    for words in ("Failed", "8 attempts, HTTP 500", "Queued", f"/videos/{video.pk}/"):
        assert words in page
    assert page.count("Resend") == 1
    ping = Delivery.objects.get(event="ping")
    as_owner.post(f"/account/deliveries/{ping.pk}/")
    ping.refresh_from_db()
    assert (ping.attempts, ping.next_attempt_at is None) == (0, False)


def test_without_an_address_there_is_no_test_event(as_owner, owner):
    key, _text = api_keys.create(owner, "silent")
    as_owner.post(f"/account/keys/{key.pk}/ping/")
    assert not Delivery.objects.exists()
