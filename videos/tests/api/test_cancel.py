"""Canceling by programs: what can still be canceled, what comes back, and what the others are told."""

import pytest

from aivideo.ledger_check import violations
from tests.support.api_client import Program, error_of
from tests.support.batches import some
from tests.support.completed import completed
from tests.support.fixtures import entries, order
from videos import serializers
from videos.generation import lifecycle
from videos.models import Delivery, Status, Video
from videos.providers.base import JobState
from videos.serializers import public_id

pytestmark = pytest.mark.django_db


def path_of(video):
    return f"/v1/videos/{public_id(video.pk)}/cancel"


def batch_path_of(batch):
    return f"/v1/batches/videos/{public_id(batch.pk, 'batch')}/cancel"


def balance_of(user):
    user.refresh_from_db()
    return user.balance


def test_a_queued_video_is_canceled_and_its_credits_are_back(program, owner):
    video = order(owner)
    answer = program.post(path_of(video))
    said = answer.json()
    assert (answer.status_code, said["id"], said["status"]) == (200, public_id(video.pk), "failed")
    assert said["error"]["code"] == "canceled"
    assert program.get(f"/v1/videos/{said['id']}").json() == said
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert balance_of(owner) == 100


def test_canceling_twice_is_the_same_answer_and_one_refund(program, owner):
    video = order(owner)
    first, again = program.post(path_of(video)), program.post(path_of(video))
    assert (again.status_code, again.json()) == (200, first.json())
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert violations()[1] == []


def test_canceling_twice_with_an_idempotency_key_is_the_same_answer(program, owner):
    video = order(owner)
    key = {"Idempotency-Key": "cancel-1"}
    first, again = (program.post(path_of(video), headers=key) for _ in range(2))
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    other = program.post(path_of(order(owner)), headers=key)
    assert error_of(other) == (422, "Idempotency-Key", "idempotency_key_reused")
    assert owner.videos.filter(status=Status.CANCELED).count() == 1


def test_a_video_at_its_provider_is_not_canceled(program, owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    for _ in range(2):
        assert error_of(program.post(path_of(video))) == (409, None, "video_in_progress")
        lifecycle.accept(video, JobState("job-1", "in_progress", 50))
    assert entries(video) == [("charge", -10)]
    assert owner.videos.get().status == Status.IN_PROGRESS


def test_a_video_that_has_ended_is_not_canceled(program, owner):
    made, failed = completed(owner), order(owner)
    lifecycle.fail(failed, "generation_failed")
    for video in (made, failed):
        assert error_of(program.post(path_of(video))) == (409, None, "video_ended")
    assert (entries(made), entries(failed)) == ([("charge", -10)], [("charge", -10), ("refund", 10)])


def test_a_video_that_is_submitted_at_the_same_moment_is_not_refunded(program, owner, monkeypatch):
    video, cancel = order(owner), lifecycle.cancel

    def too_late(found):
        lifecycle.mark_submitting(Video.objects.get(pk=video.pk))
        return cancel(found)

    monkeypatch.setattr(lifecycle, "cancel", too_late)
    assert error_of(program.post(path_of(video))) == (409, None, "video_in_progress")
    assert entries(video) == [("charge", -10)]


def test_a_video_that_went_back_to_the_queue_at_the_same_moment_is_canceled(program, owner, monkeypatch):
    video, cancel = order(owner), lifecycle.cancel

    def overtaken(found):
        monkeypatch.setattr(lifecycle, "cancel", cancel)
        Video.objects.filter(pk=video.pk).update(version=video.version + 2)
        return cancel(found)

    monkeypatch.setattr(lifecycle, "cancel", overtaken)
    assert program.post(path_of(video)).status_code == 200
    assert entries(video) == [("charge", -10), ("refund", 10)]


def test_A02_a_stranger_cancels_nothing(owner, stranger):
    video, batch = order(owner), some(owner, 2)
    for path in (path_of(video), batch_path_of(batch), "/v1/videos/nothing/cancel"):
        assert error_of(Program(stranger).post(path))[0] == 404
    assert owner.videos.filter(status=Status.QUEUED).count() == 3


@pytest.mark.parametrize("kind", ["application/json", ""])
def test_canceling_takes_an_empty_body_and_no_fields(program, owner, kind):
    video = order(owner)
    assert error_of(program.send(path_of(video), {"force": True})) == (400, "force", "unknown_parameter")
    assert owner.videos.get().status == Status.QUEUED
    assert program.post(path_of(video), "", content_type=kind).status_code == 200


def test_the_webhook_is_told_once(owner):
    program = Program(owner, webhook_url="https://example.com/")
    video_id = program.send("/v1/videos", {"prompt": "A"}).json()["id"]
    for _ in range(2):
        program.post(f"/v1/videos/{video_id}/cancel")
    assert Delivery.objects.filter(video=serializers.uuid_of(video_id)).count() == 1


def test_the_waiting_videos_of_a_batch_are_canceled_and_the_running_ones_go_on(program, owner):
    batch = some(owner, 5, concurrency=2)
    running = batch.videos.get(position=0)
    lifecycle.mark_submitting(running)
    for _ in range(2):
        answer = program.post(batch_path_of(batch))
        said = answer.json()
        assert (answer.status_code, said["object"], said["total"], said["failed"]) == (
            200,
            "video_batch",
            5,
            4,
        )
        assert program.get(batch_path_of(batch).removesuffix("/cancel")).json() == said
    assert entries(running) == [("charge", -10)]
    assert balance_of(owner) == 90
    assert violations()[1] == []


def test_a_batch_that_has_ended_is_returned_as_it_is(program, owner):
    batch = some(owner, 1)
    lifecycle.fail(batch.videos.get(), "generation_failed")
    said = program.post(batch_path_of(batch)).json()
    assert [video["error"]["code"] for video in said["data"]] == ["generation_failed"]
    assert balance_of(owner) == 100
