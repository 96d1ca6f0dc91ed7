"""What is bought at a provider is bought once, whoever stands still, dies or answers late: purchases are counted there."""

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from tests.support.database import database_env
from tests.support.fixtures import MANAGE, TEST_TIMEOUT, entries, new_user, order, wait_until
from tests.support.http_server import Handler, LocalServer
from tests.support.sabotage import drop, never, without
from videos import timing
from videos.generation import lifecycle
from videos.models import Channel, PumpSlot, Status, Video
from videos.providers.base import Found, JobState
from videos.worker import dispatcher, leases, steps, write_queue

pytestmark = pytest.mark.django_db(transaction=True)


class Shop:
    """A provider with a list and without keys. It counts what it sells, and keeps the first `held` buyers waiting."""

    def __init__(self, held=0):
        self.jobs = []
        self.held = held
        self.release = threading.Event()

    @property
    def sold(self):
        return Counter(job["prompt"] for job in self.jobs)

    def sell(self, prompt, size, seconds):
        job = {"id": f"job-{len(self.jobs)}", "object": "video", "model": "sora-2", "status": "in_progress"}
        job |= {"created_at": int(timezone.now().timestamp()), "progress": 50}
        self.jobs.append(job | {"prompt": prompt, "size": size, "seconds": seconds})
        number = len(self.jobs)
        if number <= self.held:
            self.release.wait(TEST_TIMEOUT)
        return self.jobs[number - 1]

    @contextmanager
    def open(self):
        shop = self

        class ShopHandler(Handler):
            def do_POST(self):
                body = self.body().decode()
                fields = body.split('name="')[1:] if 'name="' in body else []
                form = {part.split('"')[0]: part.split("\r\n\r\n")[1].split("\r\n")[0] for part in fields}
                said = form or json.loads(body)
                self.say(shop.sell(said["prompt"], said["size"], said["seconds"]))

            def do_GET(self):
                if "/videos/" in self.path:
                    ref = self.path.rpartition("/")[2]
                    self.say(next(job for job in shop.jobs if job["id"] == ref))
                else:
                    self.say({"object": "list", "data": shop.jobs[::-1], "has_more": False})

            def say(self, body):
                self.reply(200, json.dumps(body).encode())

        with LocalServer(ShopHandler) as server:
            yield f"{server.url}/v1"
            self.release.set()


# Two may be out at a time, so that the others wait for their turn with the intent of a request written down.
STOPPABLE_PUMP = "from videos.worker import dispatcher, steps; steps.MAX_POSTS = 2; dispatcher.run()"


@without("the lease check before a purchase", "videos.worker.steps.submit", drop("_confirm_lease"))
def test_A79_a_stopped_dispatcher_that_goes_on_buys_nothing_again(settings, monkeypatch):
    """It is overtaken while two requests are out and three wait for their turn; then it wakes up."""
    monkeypatch.setattr(timing, "LONGEST_WAIT", 1.0)
    monkeypatch.setattr(steps, "GRACE", 0)
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    Channel.objects.update(honours_idempotency_key=False)
    shop = Shop(held=2)
    with shop.open() as settings.SIMULATOR_URL:
        prompts = [f"Kite {number}" for number in range(5)]
        for prompt in prompts:
            order(new_user(), prompt)
        env = {**os.environ, **database_env(), "SIMULATOR_URL": settings.SIMULATOR_URL}
        stopped = subprocess.Popen([*MANAGE, "shell", "--no-imports", "-c", STOPPABLE_PUMP], env=env)
        try:
            wait_until(lambda: len(shop.jobs) == 2)
            with transaction.atomic():  # not while it holds the lock of a whole SQLite database
                os.kill(stopped.pid, signal.SIGSTOP)
            # Time goes by: its leases end.
            long_ago = timezone.now() - timedelta(seconds=1)
            Video.objects.filter(status=Status.SUBMITTING).update(next_attempt_at=long_ago)
            PumpSlot.objects.update(until=long_ago)
            wait_until(
                lambda: dispatcher.run() and Video.objects.filter(status=Status.IN_PROGRESS).count() == 5
            )
            assert shop.sold == Counter(prompts)
            shop.release.set()
            os.kill(stopped.pid, signal.SIGCONT)
            stopped.wait(TEST_TIMEOUT)
        finally:
            stopped.kill()
            stopped.wait()
        assert shop.sold == Counter(prompts)
    refs = set(Video.objects.values_list("ref", flat=True))
    assert refs == {job["id"] for job in shop.jobs}


def test_A79_a_request_does_not_leave_after_its_lease_and_costs_no_try_of_the_channel(settings, monkeypatch):
    """Nobody has overtaken it: it goes back into the queue, and is sent then."""
    monkeypatch.setattr(timing, "LONGEST_WAIT", 1.0)
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    shop = Shop()
    steady, renew_leases, stood_still = timing.clock, lifecycle.renew_leases, []

    def stand_still_once(requests):
        if not stood_still:
            stood_still.append(timing.LEASE)
        return renew_leases(requests)

    stand_still_once.for_many = True
    monkeypatch.setattr(lifecycle, "renew_leases", stand_still_once)
    monkeypatch.setattr(timing, "clock", lambda: steady() + sum(stood_still))
    with shop.open() as settings.SIMULATOR_URL:
        video = order(new_user())
        wait_until(lambda: dispatcher.run() and again(video).status == Status.IN_PROGRESS)
        assert len(shop.jobs) == 1
    moves = list(video.events.values_list("went_to", flat=True))
    assert moves == ["queued", "submitting", "queued", "submitting", "in_progress"]
    assert Channel.objects.get(pk=video.channel_id).failures == 0


def renews(video, came_from):
    [is_renewed] = lifecycle.renew_leases([(video, came_from)])
    return is_renewed


def test_a_lease_is_held_only_by_who_has_the_row_as_it_is():
    video = submitting(new_user())
    stale = again(video)
    assert renews(video, Status.QUEUED)
    lifecycle.mark_unconfirmed(again(video), "another dispatcher took it for dead")
    assert not renews(stale, Status.QUEUED)
    ended = submitting(new_user())
    Video.objects.filter(pk=ended.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert not renews(ended, Status.QUEUED)


def test_a_lease_that_another_dispatcher_has_claimed_is_not_renewed():
    video = submitting(new_user())
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert leases.claim(10, holder="another/1") == [video]
    assert not renews(video, Status.QUEUED)


def test_leases_are_renewed_together_and_each_by_itself():
    videos = [submitting(new_user()) for _ in range(4)]
    lifecycle.mark_unconfirmed(again(videos[1]), "another dispatcher took it for dead")
    soon = timezone.now() + timedelta(seconds=1)
    Video.objects.update(next_attempt_at=soon)
    assert lifecycle.renew_leases([(video, Status.QUEUED) for video in videos]) == [True, False, True, True]
    assert [again(video).next_attempt_at > soon for video in videos] == [True, False, True, True]


def test_a_request_counts_as_posted_when_it_leaves_however_long_it_waited_before():
    """Its lost reply is looked for from then on: a job that the list does not show yet would be bought again."""
    hour = timedelta(hours=1)
    first, repeated = submitting(new_user()), submitting(new_user())
    Video.objects.update(posted_at=timezone.now() - hour)
    first, repeated = again(first), again(repeated)
    assert renews(first, Status.QUEUED)
    assert renews(repeated, Status.UNCONFIRMED)
    for video, age in ((first, timedelta()), (repeated, hour)):
        assert video.posted_at == again(video).posted_at
        assert timezone.now() - video.posted_at - age < timedelta(minutes=10)


# --- Late answers ---------------------------------------------------------------------------------


@without(
    "the acceptance of a late answer",
    "videos.generation.lifecycle.accept",
    never("current.ref is None"),
    attack="A79",
)
def test_a_late_answer_is_written_down_although_the_request_was_taken_for_lost():
    asking = submitting(new_user())
    lifecycle.mark_unconfirmed(again(asking), "another dispatcher saw its lease end")
    assert lifecycle.accept(asking, JobState(ref="job-1", status="queued"))
    assert (again(asking).status, again(asking).ref) == (Status.IN_PROGRESS, "job-1")
    assert lifecycle.accept(asking, JobState(ref="job-1", status="queued"))
    assert entries(asking) == [("charge", -10)]


def test_a_late_answer_comes_before_a_second_request():
    asking, sender = taken_for_lost_and_admitted_again()
    assert lifecycle.accept(asking, JobState(ref="job-1", status="queued"))
    # The second request has not left, and will not.
    assert not renews(sender, Status.QUEUED)
    assert again(asking).ref == "job-1"


def test_a_late_answer_comes_before_a_second_request_in_the_same_transaction():
    asking, sender = taken_for_lost_and_admitted_again()
    other = submitting(new_user())
    calls = [
        (lifecycle.renew_leases, (other, Status.QUEUED)),
        (lifecycle.accept, (asking, JobState(ref="job-1", status="queued"))),
        (lifecycle.renew_leases, (sender, Status.QUEUED)),
    ]
    assert write_queue._in_one_transaction(calls) == [(True, None), (True, None), (False, None)]


def taken_for_lost_and_admitted_again():
    asking = submitting(new_user())
    lifecycle.mark_unconfirmed(again(asking), "another dispatcher saw its lease end")
    lifecycle.requeue(again(asking))
    sender = again(asking)
    lifecycle.mark_submitting(sender)
    return asking, sender


def test_a_second_job_of_one_video_is_told_and_changes_nothing(caplog):
    asking = submitting(new_user())
    first = again(asking)
    assert lifecycle.accept(first, JobState(ref="job-1", status="queued"))
    assert not lifecycle.accept(asking, JobState(ref="job-2", status="queued"))
    assert again(asking).ref == "job-1"
    assert "job-2 was bought" in caplog.text


def test_a_late_answer_does_not_bring_back_what_was_refunded(caplog):
    asking = submitting(new_user())
    lifecycle.fail(again(asking), "stopped")
    assert not lifecycle.accept(asking, JobState(ref="job-1", status="queued"))
    assert (again(asking).status, entries(asking)) == ("failed", [("charge", -10), ("refund", 10)])
    assert "job-1 was bought" in caplog.text


def test_the_list_is_no_answer_to_a_request_that_somebody_else_has_sent_again():
    """Only an answer to the video's own request counts whoever holds it; a likeness in a list does not."""
    reading = submitting(new_user())
    lifecycle.mark_unconfirmed(reading, "cut off")
    lifecycle.requeue(again(reading))
    assert lifecycle.adopt(reading, Found([JobState(ref="job-1", status="queued")])) != lifecycle.ADOPTED
    assert again(reading).status == Status.QUEUED


def submitting(user):
    video = order(user)
    lifecycle.mark_submitting(video)
    return again(video)


def again(video):
    return Video.objects.get(pk=video.pk)
