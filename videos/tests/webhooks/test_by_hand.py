"""Events that the owner of a key sends by hand: to any address that they like, so not without end."""

import time

import pytest
from django.urls import reverse

from accounts import api_keys
from tests.support.sabotage import drop, never, without
from videos.models import Delivery
from videos.webhooks import outbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _within_an_hour(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)


@pytest.fixture
def key(owner):
    key, _text = api_keys.create(owner, "mine")
    key.webhook_url = "https://receiver.example/events"
    key.save()
    return key


def end_all():
    Delivery.objects.update(next_attempt_at=None, attempts=1)


@without(
    "the limit of one test event at a time",
    "videos.webhooks.outbox.ping",
    never("untried.filter(next_attempt_at__isnull=False).exists()"),
)
def test_A74_one_test_event_of_a_key_is_queued_at_a_time(as_owner, key):
    page = reverse("videos:ping", args=[key.pk])
    for _ in range(40):
        said = as_owner.post(page, follow=True).content.decode()
    assert "A test event is already queued." in said
    assert Delivery.objects.count() == 1
    # That it failed, and will be tried again for hours, does not keep its owner from trying what they have corrected.
    Delivery.objects.update(attempts=1)
    assert "Test event queued." in as_owner.post(page, follow=True).content.decode()
    assert Delivery.objects.count() == 2


@without("the limit of test events an hour", "videos.webhooks.outbox.ping", drop("_count_by_hand"))
@without("the limit of events sent again an hour", "videos.webhooks.outbox.replay", drop("_count_by_hand"))
def test_A74_so_many_events_are_sent_by_hand_in_an_hour_and_no_more(as_owner, owner, key):
    half = outbox.MAX_BY_HAND // 2
    for _ in range(half):
        event = outbox.ping(key)
        end_all()
    for _ in range(outbox.MAX_BY_HAND - half):
        outbox.replay(event)
        end_all()
    for page in (reverse("videos:ping", args=[key.pk]), reverse("videos:replay", args=[event.pk])):
        said = as_owner.post(page, follow=True).content.decode()
        assert f"You can send {outbox.MAX_BY_HAND} events of a key per hour." in said
    assert not Delivery.objects.exclude(next_attempt_at=None).exists()
    other, _text = api_keys.create(owner, "another")
    other.webhook_url = key.webhook_url
    other.save()
    assert outbox.ping(other)


def test_what_is_queued_already_counts_for_nothing(key):
    event = outbox.ping(key)
    for _ in range(outbox.MAX_BY_HAND):
        with pytest.raises(outbox.NotNow, match="already queued"):
            outbox.replay(event)
    end_all()
    outbox.replay(event)
