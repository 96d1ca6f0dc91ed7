"""The engine: slots, leases, claims, batches, and what is left when it dies."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tests.support.database import database_env
from tests.support.fixtures import (
    MANAGE,
    TEST_TIMEOUT,
    entries,
    new_user,
    order,
    pump_until_done,
    queued_messages,
    scaled_timeout,
    wait_until,
)
from videos import tasks
from videos.generation import lifecycle
from videos.models import PumpSlot, Status, Video
from videos.providers.base import JobState
from videos.worker import dispatcher, leases, write_queue

pytestmark = pytest.mark.django_db(transaction=True)


def in_progress(user, **fields):
    video = order(user)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
    Video.objects.filter(pk=video.pk).update(**{"next_attempt_at": timezone.now(), **fields})
    return Video.objects.get(pk=video.pk)


def test_a_video_goes_from_order_to_file(simulator):
    video = order(new_user(), seconds=4)
    tasks.generate(str(video.pk))
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.status, video.width, video.height, round(video.duration)) == ("completed", 1280, 720, 4)
    assert video.file.size == video.bytes
    assert video.poster.size > 1000
    assert entries(video) == [("charge", -10)]


def test_a_dispatcher_with_nothing_to_do_ends_at_once():
    began = time.monotonic()
    assert dispatcher.run() is True
    assert time.monotonic() - began < scaled_timeout(2)
    assert not PumpSlot.objects.filter(until__gt=timezone.now()).exists()


def test_a_task_that_finds_a_live_dispatcher_leaves_everything_to_it():
    held = [leases.acquire_slot() for _ in range(leases.SLOTS)]
    assert None not in held
    assert leases.acquire_slot() is None
    assert dispatcher.run() is False


def test_the_slot_of_a_dispatcher_that_died_is_free_after_its_lease():
    for _ in range(leases.SLOTS):
        slot = leases.acquire_slot()
    PumpSlot.objects.filter(pk=slot.pk).update(until=timezone.now() - timedelta(seconds=1))
    successor = leases.acquire_slot()
    assert successor.number == slot.number
    assert leases.renew(slot, []) is False
    assert leases.renew(successor, []) is True


def test_a_lease_from_a_clock_that_was_set_back_is_no_lease():
    for _ in range(leases.SLOTS):
        leases.acquire_slot()
    PumpSlot.objects.update(until=timezone.now() + timedelta(hours=1))
    assert leases.acquire_slot() is not None


def test_a_claim_takes_what_is_due_and_leases_it():
    user = new_user()
    due, later = in_progress(user), in_progress(user, next_attempt_at=timezone.now() + timedelta(seconds=40))
    assert [video.pk for video in leases.claim(10)] == [due.pk]
    assert leases.claim(10) == []
    assert Video.objects.get(pk=later.pk).next_attempt_at == later.next_attempt_at


def test_a_slice_begins_with_what_a_jumped_clock_has_put_far_into_the_future():
    video = in_progress(new_user(), next_attempt_at=timezone.now() + timedelta(hours=1))
    assert leases.claim(10) == []
    leases.reset_unreachable()
    assert [found.pk for found in leases.claim(10)] == [video.pk]


def test_a_claim_leaves_finished_videos_alone():
    video = in_progress(new_user())
    lifecycle.fail(video, "generation_failed")
    assert leases.claim(10) == []


def test_two_pumps_never_claim_the_same_video():
    user = new_user(username="rich")
    expected = {in_progress(user).pk for _ in range(10)}
    claimed = []

    def claim():
        while videos := leases.claim(2):
            claimed.extend(video.pk for video in videos)
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(expected)
    assert set(claimed) == expected


def test_a_dispatcher_renews_what_it_has_in_hand():
    video = in_progress(new_user())
    leases.claim(10)
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now())
    assert leases.renew(leases.acquire_slot(), [video.pk])
    assert leases.claim(10) == []


def test_one_broken_write_in_a_batch_does_not_take_the_others_with_it():
    users = [new_user() for _ in range(3)]

    def rename(user, name):
        type(user).objects.filter(pk=user.pk).update(first_name=name)
        if name == "broken":
            raise ValueError(name)
        return name

    async def run():
        db = write_queue.WriteQueue()
        calls = zip(users, ["a", "broken", "c"], strict=True)
        answers = await asyncio.gather(
            *(db(rename, user, name) for user, name in calls), return_exceptions=True
        )
        await db.close()
        return answers

    answers = asyncio.run(run())
    for user in users:
        user.refresh_from_db()
    assert [str(answer) for answer in answers] == ["a", "broken", "c"]
    assert [user.first_name for user in users] == ["a", "", "c"]


def test_a_video_whose_preset_is_gone_does_not_stop_the_others(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "SLICE", 1)
    user = new_user()
    lost, fine = order(user, preset="no-such-preset"), order(user)
    wait_until(
        lambda: dispatcher.run() and Video.objects.filter(pk=fine.pk, status=Status.COMPLETED).exists()
    )
    Video.objects.filter(pk=lost.pk).update(queued_at=timezone.now() - timedelta(days=1))
    pump_until_done(40)
    assert Video.objects.get(pk=lost.pk).error_code == "timed_out"
    assert Video.objects.get(pk=fine.pk).status == Status.COMPLETED
    assert entries(lost) == [("charge", -10), ("refund", 10)]


def test_a_dispatcher_wakes_its_successor_while_anything_is_unfinished(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "SLICE", 0)
    order(new_user())
    before = queued_messages()
    dispatcher.run()
    assert queued_messages() == before + 1


def test_a_dispatcher_without_its_slot_winds_down_and_wakes_no_successor(simulator, monkeypatch):
    monkeypatch.setenv("AIVIDEO_WORKER", "this-worker")
    order(new_user(), "A long one [sim:stuck]")

    def revoke():
        time.sleep(2)
        leases.revoke_slots("this-worker")
        connection.close()

    before = queued_messages()
    thread = threading.Thread(target=revoke)
    thread.start()
    began = time.monotonic()
    dispatcher.run()
    thread.join()
    assert time.monotonic() - began < scaled_timeout(8)
    assert queued_messages() == before
    Video.objects.all().delete()


def test_the_supervisor_starts_the_cluster_again_when_it_is_killed(simulator, settings):
    """A worker of its own process on the test database, whose cluster is killed while a video is running."""
    env = {**os.environ, "SIMULATOR_URL": simulator, **database_env()}
    worker = subprocess.Popen([*MANAGE, "videoworker"], env=env)
    try:
        video = order(new_user(), "Slow enough to be killed [sim:slow]")
        wait_until(lambda: Video.objects.get(pk=video.pk).status == Status.IN_PROGRESS)
        cluster = children_of(worker.pid)
        assert cluster
        os.killpg(cluster[0], signal.SIGKILL)
        wait_until(lambda: Video.objects.get(pk=video.pk).status == Status.COMPLETED)
    finally:
        worker.terminate()
        assert worker.wait(TEST_TIMEOUT) == 0
    assert children_of(worker.pid) == []


def test_nothing_of_a_cluster_outlives_its_supervisor_and_its_guard(simulator):
    """When both are killed there is nobody left to end the others, and each is as large as a site."""
    worker = subprocess.Popen([*MANAGE, "videoworker"], env={**os.environ, **database_env()})
    family = {worker.pid}

    def is_complete():
        """Supervisor, cluster, guard, and the guard's workers, pusher and monitor."""
        generation = {worker.pid}
        while generation:
            generation = {child for pid in generation for child in children_of(pid)}
            family.update(generation)
        return len(family) >= 6

    wait_until(is_complete)
    (cluster,) = children_of(worker.pid)
    (guard,) = children_of(cluster)
    os.kill(guard, signal.SIGKILL)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in family))


def is_alive(pid):
    state = subprocess.run(["ps", "-o", "state=", str(pid)], capture_output=True, text=True).stdout.strip()
    return state not in ("", "Z")


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(line) for line in found.split()]
