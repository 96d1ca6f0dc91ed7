"""One provider client against a real server in every way of misbehaving: what becomes of state, credits and file."""

import asyncio
import time
from datetime import timedelta

import pytest
import requests
from django.core.files.storage import default_storage
from django.utils import timezone

from aivideo.ledger_check import violations
from simulator.faults import FAULTS
from tests.support.fixtures import (
    TEST_TIMEOUT,
    entries,
    new_user,
    order,
    pump_until_done,
    start_simulator,
    wait_until,
)
from videos.catalogue import connections
from videos.media.decoder import Decoder
from videos.models import Channel, Video
from videos.providers import downloads
from videos.worker import admission, dispatcher, steps, write_queue
from videos.worker.polling import Polling

pytestmark = pytest.mark.django_db(transaction=True)

READY = ("completed", "")
TIMED_OUT, NOT_STARTED = ("failed", "timed_out"), ("failed", "not_started")
OUTCOME = {
    "rejected": ("failed", "moderation_blocked"),
    "unverified": ("failed", "provider_refused"),
    "bad-key": ("failed", "provider_refused"),
    "busy": READY,
    "busy-forever": NOT_STARTED,
    "down": READY,
    "error-500": READY,
    "lost-reply": READY,
    "lost-reply-500": READY,
    "hang": READY,
    "fail": ("failed", "generation_failed"),
    "moderation": ("failed", "moderation_blocked"),
    "cancelled": ("failed", "generation_failed"),
    "slow": READY,
    "late": READY,
    "stuck": TIMED_OUT,
    "mark-*": READY,
    "unknown-word": READY,
    "words": READY,
    "progress-fraction": READY,
    "progress-text": READY,
    "no-progress": READY,
    "id-changes": READY,
    "fail-http": ("failed", "generation_failed"),
    "fail-string": ("failed", "generation_failed"),
    "poll-500": READY,
    "poll-401": READY,
    "poll-404-once": READY,
    "poll-html": READY,
    "poll-empty": READY,
    "expired": ("failed", "no_file"),
    "truncated": READY,
    "truncated-forever": TIMED_OUT,
    "html-file": ("failed", "no_file"),
    "html-as-mp4": ("failed", "no_file"),
    "empty-file": ("failed", "no_file"),
    "content-500-once": READY,
    "url-result": READY,
    "webhook-twice": READY,
    "webhook-late": READY,
    "webhook-lost": READY,
    "webhook-forged": READY,
    "webhook-early": READY,
}


@pytest.fixture(autouse=True)
def _hasty(hasty, monkeypatch):
    """The same waits, shorter: nothing here depends on their length."""
    monkeypatch.setattr(downloads, "TIMEOUT", downloads.httpx2.Timeout(3))


def outcome(video):
    video.refresh_from_db()
    stored = bool(video.file) and default_storage.exists(video.file.name)
    return (video.status, video.error_code, tuple(entries(video)), stored)


def expected(status, code):
    refunded = (("refund", 10),) if status == "failed" else ()
    return (status, code, (("charge", -10), *refunded), status == "completed")


def test_every_fault_of_a_provider_has_its_one_outcome(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    assert set(OUTCOME) == set(FAULTS)
    videos = {
        fault: order(new_user(), f"A kite [sim:{fault.replace('*', '1')}]", size="720x1280")
        for fault in FAULTS
    }
    running = [videos[fault].pk for fault, end in OUTCOME.items() if end == TIMED_OUT]
    queued = [videos[fault].pk for fault, end in OUTCOME.items() if end == NOT_STARTED]
    late = running + queued
    wait_until(lambda: dispatcher.run() and not Video.objects.live().exclude(pk__in=late).exists())
    assert Video.objects.live().count() == len(late)
    Video.objects.filter(pk__in=running).update(accepted_at=timezone.now() - timedelta(days=1))
    Video.objects.filter(pk__in=queued).update(queued_at=timezone.now() - timedelta(days=1))
    pump_until_done(30)
    assert {f: outcome(v) for f, v in videos.items()} == {f: expected(*o) for f, o in OUTCOME.items()}
    assert violations()[1] == []


@pytest.mark.parametrize("listing", ["true", "false"])
def test_a_lost_reply_without_idempotency_keys_is_found_in_the_list_and_never_bought_twice(
    listing, settings, monkeypatch, tmp_path
):
    env = {"SIMULATOR_SECONDS": "1", "SIMULATOR_IDEMPOTENCY": "false", "SIMULATOR_LIST": listing}
    process, settings.SIMULATOR_URL = start_simulator(tmp_path / "simulator", **env)
    Channel.objects.filter(slug="simulator").update(honours_idempotency_key=False)
    monkeypatch.setattr(steps, "GRACE", 8)
    try:
        lost = [
            order(new_user(), f"The same for all [sim:{f}]") for f in ("lost-reply", "lost-reply", "hang")
        ]
        unsent = order(new_user(), "Another [sim:error-500]")
        pump_until_done(90)
    finally:
        process.terminate()
        process.wait(TEST_TIMEOUT)

    if listing == "true":
        assert [outcome(video) for video in [*lost, unsent]] == [expected("completed", "")] * 4
        assert Video.objects.values("ref").distinct().count() == 4
    else:
        # Nobody can tell whether the requests arrived, so nothing is sent again and all credits return.
        assert [outcome(video) for video in [*lost, unsent]] == [expected("failed", "unconfirmed")] * 4
    assert violations()[1] == []


def test_a_provider_that_is_away_keeps_the_video_waiting_as_long_as_an_order_may_wait(settings):
    settings.SIMULATOR_URL = "http://127.0.0.1:9/v1"
    settings.QUEUE_PATIENCE_SECONDS = 4
    video = order(new_user())
    pump_until_done(30)
    assert outcome(video) == expected("failed", "not_started")


def test_a_video_that_nobody_drove_for_too_long_is_never_sent(simulator, settings):
    video = order(new_user())
    Video.objects.filter(pk=video.pk).update(queued_at=timezone.now() - timedelta(days=1))
    pump_until_done(30)
    assert outcome(video) == expected("failed", "not_started")
    assert video.ref is None


@pytest.mark.parametrize("hiccup", ["", "[sim:content-500-once]", "[sim:poll-500]"])
def test_a_result_that_waited_for_us_beyond_the_deadline_is_still_delivered(simulator, hiccup):
    """The worker was down for a day; the provider had finished long ago."""
    video = order(new_user(), f"Ready at last {hiccup}")
    asyncio.run(one_step())
    video.refresh_from_db()
    job = f"{simulator}/videos/{video.ref}"
    while requests.get(job, headers={"Authorization": "Bearer x"}).json().get("status") != "completed":
        time.sleep(0.2)
    Video.objects.filter(pk=video.pk).update(accepted_at=timezone.now() - timedelta(days=1))
    pump_until_done(30)
    assert outcome(video) == expected("completed", "")


async def one_step():
    """Submit every video whose turn it is."""
    db = write_queue.WriteQueue()
    tools = steps.Tools(db, Decoder(), Polling(db))
    for video in await tools.db(admission.admit, 10):
        await steps.submit(video, connections.provider_for(video.channel), tools)
    await tools.db.close()
