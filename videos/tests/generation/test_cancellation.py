"""A provider is told when nobody waits for a job any more, and nothing else depends on that."""

import asyncio
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from aivideo.ledger_check import violations
from tests.support.fixtures import entries, new_user, order, queued_messages
from tests.support.worker import again, make_due, running, take_one_step
from videos import tasks
from videos.generation import cancellation, lifecycle
from videos.models import Channel, Status, Video

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hasty")]

REFUNDED = [("charge", -10), ("refund", 10)]


def is_at_the_provider(simulator, video):
    answer = requests.get(f"{simulator}/videos/{video.ref}", headers={"Authorization": "Bearer x"}, timeout=5)
    return answer.status_code == 200


def rings_of(verb):
    """How often a worker is asked to do something because of this."""
    before = queued_messages()
    verb()
    return queued_messages() - before


def test_a_job_that_staff_stop_is_stopped_at_its_provider_too(simulator):
    video = running(simulator, "A kite [sim:stuck]")
    assert rings_of(lambda: lifecycle.fail(video, "stopped", "It is not ours.")) == 1
    assert is_at_the_provider(simulator, video)  # only workers talk to providers
    for _ in range(2):
        tasks.cancel(str(video.pk))
    assert not is_at_the_provider(simulator, video)
    assert (again(video).status, again(video).error_code, entries(video)) == ("failed", "stopped", REFUNDED)
    assert violations()[1] == []


def test_the_deadline_stops_nothing_since_what_comes_after_it_is_delivered_free(simulator):
    video = running(simulator, "A kite [sim:stuck]")
    assert rings_of(lambda: lifecycle.fail(video, "timed_out")) == 0
    tasks.cancel(str(video.pk))
    assert is_at_the_provider(simulator, video)


def test_a_job_that_timed_out_is_stopped_when_its_owner_deletes_it(simulator):
    video = running(simulator, "A kite [sim:stuck]")
    lifecycle.fail(video, "timed_out")
    assert rings_of(lambda: lifecycle.delete(again(video))) == 1
    tasks.cancel(str(video.pk))
    assert not is_at_the_provider(simulator, video)


def test_a_job_that_timed_out_is_stopped_when_it_is_watched_no_more(simulator):
    video = running(simulator, "A kite [sim:stuck]")
    lifecycle.fail(video, "timed_out")
    make_due(video, accepted_at=timezone.now() - timedelta(days=1))
    assert rings_of(lambda: asyncio.run(take_one_step())) == 1
    tasks.cancel(str(video.pk))
    assert not is_at_the_provider(simulator, video)


def test_what_ended_otherwise_or_never_began_rings_nobody(simulator):
    running_video, waiting = running(simulator), order(new_user())
    assert rings_of(lambda: lifecycle.fail(running_video, "generation_failed")) == 0
    assert rings_of(lambda: lifecycle.delete(again(running_video))) == 0
    assert rings_of(lambda: lifecycle.fail(waiting, "stopped")) == 0


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.SAVING, Status.COMPLETED])
def test_a_job_that_somebody_waits_for_is_never_stopped(simulator, status):
    video = running(simulator, "A kite [sim:stuck]")
    done = {"file": "videos/a.mp4", "sha256": "0"} if status == Status.COMPLETED else {}
    Video.objects.filter(pk=video.pk).update(status=status, next_attempt_at=None, **done)
    tasks.cancel(str(video.pk))
    assert is_at_the_provider(simulator, video)


def test_a_provider_that_does_not_answer_changes_nothing(simulator, settings, caplog):
    video = running(simulator, "A kite [sim:stuck]")
    lifecycle.fail(video, "stopped")
    settings.SIMULATOR_URL = "http://127.0.0.1:9/v1"
    cancellation.ask(str(video.pk))
    assert "could not ask" in caplog.text
    assert (again(video).status, entries(video)) == ("failed", REFUNDED)


def test_a_provider_that_cannot_stop_is_not_asked(simulator):
    Channel.objects.filter(slug="simulator").update(profile="openai")
    video = running(simulator, "A kite [sim:stuck]")
    lifecycle.fail(video, "stopped")
    tasks.cancel(str(video.pk))
    assert is_at_the_provider(simulator, video)
