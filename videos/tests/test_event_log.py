"""What the log tells of a video: each step once, by the customers' id, in one line, and only what is committed."""

import logging
import re

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.support.fixtures import new_user, order, pump_until_done
from videos import event_log
from videos.generation import lifecycle, poll_results
from videos.models import Video
from videos.providers.base import JobState
from videos.worker import leases

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told():
    """The lines about one video, without its id."""
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    event_log.log.addHandler(handler)

    def lines(video):
        begins = f"{video.public_id} "
        return [text.removeprefix(begins) for text in heard if text.startswith(begins)]

    yield lines
    event_log.log.removeHandler(handler)


def test_a_video_is_told_from_its_order_to_its_file(simulator, owner, told):
    prompt = "A red kite\nover the sea, " + "and on " * 20
    video = order(owner, prompt)
    pump_until_done(20)
    video.refresh_from_db()
    lines = told(video)
    beginning = prompt[:60].replace("\n", "\\n") + "…"
    assert lines[:2] == [
        f"queued: {video.model.slug}, 1280x720, 4 s, {video.credits} credits: {beginning}",
        "submitting to simulator",
    ]
    assert lines[2] == f"accepted by simulator as job {video.ref}"
    *progress, saving, stored, completed = lines[3:]
    tenths = [int(re.fullmatch(r"at ([1-9]0) %", line)[1]) for line in progress]
    assert tenths == sorted(set(tenths))
    assert (saving, stored) == (
        "saving",
        f"stored: {video.file.name}, {video.bytes} bytes, {video.duration} s",
    )
    assert re.fullmatch(r"completed after \d+\.\d s", completed)
    assert str(video.pk) not in "".join(lines)


def test_a_refusal_and_a_cancelation_come_with_their_reason(simulator, owner, told):
    refused = order(owner, "A kite [sim:unverified]")
    pump_until_done(20)
    assert told(refused)[-1].startswith(
        "failed (provider_refused): HTTP 403: Your organization must be verified"
    )
    canceled = order(owner)
    lifecycle.cancel(canceled)
    assert told(canceled)[-1] == "canceled"


def test_what_is_taken_back_is_not_told(owner, told):
    video = order(owner)
    before = told(video)
    with transaction.atomic():
        lifecycle.fail(video, "generation_failed", "no")
        transaction.set_rollback(True)
    assert told(video) == before


def test_no_words_of_others_make_a_second_line(owner, told):
    nasty = "one\r\ntwo\u2028three\x1b[31m\u202efour"
    video = order(owner, nasty)
    lifecycle.fail(video, "generation_failed", nasty)
    shown = "one\\r\\ntwo\\u2028three\\x1b[31m\\u202efour"
    assert [line.rpartition(": ")[2] for line in told(video)] == [shown, shown]


def test_progress_is_told_at_each_tenth_and_asks_the_database_nothing_more(owner, told):
    videos = [order(new_user()) for _ in range(30)]
    Video.objects.update(
        status="in_progress", ref=None, accepted_at=timezone.now(), next_attempt_at=timezone.now()
    )
    counts = []
    for percent in (5, 9, 10, 14, 19, 55, 54, 99, 99):
        Video.objects.update(next_attempt_at=timezone.now())
        claimed = leases.claim(100)
        assert len(claimed) == 30
        assert "prompt" in claimed[0].get_deferred_fields()
        with CaptureQueriesContext(connection) as asked:
            poll_results.record([(video, JobState("x", "in_progress", percent)) for video in claimed])
        counts.append(len(asked))
    assert len(set(counts)) == 1
    assert {tuple(told(video)[1:]) for video in videos} == {("at 10 %", "at 50 %", "at 90 %")}


def test_a_row_in_a_pumps_hands_is_told_of_without_a_further_read(owner, told):
    order(owner)
    Video.objects.update(status="saving", accepted_at=timezone.now(), next_attempt_at=timezone.now())
    (video,) = leases.claim(1)
    with CaptureQueriesContext(connection) as asked:
        event_log.moved(video, "failed", "", {"error_code": "no_file", "error_detail": "x"})
        event_log.moved(video, "completed", "", {"file": "x", "bytes": 1, "duration": 4.0})
        event_log.moved(video, "in_progress", "", {"ref": "job-1"})
        event_log.progressed([(video, 10)])
    assert len(asked) == 0
    lines = told(video)
    assert re.fullmatch(r"completed after \d\.\d s", lines.pop(-3))
    assert lines[-3:] == [
        "stored: x, 1 bytes, 4.0 s",
        f"accepted by channel {video.channel_id} as job job-1",
        "at 10 %",
    ]
