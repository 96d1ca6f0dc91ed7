"""A request that is sent twice."""

import threading

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone

from accounts.models import CreditEntry, IdempotentAnswer
from aivideo.tests.fixtures import entries, new_user
from videos.api import idempotency
from videos.models import Video
from videos.objects import public_id
from videos.tests.program import Program, error_of

pytestmark = pytest.mark.django_db


def test_the_same_key_and_body_is_one_video_and_one_answer(program, owner):
    fields = {"prompt": "A kite", "seconds": "8"}
    key = {"Idempotency-Key": "order-1"}
    first = program.send("/v1/videos", fields, headers=key)
    again = program.send("/v1/videos", dict(reversed(fields.items())), headers=key)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert owner.videos.count() == 1
    assert entries(owner.videos.get()) == [("charge", -10)]


def test_a_file_is_part_of_what_is_repeated(program, owner):
    key = {"Idempotency-Key": "order-1"}

    def send(content):
        file = SimpleUploadedFile("a.jpg", content, "image/jpeg")
        return program.post("/v1/videos", {"prompt": "A", "input_reference": file}, headers=key)

    picture = jpeg()
    first = send(picture)
    assert first.status_code == 200
    assert send(picture).json() == first.json()
    assert error_of(send(picture + b"more"))[0] == 422


def test_A26_another_body_with_the_same_key_is_422(program, owner):
    key = {"Idempotency-Key": "order-1"}
    program.send("/v1/videos", {"prompt": "A"}, headers=key)
    answer = program.send("/v1/videos", {"prompt": "B"}, headers=key)
    assert error_of(answer) == (422, "Idempotency-Key", "idempotency_key_reused")
    other = program.send(f"/v1/videos/{public_id(owner.videos.get().pk)}/remix", {"prompt": "A"}, headers=key)
    assert other.status_code == 422
    assert owner.videos.count() == 1


def test_what_was_refused_may_be_sent_again_with_its_key(program, owner):
    key = {"Idempotency-Key": "order-1"}
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "5"}, headers=key).status_code == 400
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "4"}, headers=key).status_code == 200


def test_two_people_may_use_the_same_idempotency_key(owner, stranger):
    key = {"Idempotency-Key": "order-1"}
    answers = [Program(user).send("/v1/videos", {"prompt": "A"}, headers=key) for user in (owner, stranger)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["id"] != answers[1].json()["id"]


def test_a_strange_idempotency_key_is_400(program):
    for key in ("x" * 256, "käse"):
        answer = program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": key})
        assert error_of(answer) == (400, "Idempotency-Key", "invalid_value")


def test_answers_are_kept_for_thirty_days(program, owner):
    program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "order-1"})
    idempotency.forget_old()
    assert IdempotentAnswer.objects.count() == 1
    IdempotentAnswer.objects.update(created_at=timezone.now() - idempotency.KEPT)
    idempotency.forget_old()
    assert not IdempotentAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_A26_fifty_at_once_with_one_key_are_one_video_and_fifty_equal_answers():
    program = Program(new_user())
    answers, start = [], threading.Barrier(50)

    def send():
        start.wait()
        try:
            answers.append(program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "one"}))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.content for answer in answers}) == 1
    assert Video.objects.count() == 1
    assert CreditEntry.objects.filter(kind="charge").count() == 1


def jpeg():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 200), "teal").save(out, "JPEG")
    return out.getvalue()
