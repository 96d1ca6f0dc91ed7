"""Webhooks that we send: what a receiver gets, how often, and whom we do not go to."""

import threading
import time
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts import api_keys
from accounts.models import IdempotentAnswer
from tests.support.api_client import Program
from tests.support.fixtures import new_user, order, pump_until_done, wait_until
from tests.support.sabotage import becomes, without
from tests.support.silent_server import SilentServer
from tests.support.webhook_receiver import Receiver
from videos.generation import batches, lifecycle
from videos.models import Batch, Delivery, Video
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


def ordered(key, prompt="A kite", **fields):
    return order(key.user, prompt, api_key=key, webhook_url=key.webhook_url, **fields)


def due_now():
    Delivery.objects.exclude(next_attempt_at=None).update(
        next_attempt_at=timezone.now() - timedelta(seconds=1)
    )


def deliver_again(times):
    for _ in range(times):
        due_now()
        outbox.deliver(0.5)


def believed(key, arrival):
    """What a receiver reads that checks signatures with the library of Standard Webhooks. Raises for a false one."""
    headers = {name.lower(): value for name, value in arrival.headers.items()}
    return Webhook(key.webhook_secret).verify(arrival.body, headers)


def test_the_end_of_a_video_is_told_and_signed(key, receiver, simulator):
    video = ordered(key)
    pump_until_done(30)
    outbox.deliver(1)
    (arrival,) = receiver.arrivals
    event = believed(key, arrival)
    assert (event["object"], event["type"], event["id"]) == ("event", "video.completed", arrival.id)
    assert (event["data"]["id"], event["data"]["status"]) == (public_id(video.pk), "completed")
    assert "/v1/links/" in event["data"]["url"]


def test_a_failure_and_a_cancellation_are_told_as_failures(key, receiver):
    lifecycle.fail(ordered(key), "moderation_blocked")
    lifecycle.cancel(ordered(key))
    outbox.deliver(1)
    told = {(a.event["type"], a.event["data"]["error"]["code"]) for a in receiver.arrivals}
    assert told == {("video.failed", "moderation_blocked"), ("video.failed", "canceled")}


def test_what_did_not_happen_is_not_told(key, receiver):
    video = ordered(key)
    assert lifecycle.cancel(video)
    assert not lifecycle.cancel(video)
    assert not lifecycle.fail(video, "timed_out")
    assert Delivery.objects.count() == 1


def test_who_asked_for_no_webhook_gets_none(receiver):
    lifecycle.cancel(order(new_user()))
    assert not Delivery.objects.exists()


def test_a_receiver_that_fails_three_times_gets_the_event_the_fourth_time(key, receiver):
    receiver.refusals = [500, 302, 404]
    lifecycle.cancel(ordered(key))
    deliver_again(6)
    assert len(receiver.arrivals) == 4
    assert len({arrival.id for arrival in receiver.arrivals}) == 1
    assert believed(key, receiver.arrivals[-1])["type"] == "video.failed"
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.status, delivery.next_attempt_at) == (4, 200, None)
    assert delivery.delivered_at


def test_after_eight_tries_within_twelve_hours_it_is_given_up(key, receiver):
    receiver.refusals = [500] * 20
    lifecycle.cancel(ordered(key))
    pauses = []
    for _ in range(outbox.MAX_TRIES):
        due_now()
        outbox.deliver(0.5)
        if next_attempt_at := Delivery.objects.get().next_attempt_at:
            pauses.append((next_attempt_at - timezone.now()).total_seconds())
    assert 11 * 3600 < sum(pauses) < 12.5 * 3600
    deliver_again(1)
    assert len(receiver.arrivals) == outbox.MAX_TRIES
    assert Delivery.objects.get().delivered_at is None


def test_what_was_given_up_can_be_sent_again_with_the_same_id(key, receiver):
    receiver.refusals = [500] * outbox.MAX_TRIES
    lifecycle.cancel(ordered(key))
    deliver_again(outbox.MAX_TRIES)
    outbox.replay(Delivery.objects.get())
    with pytest.raises(outbox.NotNow, match="already queued"):
        outbox.replay(Delivery.objects.get())
    outbox.deliver(0.5)
    assert len({arrival.id for arrival in receiver.arrivals}) == 1
    assert Delivery.objects.get().delivered_at


def test_a_test_event_can_be_sent(key, receiver):
    outbox.ping(key)
    outbox.deliver(0.5)
    assert believed(key, receiver.arrivals[0])["type"] == "ping"


def test_for_a_day_after_a_secret_was_changed_both_sign(key, receiver):
    old = key.webhook_secret
    api_keys.rotate_webhook_secret(key)
    outbox.ping(key)
    outbox.deliver(0.5)
    (arrival,) = receiver.arrivals
    headers = {name.lower(): value for name, value in arrival.headers.items()}
    key.refresh_from_db()
    assert key.webhook_secret != old
    for secret in (old, key.webhook_secret):
        assert Webhook(secret).verify(arrival.body, headers)
    type(key).objects.update(old_secret_until=timezone.now())
    outbox.ping(key)
    outbox.deliver(0.5)
    assert len(receiver.arrivals[1].headers["webhook-signature"].split()) == 1


def test_a_sender_that_dies_leaves_the_event_to_the_next_one(key, receiver):
    lifecycle.cancel(ordered(key))
    assert len(outbox._claim(10)) == 1
    assert outbox._claim(10) == []
    due_now()  # the lease is over
    outbox.deliver(0.5)
    assert len(receiver.arrivals) == 1


def test_a_receiver_that_hangs_holds_no_other_up(key, receiver, monkeypatch):
    handler = receiver.server.RequestHandlerClass
    take = handler.do_POST

    def hang(self):
        if self.path == "/slow":
            time.sleep(1)
        take(self)

    monkeypatch.setattr(handler, "do_POST", hang)
    slow = f"http://127.0.0.1:{receiver.server.server_port}/slow"
    for _ in range(5):
        lifecycle.cancel(order(key.user, api_key=key, webhook_url=slow))
    with Receiver() as other:
        lifecycle.cancel(order(key.user, api_key=key, webhook_url=other.url))
        outbox.deliver(0.5)
        (quick,) = other.arrivals
    assert len(receiver.arrivals) == outbox.MAX_PER_SERVER
    deliver_again(1)
    assert len(receiver.arrivals) == 5
    assert quick.at < min(arrival.at for arrival in receiver.arrivals)


@without(
    "the limit to deliveries of one account",
    "videos.webhooks.outbox._deliver",
    becomes("users[user] >= MAX_PER_USER", "False"),
)
def test_an_account_whose_receivers_all_hang_holds_no_other_up(key, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_CONCURRENT", 3)
    monkeypatch.setattr(outbox, "MAX_PER_USER", 2)
    other_key, _text = api_keys.create(new_user(), "Other")
    with SilentServer() as one, SilentServer() as two, SilentServer() as three, Receiver() as receiver:
        for silent in (one, two, three, one, two, three):
            url = silent.url.replace("/picture.jpg", "/hook")
            lifecycle.cancel(order(key.user, api_key=key, webhook_url=url))
        lifecycle.cancel(order(other_key.user, api_key=other_key, webhook_url=receiver.url))
        sender = threading.Thread(target=outbox.deliver, args=[5])
        sender.start()
        wait_until(lambda: receiver.arrivals)
        assert len(one.taken) + len(two.taken) + len(three.taken) <= 2
        for silent in (one, two, three):
            silent.hang_up()
        sender.join()


@without(
    "the servers that are left out of a claim",
    "videos.webhooks.outbox._deliver",
    becomes("count >= MAX_PER_SERVER", "False"),
)
def test_a_single_receiver_that_hangs_holds_no_other_up_however_much_waits_for_it(key, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_CONCURRENT", 3)
    monkeypatch.setattr(outbox, "MAX_PER_SERVER", 1)
    monkeypatch.setattr(outbox, "LATER", 0)
    other_key, _text = api_keys.create(new_user(), "Other")
    with SilentServer() as silent, Receiver() as receiver:
        url = silent.url.replace("/picture.jpg", "/hook")
        for _ in range(8):
            lifecycle.cancel(order(key.user, api_key=key, webhook_url=url))
        lifecycle.cancel(order(other_key.user, api_key=other_key, webhook_url=receiver.url))
        sender = threading.Thread(target=outbox.deliver, args=[5])
        sender.start()
        time.sleep(3)
        assert receiver.arrivals
        silent.hang_up()
        sender.join()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://[::1]:{port}/",
    ],
)
def test_A13_nobody_is_told_in_our_own_network(key, receiver, settings, url):
    settings.PRIVATE_NETWORKS_ALLOWED = []
    url = url.format(port=receiver.server.server_port)
    lifecycle.cancel(order(key.user, api_key=key, webhook_url=url))
    outbox.deliver(0.5)
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.status, receiver.arrivals) == (1, None, [])
    assert delivery.next_attempt_at


def test_of_a_deleted_video_no_word_stays_in_what_was_told(key, receiver):
    video = ordered(key, "A secret kite", metadata={"client": "secret"}, extras={"negative_prompt": "secret"})
    lifecycle.cancel(video)
    outbox.deliver(0.5)
    assert lifecycle.delete(Video.objects.get(pk=video.pk))
    for model in (Video, Delivery):
        assert "secret" not in str(list(model.objects.values()))


def test_of_a_deleted_video_of_a_batch_no_word_stays_in_what_may_be_told_again(receiver):
    program = Program(new_user())
    wish = {"items": [{"prompt": "A secret kite"}, {"prompt": "A boat"}], "webhook_url": receiver.url}
    program.send("/v1/batches/videos", wish, headers={"Idempotency-Key": "batch-1"})
    batch = Batch.objects.get()
    batches.cancel(batch)
    batches.advance()
    assert lifecycle.delete(batch.videos.get(position=0))
    for model in (Video, Delivery, IdempotentAnswer):
        assert "secret" not in str(list(model.objects.values()))
    outbox.deliver(0.5)
    told = believed(program.key, receiver.arrivals[0])["data"]["data"]
    assert [video["prompt"] for video in told] == ["", "A boat"]


def test_settled_deliveries_are_forgotten_after_a_month(key, receiver):
    lifecycle.cancel(ordered(key))
    outbox.deliver(0.5)
    Delivery.objects.update(created_at=timezone.now() - outbox.KEPT)
    outbox.purge_expired()
    assert not Delivery.objects.exists()
