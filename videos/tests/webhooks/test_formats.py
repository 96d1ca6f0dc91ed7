"""What a webhook carries: its format, its links, and the events that a key has chosen."""

import hashlib
import hmac
import time
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.db import Error, connection
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts import api_keys
from accounts.models import ApiKey
from tests.support.api_client import Program
from tests.support.completed import complete, completed
from tests.support.fixtures import entries, new_user, order
from tests.support.sabotage import drop, without
from tests.support.webhook_receiver import Receiver
from videos.generation import batches, lifecycle
from videos.models import Batch, Delivery, Status, Video
from videos.providers.base import JobState
from videos.serializers import public_id
from videos.webhooks import outbox

# Deliveries are written and sent in threads of their own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def receiver(settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def key(receiver):
    return api_keys.create(new_user(), "tests", webhook_url=receiver.url)[0]


def with_webhook(key):
    return {"api_key": key, "webhook_url": key.webhook_url}


def change(key, **fields):
    ApiKey.objects.filter(pk=key.pk).update(**fields)
    key.refresh_from_db()


def deliver():
    Delivery.objects.exclude(next_attempt_at=None).update(
        next_attempt_at=timezone.now() - timedelta(seconds=1)
    )
    outbox.deliver(0.5)


def told(receiver):
    """The types of the events that arrived, in their order."""
    return [arrival.event["type"] for arrival in receiver.arrivals]


def hours_later(monkeypatch, hours):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)


def status_of(url):
    """The status with which the link of an event is answered."""
    return Client().get(url.removeprefix("http://testserver")).status_code


@pytest.fixture(autouse=True)
def _this_site(settings):
    settings.SITE_URL = "http://testserver"


# --- Links ----------------------------------------------------------------------------------------


@without("fresh links in events", "videos.webhooks.formats.request_of", drop("_renew_links"))
def test_an_event_that_arrives_hours_late_has_a_link_that_works(key, receiver, monkeypatch):
    receiver.refusals = [500, 500]
    completed(key.user, **with_webhook(key))
    deliver()
    deliver()
    hours_later(monkeypatch, 26)
    deliver()
    first, _second, last = [arrival.event for arrival in receiver.arrivals]
    assert status_of(first["data"]["url"]) == 403
    assert status_of(last["data"]["url"]) == 200
    assert last["data"]["expires_at"] > time.time() > first["data"]["expires_at"]
    again = {name: last["data"][name] for name in ("url", "expires_at")}
    assert {**first, "data": first["data"] | again} == last


def test_a_batch_that_is_told_again_has_links_only_of_videos_that_are_still_there(receiver, monkeypatch):
    program = Program(new_user())
    wish = {"items": [{"prompt": "A kite"}, {"prompt": "A boat"}, {"prompt": "A car"}]}
    program.send("/v1/batches/videos", {**wish, "webhook_url": receiver.url})
    batch = Batch.objects.get()
    kite, boat, _car = batch.videos.order_by("position")
    for video in (kite, boat):
        complete(Video.objects.get(pk=video.pk))
    batches.cancel(batch)
    batches.advance()
    deliver()
    assert lifecycle.delete(Video.objects.get(pk=boat.pk))
    outbox.replay(Delivery.objects.get())
    hours_later(monkeypatch, 26)
    deliver()
    before, after = ([one["url"] for one in arrival.event["data"]["data"]] for arrival in receiver.arrivals)
    assert [url is None for url in before] == [False, False, True]
    assert [url is None for url in after] == [False, True, True]
    assert (status_of(before[0]), status_of(after[0])) == (403, 200)


def test_the_event_of_a_video_that_turned_out_to_be_broken_has_no_link(key, receiver):
    video = completed(key.user, **with_webhook(key))
    lifecycle.fail_unplayable(Video.objects.get(pk=video.pk), "it does not play")
    deliver()
    assert sorted(told(receiver)) == ["video.completed", "video.failed"]
    assert [arrival.event["data"]["url"] for arrival in receiver.arrivals] == [None, None]


# --- The plain format -------------------------------------------------------------------------------


def is_signed(arrival, secret):
    """What a program does that was written after a tutorial of 2025."""
    expected = hmac.new(secret.encode("utf-8"), arrival.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, arrival.headers["x-openai-signature"])


def plain(key):
    change(key, webhook_form=ApiKey.WebhookForm.PLAIN)


def test_in_the_plain_format_a_completed_video_is_four_fields_and_a_signature_of_the_body(key, receiver):
    plain(key)
    video = completed(key.user, **with_webhook(key))
    deliver()
    (arrival,) = receiver.arrivals
    assert is_signed(arrival, key.webhook_secret)
    assert status_of(arrival.event["url"]) == 200
    assert arrival.event == {
        "id": public_id(video.pk),
        "status": "completed",
        "url": arrival.event["url"],
        "error": None,
    }
    assert "webhook-signature" not in arrival.headers


def test_in_the_plain_format_a_failed_video_says_why(key, receiver):
    plain(key)
    video = order(key.user, **with_webhook(key))
    lifecycle.fail(video, "generation_failed")
    deliver()
    (arrival,) = receiver.arrivals
    assert arrival.event == {
        "id": public_id(video.pk),
        "status": "failed",
        "url": None,
        "error": f"{video.reason} Your credits were refunded.",
    }


def test_in_the_plain_format_a_batch_and_a_test_event_have_the_same_fields(receiver):
    program = Program(new_user())
    plain(program.key)
    program.send("/v1/batches/videos", {"items": [{"prompt": "A kite"}], "webhook_url": receiver.url})
    batch = Batch.objects.get()
    batches.cancel(batch)
    batches.advance()
    change(program.key, webhook_url=receiver.url)
    ping = outbox.ping(program.key)
    deliver()
    assert {arrival.event["id"]: arrival.event["status"] for arrival in receiver.arrivals} == {
        public_id(batch.pk, "batch"): "completed",
        ping.webhook_id: "ping",
    }
    assert {frozenset(arrival.event) for arrival in receiver.arrivals} == {
        frozenset(["id", "status", "url", "error"])
    }
    assert all(is_signed(arrival, program.key.webhook_secret) for arrival in receiver.arrivals)


def test_in_the_plain_format_a_refused_event_comes_again_with_its_id_and_a_link_that_works(
    key, receiver, monkeypatch
):
    plain(key)
    receiver.refusals = [401]
    completed(key.user, **with_webhook(key))
    deliver()
    hours_later(monkeypatch, 26)
    deliver()
    first, last = receiver.arrivals
    assert first.id == last.id
    assert status_of(last.event["url"]) == 200
    assert Delivery.objects.get().delivered_at
    outbox.replay(Delivery.objects.get())
    deliver()
    assert receiver.arrivals[-1].id == first.id


def test_in_the_plain_format_only_the_new_secret_signs_after_a_rotation(key, receiver):
    plain(key)
    old = key.webhook_secret
    api_keys.rotate_webhook_secret(key)
    outbox.ping(key)
    deliver()
    (arrival,) = receiver.arrivals
    key.refresh_from_db()
    assert (is_signed(arrival, key.webhook_secret), is_signed(arrival, old)) == (True, False)


def test_the_format_that_counts_is_the_one_at_the_attempt(key, receiver):
    plain(key)
    receiver.refusals = [500]
    lifecycle.cancel(order(key.user, **with_webhook(key)))
    deliver()
    change(key, webhook_form=ApiKey.WebhookForm.STANDARD)
    deliver()
    assert receiver.arrivals[0].event["status"] == "failed"
    headers = {name.lower(): value for name, value in receiver.arrivals[1].headers.items()}
    assert Webhook(key.webhook_secret).verify(receiver.arrivals[1].body, headers)["type"] == "video.failed"


# --- The choice of events -------------------------------------------------------------------------


def accept(video):
    lifecycle.mark_submitting(video)
    return lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))


def test_who_has_chosen_nothing_is_told_the_end_and_not_the_start(key, receiver):
    completed(key.user, **with_webhook(key))
    deliver()
    assert told(receiver) == ["video.completed"]


def test_the_start_is_told_once_to_a_key_that_has_chosen_it(key, receiver):
    change(key, webhook_events=["video.started", "video.completed"])
    video = order(key.user, **with_webhook(key))
    same = Video.objects.get(pk=video.pk)
    assert accept(video)
    assert lifecycle.accept(same, JobState(ref=f"job-{video.pk}", status="in_progress"))
    deliver()
    (arrival,) = receiver.arrivals
    data = arrival.event["data"]
    assert (arrival.event["type"], data["id"], data["status"], data["url"]) == (
        "video.started",
        public_id(video.pk),
        "in_progress",
        None,
    )


def test_a_start_that_was_not_accepted_is_not_told(key, receiver):
    change(key, webhook_events=["video.started"])
    first, second = (order(key.user, **with_webhook(key)) for _ in range(2))
    accept(first)
    lifecycle.mark_submitting(second)
    assert not lifecycle.accept(second, JobState(ref=f"job-{first.pk}", status="in_progress"))
    assert Delivery.objects.count() == 1


def test_a_bought_job_stays_recorded_when_its_event_cannot_be_written(key, monkeypatch, caplog):
    change(key, webhook_events=["video.started"])
    video = order(key.user, **with_webhook(key))

    def fail_in_the_database(_):
        Video.objects.filter(pk=video.pk).update(status=None)

    monkeypatch.setattr(Delivery, "save", fail_in_the_database)
    assert accept(video)
    video = Video.objects.get(pk=video.pk)
    assert (video.status, video.ref) == (Status.IN_PROGRESS, f"job-{video.pk}")
    assert not Delivery.objects.exists()
    assert f"{video.public_id}: the event that it has started could not be written" in caplog.text


def test_a_lost_connection_at_the_event_of_a_start_is_no_accepted_job(key, monkeypatch):
    change(key, webhook_events=["video.started"])
    video = order(key.user, **with_webhook(key))

    def lose_the_connection(_):
        connection.close()
        connection.cursor()

    monkeypatch.setattr(Delivery, "save", lose_the_connection)
    with pytest.raises(Error):
        accept(video)
    assert Video.objects.get(pk=video.pk).status == Status.SUBMITTING


def test_an_event_that_was_not_chosen_is_not_sent_and_the_refund_is_made_all_the_same(key):
    change(key, webhook_events=["video.completed"])
    video = order(key.user, **with_webhook(key))
    assert (lifecycle.fail(video, "timed_out"), lifecycle.fail(video, "timed_out")) == (True, False)
    assert not Delivery.objects.exists()
    assert entries(video) == [("charge", -10), ("refund", 10)]


def test_the_end_of_a_batch_can_be_left_out(receiver):
    program = Program(new_user())
    change(program.key, webhook_events=["video.failed"])
    program.send("/v1/batches/videos", {"items": [{"prompt": "A kite"}], "webhook_url": receiver.url})
    batches.cancel(Batch.objects.get())
    batches.advance()
    assert not Delivery.objects.exists()
