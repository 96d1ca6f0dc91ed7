"""How a video ends when not all goes well: one defined outcome each for job, credits and file."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests
from django.core.files.storage import default_storage
from django.db import OperationalError
from django.utils import timezone

from accounts import payments
from accounts.models import CreditPack, Payment
from accounts.payments import Truth
from aivideo.ledger_check import violations
from tests.support.fixtures import entries, new_user, order, pump_until_done, spend, wait_until
from tests.support.sabotage import becomes, without
from tests.support.worker import again, make_due, running, take_one_step
from videos.catalogue import breaker
from videos.generation import lifecycle
from videos.media import decoder, inspection, storage
from videos.media.decoder import Decoder
from videos.media.mp4 import measure
from videos.models import Channel, Status, Video
from videos.providers.base import NoFile, Unavailable
from videos.status.timeline import timeline_of
from videos.worker import dispatcher, leases, steps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hasty")]

CHARGED, REFUNDED = [("charge", -10)], [("charge", -10), ("refund", 10)]


def wait_for_the_provider(simulator, video):
    job = f"{simulator}/videos/{video.ref}"
    while requests.get(job, headers={"Authorization": "Bearer x"}).json()["status"] != "completed":
        pass


# --- The deadline ---------------------------------------------------------------------------------


@without(
    "the mark of a free video",
    "videos.generation.lifecycle.finish",
    becomes("video.status == Status.FAILED", "False"),
)
def test_A37_a_success_after_the_deadlines_refund_is_delivered_free_and_once(simulator):
    video = running(simulator)
    lifecycle.fail(video, "timed_out")
    assert entries(video) == REFUNDED
    wait_for_the_provider(simulator, video)
    for _ in range(2):
        make_due(video)
        asyncio.run(take_one_step())
    video = again(video)
    assert (video.status, video.is_free, video.error_code) == (Status.COMPLETED, True, "")
    assert default_storage.size(video.file.name) == video.bytes
    assert entries(video) == REFUNDED
    assert violations()[1] == []
    assert timeline_of(video)[-1].text == "Ready to play after all, for free: 10 credits stay refunded."


def test_a_timed_out_job_that_fails_in_the_end_is_asked_about_no_more(simulator):
    video = running(simulator, "A kite [sim:fail]")
    lifecycle.fail(video, "timed_out")

    def is_settled():
        if again(video).next_attempt_at:
            make_due(video)
            asyncio.run(take_one_step())
        return again(video).next_attempt_at is None

    wait_until(is_settled)
    assert (again(video).status, again(video).next_attempt_at, entries(video)) == (
        Status.FAILED,
        None,
        REFUNDED,
    )


def test_a_timed_out_job_is_watched_for_some_hours_only(simulator):
    video = running(simulator, "A kite [sim:stuck]")
    lifecycle.fail(video, "timed_out")
    make_due(video, accepted_at=timezone.now() - timedelta(days=1))
    asyncio.run(take_one_step())
    assert again(video).next_attempt_at is None


def test_a_timed_out_video_that_its_owner_deleted_does_not_come_back(simulator):
    video = running(simulator)
    lifecycle.fail(video, "timed_out")
    stale = again(video)
    assert lifecycle.delete(again(video)) is True
    assert lifecycle.finish(stale) is False
    assert (again(video).status, again(video).next_attempt_at) == (Status.FAILED, None)


def test_a_video_that_failed_for_any_other_reason_is_not_watched(simulator):
    video = running(simulator)
    lifecycle.fail(video, "moderation_blocked")
    assert again(video).next_attempt_at is None
    assert leases.claim(10) == []


def test_a_video_whose_turn_never_comes_fails_at_the_end_of_its_patience(settings):
    Channel.objects.update(max_running=0)
    settings.QUEUE_PATIENCE_SECONDS = 1
    video = order(new_user())
    pump_until_done(20)
    assert (again(video).error_code, again(video).ref, entries(video)) == ("not_started", None, REFUNDED)


# --- The provider's key goes, in mid-job ----------------------------------------------------------


def test_a_job_whose_key_is_gone_waits_for_it(simulator, monkeypatch):
    video = running(simulator)
    monkeypatch.setenv("SIMULATOR_KEY", "invalid")
    make_due(video)
    asyncio.run(take_one_step())
    assert (again(video).status, again(video).attempts) == (Status.IN_PROGRESS, 1)
    monkeypatch.delenv("SIMULATOR_KEY")
    pump_until_done(30)
    assert (again(video).status, entries(video)) == (Status.COMPLETED, CHARGED)


def test_a_channel_or_model_with_videos_cannot_be_deleted(owner):
    video = order(owner)
    for row in (video.channel, video.model):
        with pytest.raises(Exception, match="protected"):
            row.delete()


# --- Storage --------------------------------------------------------------------------------------


@contextmanager
def storage_broken(settings, how):
    """Where files go, there is suddenly something else: no folder can be made under a file."""
    media_root = settings.MEDIA_ROOT
    shutil.rmtree(media_root, ignore_errors=True)
    media_root.write_text("not a folder")
    yield
    media_root.unlink()


def test_a_storage_that_is_down_keeps_the_finished_job_waiting(simulator, settings):
    video = running(simulator)
    wait_for_the_provider(simulator, video)
    with storage_broken(settings, "down"):
        make_due(video)
        asyncio.run(take_one_step())
        assert (again(video).status, again(video).attempts) == (Status.SAVING, 1)
    pump_until_done(30)
    assert (again(video).status, entries(video)) == (Status.COMPLETED, CHARGED)


def test_a_storage_that_stays_down_returns_the_credits_and_later_still_delivers(simulator, settings):
    settings.JOB_DEADLINE_SECONDS = 2
    video = running(simulator)
    with storage_broken(settings, "down"):
        pump_until_done(60)
        assert (again(video).error_code, entries(video)) == ("timed_out", REFUNDED)
    make_due(video)
    asyncio.run(take_one_step())
    assert (again(video).status, again(video).is_free) == (Status.COMPLETED, True)
    assert violations()[1] == []


def test_what_breaks_right_after_a_verdict_leaves_nothing_to_be_asked_about(simulator, monkeypatch):
    """The order was refused and refunded, and then the database was away for what comes after it."""

    def lose_the_database(channel):
        raise OperationalError("database is locked")

    monkeypatch.setattr(breaker, "record_success", lose_the_database)
    video = order(new_user(), "A red kite [sim:rejected]")
    asyncio.run(take_one_step())
    assert (again(video).status, again(video).next_attempt_at, entries(video)) == (
        Status.FAILED,
        None,
        REFUNDED,
    )


def test_a_failed_video_without_a_job_that_is_due_all_the_same_is_put_to_rest():
    video = order(new_user())
    lifecycle.fail(video, "moderation_blocked")
    make_due(video)
    asyncio.run(take_one_step())
    assert (again(video).status, again(video).next_attempt_at) == (Status.FAILED, None)


def test_no_part_of_a_file_stays_behind(simulator, settings):
    video = order(new_user(), "A kite [sim:truncated]")
    pump_until_done(40)
    assert list((settings.DATA_DIR / "parts").glob(f"{video.pk}-*")) == []


# --- The proof that it plays, later ---------------------------------------------------------------


def test_when_many_end_at_once_posters_come_later(simulator, monkeypatch):
    monkeypatch.setattr(decoder, "QUEUE_LENGTH", 0)
    video = order(new_user())
    pump_until_done(30)
    for _ in range(3):
        dispatcher.run()
    video = again(video)
    assert (video.status, bool(video.poster)) == (Status.COMPLETED, True)
    assert default_storage.size(video.poster.name) > 500


def test_what_the_index_says_is_what_the_decoder_finds(simulator):
    video = order(new_user())
    pump_until_done(30)
    path = storage.Path(again(video).file.path)
    by_index, (by_decoder, _poster) = measure(path), inspection.look(path)
    assert (by_index.width, by_index.height, by_index.sha256) == (1280, 720, by_decoder.sha256)
    assert by_index.has_sound == by_decoder.has_sound
    assert abs(by_index.seconds - by_decoder.seconds) < 0.05


def test_a_delivered_file_that_does_not_play_is_taken_back(simulator, monkeypatch):
    video = order(new_user())
    pump_until_done(30)
    video = again(video)
    path = video.file.path
    damaged = bytearray(storage.Path(path).read_bytes())
    start = damaged.index(b"mdat") + 4
    damaged[start : start + 200_000] = os.urandom(200_000)
    storage.Path(path).write_bytes(damaged)
    Video.objects.filter(pk=video.pk).update(poster="")
    for _ in range(3):
        dispatcher.run()
    assert (again(video).status, again(video).error_code, entries(video)) == ("failed", "no_file", REFUNDED)
    assert violations()[1] == []


def test_a_full_disk_costs_no_video_its_poster(simulator, monkeypatch, caplog):
    video = order(new_user())
    pump_until_done(30)
    Video.objects.filter(pk=video.pk).update(poster="")
    new_part, full = steps._part, [steps._part(video) for _ in range(3)]
    for part in full:
        part.symlink_to("/dev/full")  # where every write finds no space left
    monkeypatch.setattr(steps, "_part", lambda video: full.pop() if full else new_part(video))
    wait_until(lambda: dispatcher.run() and again(video).poster)
    assert caplog.text.count("No space left on device") == 3
    assert again(video).attempts == 0


def test_a_decoder_that_dies_is_started_again_and_blames_no_file(simulator):
    video = order(new_user())
    pump_until_done(30)
    path = storage.Path(again(video).file.path)

    async def look_twice():
        child = Decoder()
        await child.look(path)
        child.child.kill()
        await child.child.wait()
        facts, poster = await child.look(path)
        await child.close()
        return facts.width, len(poster) > 500

    assert asyncio.run(look_twice()) == (1280, True)


def test_where_the_decoder_dies_the_index_is_believed_and_the_poster_comes_later(simulator, monkeypatch):
    look, deaths = Decoder.look, []

    async def die(self, path):
        deaths.append(path)
        raise decoder.Died("killed")

    monkeypatch.setattr(Decoder, "look", die)
    video = order(new_user())
    pump_until_done(30)
    assert (again(video).status, bool(again(video).poster), len(deaths) > 0) == ("completed", False, True)
    for _ in range(3):
        dispatcher.run()
    assert (again(video).status, entries(video)) == (Status.COMPLETED, CHARGED)

    monkeypatch.setattr(Decoder, "look", look)
    make_due(video, attempts=0)
    wait_until(lambda: dispatcher.run() and again(video).poster)
    assert (again(video).status, entries(video), violations()[1]) == (Status.COMPLETED, CHARGED, [])


@without(
    "the rule that a dead decoder blames no file",
    "videos.media.decoder.Decoder._ask",
    becomes("Died", "NotAVideo"),
    attack="A23",
)
def test_a_decoder_that_stands_still_says_nothing_about_its_file(simulator, monkeypatch):
    video = order(new_user())
    pump_until_done(30)
    path = storage.Path(again(video).file.path)

    async def look_at_a_stopped_one():
        child = Decoder()
        await child.look(path)
        child.child.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(decoder, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(decoder.Died):
            await child.look(path)
        await child.close()

    asyncio.run(look_at_a_stopped_one())


@without(
    "the count of bad files apart from other troubles",
    "videos.generation.lifecycle.refuse_file",
    becomes("video.bad_files", "video.attempts"),
    attack="A23",
)
def test_a_provider_that_was_away_has_as_many_tries_left_to_deliver(simulator, monkeypatch):
    """Five times there is no answer, then twice none of a file: still the good one comes."""
    download = storage.download
    troubles = [Unavailable("content: HTTP 503")] * 5 + [NoFile("content is text/html")] * 2

    async def troubled(*args):
        if troubles:
            raise troubles.pop(0)
        await download(*args)

    monkeypatch.setattr(storage, "download", troubled)
    video = order(new_user())
    pump_until_done(60)
    assert (again(video).status, again(video).bad_files, entries(video)) == ("completed", 2, CHARGED)


def test_a_decoder_may_use_only_so_much_of_a_core_for_one_file():
    endless = "from videos.media import decoder; decoder.CPU_SECONDS = 1; decoder._limit_the_next_file()\nwhile True: pass"
    assert subprocess.run([sys.executable, "-c", endless]).returncode == -signal.SIGXCPU


def lose_a_payment(user, amount):
    """They bought as many credits, had a video made for them, and got their money back."""
    pack = CreditPack.objects.create(name="Some", credits=amount, price=100)
    payment = payments.order(user, pack, Payment.Processor.TEST)
    price = {"is_paid": True, "amount": 100, "currency": "usd"}
    payment = payments.settle(payment, lambda _payment: Truth(**price))
    video = spend(user, amount)
    made = {"status": "completed", "file": "videos/x.mp4", "sha256": "0" * 64, "ended_at": timezone.now()}
    Video.objects.filter(pk=video.pk).update(**made, next_attempt_at=None)
    payments.settle(payment, lambda _payment: Truth(**price, refunded=100))


def test_what_a_debtor_has_in_the_queue_is_canceled_and_pays_the_debt(simulator):
    begun = running(simulator)
    debtor, other = begun.user, new_user()
    waiting, theirs = [order(debtor), order(debtor)], order(other)
    lose_a_payment(debtor, 75)
    lifecycle.time_out_overdue()
    assert [again(video).status for video in waiting] == [Status.CANCELED] * 2
    assert (again(begun).status, again(theirs).status) == (Status.IN_PROGRESS, Status.QUEUED)
    debtor.refresh_from_db()
    assert (debtor.balance, debtor.debt) == (15, 0)
    assert violations()[1] == []
