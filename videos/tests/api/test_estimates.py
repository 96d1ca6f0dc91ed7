"""What a program is told of the wait: its place in the queue and the seconds until its video is done."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.support.batches import some
from tests.support.completed import completed, track_record
from tests.support.fixtures import order
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.providers.base import JobState
from videos.serializers import public_id
from videos.status import progress
from videos.worker import admission

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_queue(monkeypatch):
    """No places of an earlier test are known; those of this one stay known."""
    monkeypatch.setattr(admission, "_places", {})
    monkeypatch.setattr(progress, "_channel_states", {})
    monkeypatch.setattr(admission, "PLACES_FRESH", 60)


def path_of(video):
    return f"/v1/videos/{public_id(video.pk)}"


def told(program, video):
    said = program.get(path_of(video)).json()
    return said["queue_position"], said["expected_seconds"]


def running(user, percent, seconds):
    """A video that its provider accepted so many seconds ago."""
    video = order(user)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(f"job-{video.pk}", "in_progress", percent))
    Video.objects.filter(pk=video.pk).update(accepted_at=timezone.now() - timedelta(seconds=seconds))
    return video


def test_a_queued_video_has_its_place_in_the_line(program, owner):
    videos = [order(owner) for _ in range(3)]
    assert [told(program, video) for video in videos] == [(1, None), (2, None), (3, None)]


def test_a_queued_video_is_expected_after_the_usual_time(program, owner):
    track_record(owner, 62)
    video = order(owner)
    assert told(program, video) == (1, 60)
    Video.objects.filter(pk=video.pk).update(created_at=timezone.now() - timedelta(seconds=40))
    assert told(program, video) == (1, 20)
    Video.objects.filter(pk=video.pk).update(created_at=timezone.now() - timedelta(seconds=70))
    assert told(program, video) == (1, None)


def test_a_running_video_is_expected_by_its_own_pace(program, owner):
    assert told(program, running(owner, percent=50, seconds=18)) == (None, 20)
    assert told(program, running(owner, percent=99, seconds=20)) == (None, 5)
    assert told(program, running(owner, percent=0, seconds=20)) == (None, None)


def test_a_video_that_is_held_back_is_not_in_the_line(program, owner):
    track_record(owner, 62)
    batch = some(owner, 2, concurrency=1)
    assert [told(program, batch.videos.get(position=number)) for number in (0, 1)] == [(1, 60), (None, None)]


def test_a_video_that_has_ended_expects_nothing_and_costs_no_further_query(
    program, owner, django_assert_num_queries
):
    track_record(owner, 62)
    failed, canceled = order(owner), order(owner)
    lifecycle.fail(failed, "generation_failed")
    lifecycle.cancel(canceled)
    for video in (completed(owner), failed, canceled):
        assert told(program, video) == (None, None)
        with django_assert_num_queries(2):  # the key and the video
            program.get(path_of(video))


@pytest.mark.parametrize("make", [order, lambda user: running(user, percent=0, seconds=20)])
def test_a_poll_of_an_unfinished_video_costs_no_query_but_the_key_and_the_video(
    program, owner, django_assert_num_queries, make
):
    video = make(owner)
    program.get(
        path_of(video)
    )  # which looks up the queue, for seconds, and the record of the model, for a minute
    with django_assert_num_queries(2):
        program.get(path_of(video))


def test_the_list_says_the_same_at_the_cost_of_no_query_per_video(program, owner, django_assert_num_queries):
    track_record(owner, 62)
    for _ in range(4):
        order(owner)
    program.get("/v1/videos")
    with django_assert_num_queries(2):  # the key and the videos
        data = program.get("/v1/videos").json()["data"]
    unfinished = [(one["queue_position"], one["expected_seconds"]) for one in data[:4]]
    assert unfinished == [(4, 60), (3, 60), (2, 60), (1, 60)]
    assert {(one["queue_position"], one["expected_seconds"]) for one in data[4:]} == {(None, None)}


def test_in_the_answer_to_an_order_and_in_a_batch_they_are_null(program):
    ordered = program.send("/v1/videos", {"prompt": "A"}).json()
    batch = program.send("/v1/batches/videos", {"items": [{"prompt": "A"}]}).json()
    for video in (ordered, batch["data"][0]):
        assert (video["queue_position"], video["expected_seconds"]) == (None, None)


def test_an_estimate_of_the_same_few_seconds_is_the_same_version(program, owner):
    video = running(owner, percent=50, seconds=58)
    first = program.get(path_of(video))
    again = program.get(path_of(video), headers={"If-None-Match": first["ETag"]})
    assert (first.json()["expected_seconds"], again.status_code) == (60, 304)
    Video.objects.filter(pk=video.pk).update(accepted_at=timezone.now() - timedelta(seconds=88))
    changed = program.get(path_of(video), headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, changed.json()["expected_seconds"]) == (200, 90)
    assert owner.videos.get().status == Status.IN_PROGRESS
