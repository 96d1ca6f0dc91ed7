"""The verbs of a video's life, each with what happens when it runs twice."""

import itertools

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.credits import InsufficientCredits
from tests.support.fixtures import entries, new_user, order, queued_messages
from tests.support.sabotage import insert_after, without
from videos import queue, timing
from videos.catalogue import availability
from videos.generation import lifecycle, poll_results
from videos.models import ALLOWED_FROM, LIVE, Channel, Status, Video
from videos.providers.base import Busy, JobState, NotSent
from videos.status.timeline import timeline_of

pytestmark = pytest.mark.django_db


def again(video):
    """The row as another process would read it now."""
    return Video.objects.get(pk=video.pk)


def job(ref="job-1", word="in_progress", progress=None):
    return JobState(ref=ref, status=word, progress=progress)


def accepted(user):
    video = order(user)
    assert lifecycle.mark_submitting(video)
    assert lifecycle.accept(video, job(ref=f"job-{video.pk}"))
    return video


RESULT = {
    "file": "videos/x.mp4",
    "poster": "posters/x.webp",
    "bytes": 1,
    "sha256": "0" * 64,
    "width": 1280,
    "height": 720,
    "duration": 4.0,
}


def test_starting_charges_the_price_and_rings_the_worker(owner, django_capture_on_commit_callbacks):
    before = queued_messages()
    with django_capture_on_commit_callbacks(execute=True):
        video = order(owner)
    owner.refresh_from_db()
    assert (video.status, owner.balance, entries(video)) == (Status.QUEUED, 90, [("charge", -10)])
    assert queued_messages() == before + 1


def test_a_model_with_a_price_of_its_own_charges_that(owner):
    model = availability.models().first()
    model.credits = 35
    model.save()
    assert entries(order(owner, model=model)) == [("charge", -35)]


def test_the_same_client_key_starts_one_video(owner):
    first, second = (order(owner, client_key="k") for _ in range(2))
    owner.refresh_from_db()
    assert (first.pk, owner.balance, Video.objects.count()) == (second.pk, 90, 1)


def test_two_people_may_use_the_same_client_key(owner, stranger):
    assert order(owner, client_key="k").pk != order(stranger, client_key="k").pk


def test_too_few_credits_leave_nothing_behind(settings, django_capture_on_commit_callbacks):
    settings.SIGNUP_CREDITS = 9
    user = new_user()
    before = queued_messages()
    with pytest.raises(InsufficientCredits), django_capture_on_commit_callbacks(execute=True):
        order(user)
    user.refresh_from_db()
    assert (user.balance, Video.objects.count(), queued_messages()) == (9, 0, before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", " \n\t "),
        ("prompt", "x" * 32_001),
        ("prompt", "nul\x00"),
        ("size", "640x480"),
        ("size", ""),
        ("seconds", 61),
        ("seconds", -4),
    ],
)
def test_what_the_model_cannot_make_is_refused_by_field(owner, field, value):
    with pytest.raises(ValidationError) as refusal:
        order(owner, **{field: value})
    owner.refresh_from_db()
    assert list(refusal.value.message_dict) == [field]
    assert (owner.balance, Video.objects.count()) == (100, 0)


def test_a_crash_at_the_doorbell_leaves_nothing_behind(owner, monkeypatch):
    def break_down():
        raise RuntimeError("the machine dies here")

    monkeypatch.setattr(queue, "wake_worker", lambda video: break_down)
    with pytest.raises(RuntimeError):
        order(owner)
    owner.refresh_from_db()
    assert (owner.balance, Video.objects.count(), owner.credit_entries.count()) == (100, 0, 1)


def test_failing_twice_refunds_once(owner):
    video = order(owner)
    twin = again(video)
    assert lifecycle.fail(video, "generation_failed") is True
    assert lifecycle.fail(twin, "generation_failed") is False
    assert lifecycle.fail(again(video), "generation_failed") is False
    owner.refresh_from_db()
    assert (owner.balance, entries(video)) == (100, [("charge", -10), ("refund", 10)])


def test_a_video_that_completed_cannot_fail_and_keeps_its_charge(owner):
    video = accepted(owner)
    late = again(video)
    assert lifecycle.finish(video)
    assert lifecycle.complete(video, RESULT)
    assert lifecycle.fail(late, "timed_out") is False
    assert lifecycle.fail(again(video), "timed_out") is False
    assert (again(video).status, entries(video)) == (Status.COMPLETED, [("charge", -10)])


def test_completing_twice_completes_once(owner):
    video = accepted(owner)
    lifecycle.finish(video)
    twin = again(video)
    assert lifecycle.complete(video, RESULT) is True
    assert lifecycle.complete(twin, {**RESULT, "file": "videos/y.mp4"}) is False
    assert again(video).file.name == "videos/x.mp4"


def test_who_completed_without_knowing_it_is_not_told_to_throw_the_file_away(owner):
    video = accepted(owner)
    lifecycle.finish(video)
    unknowing = again(video)
    lifecycle.complete(video, RESULT)
    assert lifecycle.complete(unknowing, RESULT) is True
    assert again(video).events.filter(went_to=Status.COMPLETED).count() == 1


def test_who_showed_a_poster_without_knowing_it_is_not_told_to_throw_it_away(owner):
    video = accepted(owner)
    lifecycle.finish(video)
    lifecycle.complete(video, {**RESULT, "poster": ""})
    video = again(video)
    assert lifecycle.attach_poster(video, "posters/x.webp") is True
    assert lifecycle.attach_poster(video, "posters/x.webp") is True
    assert lifecycle.attach_poster(video, "posters/y.webp") is False


def test_only_one_of_two_workers_submits(owner):
    video = order(owner)
    twin = again(video)
    assert lifecycle.mark_submitting(video) is True
    assert lifecycle.mark_submitting(twin) is False


def test_a_job_of_the_provider_belongs_to_one_video(owner):
    first, second = order(owner), order(owner)
    for video in (first, second):
        lifecycle.mark_submitting(video)
    assert lifecycle.accept(first, job("job-1")) is True
    assert lifecycle.accept(second, job("job-1")) is False
    assert (again(first).status, again(second).status) == (Status.IN_PROGRESS, Status.SUBMITTING)


def test_a_lost_request_keeps_its_time_until_its_fate_is_known(owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    posted_at = video.posted_at
    lifecycle.mark_unconfirmed(video, "cut off")
    lifecycle.mark_submitting(video)
    assert video.posted_at == posted_at
    lifecycle.mark_unconfirmed(video, "cut off again")
    lifecycle.requeue(video)
    lifecycle.mark_submitting(video)
    assert video.posted_at > posted_at


@pytest.mark.parametrize("error", [NotSent("refused"), Busy("429", after=3)])
def test_a_busy_provider_leaves_the_video_waiting_for_its_turn(owner, error):
    video = order(owner)
    lifecycle.mark_submitting(video)
    lifecycle.postpone(video, Status.QUEUED, error)
    video = again(video)
    assert (video.status, video.attempts, entries(video)) == (Status.QUEUED, 1, [("charge", -10)])
    assert video.next_attempt_at > timezone.now()


def test_a_move_from_a_state_that_does_not_lead_there_changes_nothing(owner):
    for start, end in itertools.product(Status, Status):
        if start in ALLOWED_FROM.get(end, set()) or end not in ALLOWED_FROM:
            continue
        video = order(new_user())
        result = RESULT if start == Status.COMPLETED else {}
        Video.objects.filter(pk=video.pk).update(status=start, **result)
        assert again(video).move_to(end) is False
        assert again(video).status == start


def test_every_unfinished_state_can_fail():
    assert ALLOWED_FROM[Status.FAILED] - {Status.COMPLETED} == set(LIVE)


def test_the_database_forbids_a_completed_video_without_its_file(owner):
    video = order(owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        Video.objects.filter(pk=video.pk).update(status=Status.COMPLETED)


def test_progress_never_goes_back_and_is_not_100_before_the_end(owner):
    video = accepted(owner)
    for said, shown in ((40, 40), (10, 40), (None, 40), (100, 99)):
        poll_results.record([(video, job(progress=said))])
        assert again(video).progress == shown


def test_progress_does_not_go_back_to_what_an_earlier_claim_read(owner):
    video = accepted(owner)
    claimed = again(video)
    poll_results.record([(video, job(progress=60))])
    poll_results.record([(claimed, job(progress=40))])
    assert again(video).progress == 60


@without(
    "the rule that deleting refunds nothing",
    "videos.generation.lifecycle.delete",
    insert_after(
        "transaction.on_commit", "credits.refund(video.user, video.credits, reference=video.reference)"
    ),
)
def test_A36_a_deleted_video_loses_its_words_and_files_and_returns_no_credits(owner):
    video = accepted(owner)
    lifecycle.finish(video)
    lifecycle.complete(video, RESULT)
    assert lifecycle.delete(again(video)) is True
    assert lifecycle.delete(again(video)) is False
    row = again(video)
    assert (row.prompt, row.file.name, row.poster.name) == ("", "", "")
    assert entries(video) == [("charge", -10)]
    assert not owner.videos.kept().exists()


def test_a_running_video_cannot_be_deleted(owner):
    video = accepted(owner)
    assert lifecycle.delete(video) is False
    assert owner.videos.kept().get() == video


def test_an_upload_goes_with_the_last_video_that_used_it(owner):
    upload = owner.uploads.create(file="uploads/x.jpg", sha256="1" * 64, width=1, height=1)
    first, second = (order(owner, upload=upload) for _ in range(2))
    for video in (first, second):
        lifecycle.fail(video, "generation_failed")
    lifecycle.delete(again(first))
    assert owner.uploads.exists()
    lifecycle.delete(again(second))
    assert not owner.uploads.exists()


def test_the_receipt_tells_what_happened_to_the_credits(owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, job())
    lifecycle.fail(video, "moderation_blocked", "provider's words")
    assert [(line.text, line.credits) for line in timeline_of(again(video))] == [
        ("Ordered. 10 credits reserved.", -10),
        ("Submitted to the video service.", 0),
        ("Accepted by the video service; rendering.", 0),
        ("The model's safety rules do not allow this prompt or picture. 10 credits refunded.", 10),
    ]


def test_the_receipt_of_a_long_wait_stays_short(owner):
    video = order(owner)
    for _ in range(20):
        lifecycle.mark_submitting(video)
        lifecycle.postpone(video, Status.QUEUED, Busy("429"))
    assert len(timeline_of(again(video))) == 3


def asked_in(age, progress, **channel):
    """Seconds until the next question about a job of that age (seconds) and progress (per cent)."""
    now = timezone.now()
    accepted_at = now - timezone.timedelta(seconds=age)
    return timing.next_poll(
        Video(accepted_at=accepted_at, progress=progress, channel=Channel(**channel)), now
    )


def test_a_running_job_is_asked_about_more_seldom_the_older_it_is():
    assert 2 <= asked_in(1, 0) <= 2.1
    assert 6 <= asked_in(60, 0) <= 6.3
    assert 15 <= asked_in(3600, 0) <= 15.8


def test_a_job_that_tells_its_progress_is_asked_about_when_it_should_be_done():
    assert 10 <= asked_in(30, 50) <= 10.5
    assert 1.2 <= asked_in(9, 90) <= 1.3
    assert 0.5 <= asked_in(1, 99) <= 0.6


def test_where_webhooks_come_a_job_is_asked_about_once_a_minute():
    assert 57 <= asked_in(30, 90, sends_webhooks=True) <= 63
