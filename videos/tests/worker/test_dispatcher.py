"""The engine: slots, leases, claims, batches, and what is left when it dies."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.conf import Conf

from aivideo import health
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
from tests.support.video_server import job, server
from tests.support.worker import dispatching
from videos import child_processes, queue, tasks
from videos.catalogue import routing
from videos.generation import batches, lifecycle
from videos.models import Channel, PumpSlot, Status, Video
from videos.providers.base import JobState
from videos.worker import dispatcher, leases, supervisor, write_queue
from videos.worker.dispatcher import Dispatcher
from videos.worker.supervisor import Supervisor

pytestmark = pytest.mark.django_db(transaction=True)


def in_progress(user, **fields):
    video = order(user)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
    Video.objects.filter(pk=video.pk).update(**{"next_attempt_at": timezone.now(), **fields})
    return Video.objects.get(pk=video.pk)


def test_a_video_goes_from_order_to_file(simulator, monkeypatch):
    monkeypatch.setattr(Conf, "CLUSTER_NAME", queue.DISPATCH)
    video = order(new_user(), seconds=4)
    tasks.generate(str(video.pk))
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.status, video.width, video.height, round(video.duration)) == ("completed", 1280, 720, 4)
    assert video.file.size == video.bytes
    assert video.poster.size > 1000
    assert entries(video) == [("charge", -10)]


def test_a_wake_up_that_the_other_cluster_gets_is_passed_on(simulator, monkeypatch):
    """It is from the version that had only one, or from a schedule. A dispatcher would be cut off there after minutes."""
    video = order(new_user())
    for wake_up in (partial(tasks.generate, str(video.pk)), tasks.sweep):
        before = queued_messages()
        wake_up()
        assert (queued_messages(), Video.objects.get(pk=video.pk).status) == (before + 1, "queued")


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


def test_a_lease_from_a_clock_that_was_set_back_keeps_nobody_from_starting_a_dispatcher():
    """Its dispatcher was killed while the clock was an hour fast: until then nobody would have made any video."""
    order(new_user())
    slot = leases.acquire_slot()
    worker, messages = Supervisor("this-worker"), queued_messages()
    worker.mend()
    assert (worker.waiting_since, queued_messages()) == (None, messages)
    PumpSlot.objects.filter(pk=slot.pk).update(until=timezone.now() + timedelta(hours=1))
    worker.mend()
    assert worker.waiting_since is not None
    assert queued_messages() == messages + 1
    assert health.dispatcher() is None
    Video.objects.update(queued_at=timezone.now() - timedelta(minutes=1))
    assert "no dispatcher holds a lease" in health.dispatcher()


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
    monkeypatch.setattr(dispatcher, "LIFETIME", 1)
    user = new_user()
    lost, fine = order(user, preset="no-such-preset"), order(user)
    wait_until(
        lambda: dispatcher.run() and Video.objects.filter(pk=fine.pk, status=Status.COMPLETED).exists()
    )
    Video.objects.filter(pk=lost.pk).update(queued_at=timezone.now() - timedelta(days=1))
    pump_until_done(40)
    assert Video.objects.get(pk=lost.pk).error_code == "not_started"
    assert Video.objects.get(pk=fine.pk).status == Status.COMPLETED
    assert entries(lost) == [("charge", -10), ("refund", 10)]


def test_a_dispatcher_wakes_its_successor_while_anything_is_unfinished(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 0)
    order(new_user())
    before = queued_messages()
    dispatcher.run()
    assert queued_messages() == before + 1


def test_a_dispatcher_at_the_end_of_its_life_finishes_its_requests_beside_its_successor(
    settings, monkeypatch
):
    monkeypatch.setattr(dispatcher, "LIFETIME", 1)
    sold, answers = [], threading.Event()

    def answer(method, path):
        if method == "GET":
            return 200, job(id=path.rpartition("/")[2], status="failed", error="seen")
        sold.append(f"job-{len(sold)}")
        ref = sold[-1]
        if ref == "job-0":
            answers.wait(TEST_TIMEOUT)
        return 200, job(id=ref, status="queued")

    def dispatch():
        dispatcher.run()
        connection.close()

    with server(answer) as settings.SIMULATOR_URL:
        slow = order(new_user())
        predecessor = threading.Thread(target=dispatch)
        predecessor.start()
        wait_until(lambda: sold)
        wait_until(lambda: not PumpSlot.objects.filter(until__gt=timezone.now()).exists())
        quick = order(new_user())
        wait_until(lambda: dispatcher.run() and status_of(quick) == Status.FAILED)
        assert (status_of(slow), predecessor.is_alive()) == (Status.SUBMITTING, True)
        answers.set()
        predecessor.join(TEST_TIMEOUT)
        assert Video.objects.get(pk=slow.pk).ref == "job-0"
        pump_until_done(30)
    assert sold == ["job-0", "job-1"]


@pytest.mark.parametrize("away", [OperationalError("no connection"), ConnectionError("no queue")])
def test_requests_are_finished_though_the_dispatcher_cannot_hand_over(settings, monkeypatch, away):
    """What they bring is paid for. The database or the queue may be away for a moment only."""
    monkeypatch.setattr(dispatcher, "LIFETIME", 1)
    is_over, calls = threading.Event(), []
    wake_successor = Dispatcher.wake_successor

    def unlucky(self):
        calls.append(self)
        if len(calls) == 1:
            is_over.set()
            raise away
        wake_successor(self)

    monkeypatch.setattr(Dispatcher, "wake_successor", unlucky)

    def answer(method, path):
        if method == "POST":
            is_over.wait(TEST_TIMEOUT)
            time.sleep(0.5)
        return 200, job(id="job-1", status="queued")

    with server(answer) as settings.SIMULATOR_URL:
        video = order(new_user())
        before = queued_messages()
        dispatcher.run()
    assert (Video.objects.get(pk=video.pk).ref, len(calls)) == ("job-1", 2)
    assert queued_messages() == before + 1
    assert not PumpSlot.objects.filter(until__gt=timezone.now()).exists()


@pytest.mark.parametrize("cause", [psycopg.errors.LockNotAvailable("locked"), None])
def test_a_periodic_duty_that_fails_holds_up_neither_videos_nor_the_others(simulator, monkeypatch, cause):
    def fail():
        if cause is None:
            raise ValueError("a bug")
        raise OperationalError("another session has locked a row") from cause

    for module, duty in ((leases, "free_orphans"), (leases, "reset_unreachable"), (batches, "advance")):
        monkeypatch.setattr(module, duty, fail)
    rerouted = []
    monkeypatch.setattr(routing, "reroute_waiting", lambda: rerouted.append(True))
    video = order(new_user())
    pump_until_done(30)
    assert status_of(video) == Status.COMPLETED
    assert rerouted


def test_a_step_that_ends_after_the_next_one_began_leaves_that_one_alone():
    """A rerouted video may be admitted in the same transaction, before its old step has ended."""
    video = order(new_user())

    async def two_steps():
        async with dispatching() as engine:
            engine.channels[video.channel_id] = video.channel
            first, second = asyncio.Event(), asyncio.Event()
            for event in (first, second):
                engine.start_step(video, lambda *_, event=event: event.wait())
            new = engine.in_flight[video.pk]
            first.set()
            await asyncio.sleep(0.1)
            assert engine.in_flight == {video.pk: new}
            second.set()
            await asyncio.sleep(0.1)
            assert engine.in_flight == {}

    asyncio.run(two_steps())


def test_a_worker_that_stops_frees_the_slots_that_its_processes_take_meanwhile(monkeypatch):
    """A cluster that has to stop first works off the messages that it has fetched."""
    worker = Supervisor.__new__(Supervisor)
    worker.name = "this-worker"
    is_stubborn = multiprocessing.Event()

    def be_stubborn():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        is_stubborn.set()
        time.sleep(60)

    worker.clusters = {"dispatch": child_processes.fork("stubborn", be_stubborn, signal.SIGKILL)}
    assert is_stubborn.wait(TEST_TIMEOUT)
    monkeypatch.setattr(supervisor, "STOP", 2)
    monkeypatch.setenv("AIVIDEO_WORKER", "this-worker")

    def acquire():
        time.sleep(0.7)
        leases.acquire_slot()
        connection.close()

    thread = threading.Thread(target=acquire)
    thread.start()
    worker.stop()
    thread.join()
    assert PumpSlot.objects.exists()
    assert not PumpSlot.objects.filter(until__gt=timezone.now()).exists()


def test_a_worker_that_cannot_begin_leaves_no_cluster_behind(monkeypatch):
    """So that whoever watches over it can start it again."""
    worker = Supervisor("this-worker")

    def fail():
        raise OperationalError("too many clients")

    monkeypatch.setattr(worker, "report", fail)
    monkeypatch.setattr(supervisor, "STOP", 2)
    with pytest.raises(OperationalError):
        worker.begin()
    assert [cluster.is_alive() for cluster in worker.clusters.values()] == [True, True]
    worker.stop()
    assert [cluster.is_alive() for cluster in worker.clusters.values()] == [False, False]


def status_of(video):
    return Video.objects.get(pk=video.pk).status


def test_a_channel_that_staff_change_is_asked_at_its_new_address_by_the_same_dispatcher(
    settings, monkeypatch
):
    monkeypatch.setattr(dispatcher, "REFRESH", 0)
    settings.USE_MOCK_SORA = False
    asked = {"old": [], "new": []}

    def at(name):
        def answer(method, path):
            asked[name].append(method)
            return 200, job(status="in_progress")

        return server(answer)

    async def turns():
        async with dispatching() as engine:
            while "GET" not in asked["new"]:
                await engine.turn()
                await asyncio.sleep(0.05)
                if asked["old"] and not asked["new"]:
                    channel = Channel.objects.filter(pk=video.channel_id)
                    await engine.db(partial(channel.update, base_url=new))

    with at("old") as old, at("new") as new:
        Channel.objects.filter(slug="openai").update(base_url=old)
        video = order(new_user())
        asyncio.run(asyncio.wait_for(turns(), TEST_TIMEOUT))


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


def test_the_supervisor_starts_the_clusters_again_when_they_are_killed(simulator, settings):
    """A worker of its own process on the test database, whose clusters are killed while a video is running."""
    env = {**os.environ, "SIMULATOR_URL": simulator, **database_env()}
    worker = subprocess.Popen([*MANAGE, "videoworker"], env=env)
    try:
        video = order(new_user(), "Slow enough to be killed [sim:slow]")
        wait_until(lambda: Video.objects.get(pk=video.pk).status == Status.IN_PROGRESS)
        clusters = children_of(worker.pid)
        assert len(clusters) == 2
        for cluster in clusters:
            os.killpg(cluster, signal.SIGKILL)
        wait_until(lambda: Video.objects.get(pk=video.pk).status == Status.COMPLETED)
        assert len(set(children_of(worker.pid)) - set(clusters)) == 2
    finally:
        worker.terminate()
        assert worker.wait(TEST_TIMEOUT) == 0
    assert children_of(worker.pid) == []


def test_chores_that_stand_still_keep_no_video_waiting(simulator, settings):
    """Such as deliveries whose receivers all hang."""
    worker = subprocess.Popen(
        [*MANAGE, "videoworker"], env={**os.environ, "SIMULATOR_URL": simulator, **database_env()}
    )
    dispatch, chores = "dispatch", settings.Q_CLUSTER["name"]
    # Workers, and a pusher and a monitor.
    dispatchers = settings.Q_CLUSTER["ALT_CLUSTERS"]["dispatch"]["workers"] + 2
    try:
        wait_until(lambda: {dispatch, chores} == set(map(cluster_of, children_of(worker.pid))))
        wait_until(lambda: processes_by_cluster(worker.pid) == {dispatch: dispatchers, chores: 2 + 2})
        chores = next(pid for pid in children_of(worker.pid) if cluster_of(pid) == chores)
        os.killpg(chores, signal.SIGSTOP)
        for _ in range(3):
            queue.deliver_later()
        video = order(new_user())
        wait_until(lambda: status_of(video) == Status.COMPLETED)
        os.killpg(chores, signal.SIGCONT)
    finally:
        worker.terminate()
        assert worker.wait(TEST_TIMEOUT) == 0


def processes_by_cluster(worker):
    """How many processes the guard of each cluster has."""
    return {
        cluster_of(cluster): len(children_of(guard))
        for cluster in children_of(worker)
        for guard in children_of(cluster)
    }


def cluster_of(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_nothing_of_a_cluster_outlives_its_supervisor_and_its_guard(simulator):
    """When both are killed there is nobody left to end the others, and each is as large as a site."""
    worker = subprocess.Popen([*MANAGE, "videoworker"], env={**os.environ, **database_env()})
    family = {worker.pid}

    def is_complete():
        """The supervisor, and of each cluster its main process, guard, workers, pusher and monitor."""
        generation = {worker.pid}
        while generation:
            generation = {child for pid in generation for child in children_of(pid)}
            family.update(generation)
        return len(family) >= 1 + 2 * 6

    wait_until(is_complete)
    for cluster in children_of(worker.pid):
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
