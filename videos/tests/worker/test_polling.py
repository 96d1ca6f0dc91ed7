"""Running jobs that a dispatcher holds: polled by its own schedule, and written only when something changes."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from aivideo import health
from tests.support.fixtures import new_user, order
from tests.support.sabotage import insert_first, without
from tests.support.worker import again, dispatching
from videos import timing
from videos.generation import lifecycle, poll_results
from videos.models import Channel, PumpSlot, Status, Video
from videos.providers.base import JobState, Unavailable
from videos.worker import leases, provider_webhooks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Every job is polled in every turn."""
    monkeypatch.setattr(timing, "next_poll", lambda _video, _now: 0.0)


class Rendering:
    """A provider that renders for ever, unless the test says something else."""

    def __init__(self):
        self.polls = []
        self.percent = 10
        self.status = "in_progress"
        self.is_away = False

    async def check(self, ref):
        self.polls.append(ref)
        if self.is_away:
            raise Unavailable("away")
        return JobState(ref=ref, status=self.status, progress=self.percent)

    async def close(self):
        pass


def running(ref="job-1", **fields):
    video = order(new_user())
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=ref, status="in_progress"))
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now(), **fields)
    return again(video)


@asynccontextmanager
async def turns(provider):
    """A callable that takes a number of turns of one dispatcher."""
    async with dispatching() as engine:
        engine.providers = dict.fromkeys(Channel.objects.values_list("pk", flat=True), provider)

        async def take(count):
            for _ in range(count):
                await engine.turn()
                await asyncio.gather(*(item.task for item in engine.in_flight.values()))

        take.engine = engine
        yield take


def held(video):
    row = again(video)
    return row.held_by != "" and row.next_attempt_at > timezone.now() + timedelta(seconds=timing.HOLD / 2)


async def _play(provider, story):
    async with turns(provider) as take:
        await story(take)


def play(story, provider=None):
    """Play a story, an asynchronous function of `take`, whose database calls are made in the write queue's thread."""
    asyncio.run(_play(provider or Rendering(), story))


def test_a_poll_that_brings_nothing_new_writes_nothing():
    """Not even the first one: the claim of the job was the write."""
    video, provider = running(progress=10), Rendering()
    written = []

    async def story(take):
        take.engine.tools.polling.db = lambda *call: written.append(call)
        await take(3)
        assert await take.engine.db(held, video)

    play(story, provider)
    assert (len(provider.polls), written) == (3, [])


def test_progress_is_written_and_leaves_the_lease_alone():
    video, provider = running(), Rendering()

    async def story(take):
        await take(1)
        before = await take.engine.db(again, video)
        provider.percent = 55
        await take(1)
        after = await take.engine.db(again, video)
        assert (before.progress, after.progress) == (10, 55)
        assert (after.next_attempt_at, after.held_by) == (before.next_attempt_at, before.held_by)

    play(story, provider)


def test_a_lease_that_is_about_to_end_is_renewed(monkeypatch):
    video = running()

    async def story(take):
        monkeypatch.setattr(timing, "HOLD", timing.LEASE)
        await take(1)
        short = (await take.engine.db(again, video)).next_attempt_at
        monkeypatch.undo()
        monkeypatch.setattr(timing, "next_poll", lambda _video, _now: 0.0)
        await take(1)
        assert (await take.engine.db(again, video)).next_attempt_at > short + timedelta(
            seconds=timing.HOLD / 2
        )

    play(story)


def test_a_dispatcher_that_falls_behind_with_its_polls_renews_the_leases_in_time():
    """Or each job would pass to another dispatcher before its next poll, which would poll it as well."""
    video = running(progress=10)

    async def story(take):
        await take(1)
        polling = take.engine.tools.polling
        before = await take.engine.db(again, video)
        for late, is_renewed in ((10, False), (70, True)):
            number, job = polling.planned[video.pk]
            job.held_until = timing.clock() + timing.HOLD / 2
            polling.queues[video.channel_id] = [(time.monotonic() - late, number, video.pk)]
            await take(1)
            after = await take.engine.db(again, video)
            assert (after.next_attempt_at > before.next_attempt_at) == is_renewed

    play(story)


def test_a_job_whose_lease_has_ended_is_left_to_whoever_claims_it(monkeypatch):
    """More jobs are due than can be polled in time: without this, two dispatchers would poll the same ones."""
    running()

    async def story(take):
        await take(1)
        polling = take.engine.tools.polling
        room = take.engine.room()
        monkeypatch.setattr(timing, "clock", lambda _now=timing.clock: _now() + timing.HOLD + 1)
        assert (polling.due(room), polling.planned) == ([], {})

    play(story)


def test_a_webhook_and_staff_make_a_held_job_due_at_once(monkeypatch):
    video, provider = running(), Rendering()

    async def story(take):
        for hurry in (provider_webhooks._make_due, lambda _ref: lifecycle.retry_now(again(video))):
            monkeypatch.setattr(timing, "next_poll", lambda _video, _now: 60.0)
            await take(2)
            polls = len(provider.polls)
            assert await take.engine.db(hurry, "job-1")
            await take(2)
            assert len(provider.polls) == polls + 1

    play(story, provider)


def test_a_provider_that_is_away_is_asked_again_after_a_backoff_and_then_held_again():
    video, provider = running(), Rendering()

    async def story(take):
        await take(1)
        provider.is_away = True
        await take(1)
        row = await take.engine.db(again, video)
        assert (
            row.attempts,
            row.next_attempt_at < timezone.now() + timedelta(seconds=timing.LONGEST_WAIT),
        ) == (1, True)
        polls = len(provider.polls)
        await take(2)
        assert len(provider.polls) == polls
        provider.is_away = False
        await take.engine.db(lambda: Video.objects.update(next_attempt_at=Now()))
        await take(1)
        assert await take.engine.db(held, video)
        assert (await take.engine.db(again, video)).attempts == 0

    play(story, provider)


def test_a_job_that_staff_have_stopped_is_not_polled_for_longer_than_its_lease(monkeypatch):
    video, provider = running(), Rendering()

    async def story(take):
        await take(1)
        await take.engine.db(lambda: lifecycle.fail(again(video), "stopped"))
        provider.percent = 60  # anything that has to be written shows that the video has changed
        await take(1)
        polls = len(provider.polls)
        await take(3)
        assert len(provider.polls) == polls

    play(story, provider)
    assert again(video).status == Status.FAILED


def test_a_job_that_another_dispatcher_claims_is_its_own_from_then_on():
    video, provider = running(), Rendering()

    async def story(take):
        await take(1)

        def take_over():
            Video.objects.update(next_attempt_at=Now())
            return leases.claim(10, holder="another/1")

        assert await take.engine.db(take_over)
        provider.percent = 70
        await take(1)
        polls = len(provider.polls)
        await take(3)
        row = await take.engine.db(again, video)
        assert (len(provider.polls), row.held_by, row.progress) == (polls, "another/1", 10)

    play(story, provider)


def test_a_job_that_ends_is_settled_though_its_row_was_not_written_for_a_while():
    video, provider = running(), Rendering()

    async def story(take):
        await take(3)
        provider.status = "failed"
        await take(1)

    play(story, provider)
    assert again(video).status == Status.FAILED


def test_a_render_that_takes_too_long_times_out_though_nothing_changes(settings):
    video, provider = running(), Rendering()

    async def story(take):
        await take(2)
        settings.JOB_DEADLINE_SECONDS = 0
        await take(1)

    play(story, provider)
    assert (again(video).status, again(video).error_code) == (Status.FAILED, "timed_out")


@pytest.mark.parametrize("error", [OperationalError("the connection was closed"), ValueError("a bug")])
def test_a_poll_whose_outcome_cannot_be_written_is_repeated_soon(monkeypatch, error):
    """Its row is leased for minutes, and nobody else looks at what a living dispatcher holds."""
    video, provider = running(), Rendering()

    def fail(*_):
        raise error

    async def story(take):
        await take(2)
        monkeypatch.setattr(poll_results, "record", fail)
        monkeypatch.setattr(lifecycle, "retry_later", fail)
        provider.percent = 60
        monkeypatch.setattr(timing, "LEASE", 0.0)
        await take(1)
        monkeypatch.undo()
        await take(1)
        assert (await take.engine.db(again, video)).progress == 60

    play(story, provider)


def test_a_video_that_is_being_saved_is_not_polled_by_an_older_plan():
    video, provider = running(), Rendering()

    async def story(take):
        await take(1)
        await take.engine.db(lambda: Video.objects.update(next_attempt_at=Now()))
        assert video.pk in take.engine.tools.polling.planned
        task = asyncio.Event()
        take.engine.start_step(again_, lambda *_: task.wait())
        assert video.pk not in take.engine.tools.polling.planned
        task.set()

    again_ = again(video)
    play(story, provider)


# --- What a dispatcher leaves ---------------------------------------------------------------------


def hold(video):
    """A dispatcher that holds the video, of which nothing is heard any more."""
    slot = leases.acquire_slot()
    until = timezone.now() + timedelta(seconds=timing.HOLD)
    Video.objects.filter(pk=video.pk).update(held_by=slot.owner, next_attempt_at=until)
    return slot


@without(
    "that jobs of dead dispatchers are looked for",
    "videos.worker.leases.free_orphans",
    insert_first("return"),
)
def test_what_a_dead_dispatcher_held_is_due_for_the_next_one_at_once():
    video, provider = running(), Rendering()
    PumpSlot.objects.filter(pk=hold(video).pk).update(until=timezone.now() - timedelta(seconds=1))

    async def story(take):
        await take.engine.maintain()
        await take(1)

    play(story, provider)
    assert provider.polls == ["job-1"]


def test_a_living_dispatcher_notices_that_another_has_died():
    provider = Rendering()
    running()
    in_a_while = timezone.now() + timedelta(seconds=timing.HOLD)

    def die():
        Video.objects.update(held_by="gone/1", next_attempt_at=in_a_while)
        PumpSlot.objects.create(number=9, owner="gone/1", until=timezone.now() - timedelta(seconds=1))

    async def story(take):
        await take.engine.maintain()
        await take.engine.db(die)
        await take.engine.maintain()
        await take(1)

    play(story, provider)
    assert provider.polls == ["job-1"]


def test_what_a_living_dispatcher_holds_is_left_alone():
    video = running()
    slot = hold(video)
    leases.free_orphans()
    assert (again(video).held_by, held(video)) == (slot.owner, True)


def test_a_slot_that_is_given_back_frees_what_its_dispatcher_held():
    video = running()
    leases.release(hold(video))
    assert (again(video).held_by, again(video).next_attempt_at <= timezone.now()) == ("", True)


def test_a_dispatcher_that_ends_leaves_nothing_held():
    video = running()

    async def story(take):
        await take(1)
        assert await take.engine.db(held, video)
        await take.engine.hand_over()

    play(story)
    assert (again(video).held_by, again(video).next_attempt_at <= timezone.now()) == ("", True)


def test_however_many_jobs_a_dispatcher_held_all_of_them_come_due(monkeypatch):
    monkeypatch.setattr(leases, "FREE", 2)
    videos = [running(f"job-{n}") for n in range(5)]
    slot = hold(videos[0])
    Video.objects.update(held_by=slot.owner, next_attempt_at=timezone.now() + timedelta(seconds=timing.HOLD))
    leases.release(slot)
    left = [Video.objects.exclude(held_by="").count()]
    for _ in range(3):
        leases.free_orphans()
        left.append(Video.objects.exclude(held_by="").count())
    assert left == [3, 1, 0, 0]


def test_a_worker_that_takes_the_slot_of_a_dead_dispatcher_leaves_its_jobs_to_be_found(monkeypatch):
    video = running()
    dead = hold(video)
    PumpSlot.objects.update(until=timezone.now() - timedelta(seconds=1))
    monkeypatch.setenv("AIVIDEO_WORKER", "another")
    assert leases.acquire_slot().number == dead.number
    leases.free_orphans()
    assert again(video).held_by == ""


def test_the_site_says_that_nobody_polls_what_a_dead_dispatcher_held():
    video = running()
    hold(video)
    assert health.dispatcher() is None
    PumpSlot.objects.update(until=timezone.now() - timedelta(seconds=10))
    assert health.dispatcher() is None  # a successor may be about to start
    PumpSlot.objects.update(until=timezone.now() - timedelta(minutes=1))
    assert "no dispatcher holds a lease" in health.dispatcher()


# --- Several dispatchers --------------------------------------------------------------------------


def workers(monkeypatch, *names):
    """Slots that processes of these workers acquire, in turn; None for those that get none."""
    slots = []
    for name in names:
        monkeypatch.setenv("AIVIDEO_WORKER", name)
        slots.append(leases.acquire_slot())
    return slots


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one dispatcher at a time on SQLite")
def test_every_machine_has_dispatchers_of_its_own(monkeypatch):
    slots = workers(monkeypatch, *(name for name in "abcde" for _ in range(leases.SLOTS)))
    assert sorted(slot.number for slot in slots) == list(range(5 * leases.SLOTS))
    assert workers(monkeypatch, "a", "e") == [None, None]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite has one writer")
def test_on_sqlite_one_dispatcher_works_whatever_the_number_of_workers(monkeypatch):
    first, *others = workers(monkeypatch, "a", "b", "a")
    assert (first.number, others) == (0, [None, None])


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one dispatcher at a time on SQLite")
def test_a_lower_slot_that_becomes_free_is_no_third_one(monkeypatch):
    slots = workers(monkeypatch, "a", "a", "b", "b")
    leases.release(slots[0])
    assert workers(monkeypatch, "b") == [None]
    assert workers(monkeypatch, "a")[0].number == slots[0].number


def test_slots_of_machines_that_are_gone_are_deleted_after_a_day():
    now = timezone.now()
    PumpSlot.objects.all().delete()
    for number, hours in ((0, 48), (1, 48), (2, 48), (3, 1), (4, 48)):
        PumpSlot.objects.create(number=number, owner="", until=now - timedelta(hours=hours))
    PumpSlot.objects.filter(number=4).update(owner="here/1", until=now + timedelta(seconds=timing.LEASE))
    leases.forget_old_slots()
    assert list(PumpSlot.objects.order_by("number").values_list("number", flat=True)) == [0, 1, 3, 4]


def test_one_living_dispatcher_leads_and_the_next_one_follows_when_it_dies(monkeypatch):
    first = leases.acquire_slot()
    PumpSlot.objects.create(number=7, owner="another/1", until=timezone.now() + timedelta(seconds=5))
    second = PumpSlot.objects.get(number=7)
    assert (leases.is_leader(first), leases.is_leader(second)) == (True, False)
    PumpSlot.objects.filter(pk=first.pk).update(until=timezone.now() - timedelta(seconds=1))
    assert leases.is_leader(second)
