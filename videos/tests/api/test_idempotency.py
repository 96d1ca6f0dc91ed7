"""A request that is sent twice."""

import json
import threading
from datetime import timedelta

import openai
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connections
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import CreditEntry, IdempotentAnswer
from tests.support.api_client import Program, error_of
from tests.support.fixtures import entries, give, new_user
from tests.support.lossy_proxy import LossyProxy
from tests.support.sabotage import drop, never, without
from videos.api import bodies, idempotency
from videos.generation import lifecycle
from videos.models import Video
from videos.serializers import public_id

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


def test_a_drill_with_the_key_of_another_drill_is_422(program, owner):
    path, key = "/api/video-generation/generate", {"Idempotency-Key": "one"}
    first, other = ({"run_id": run, "drill_text": "Leave the hall"} for run in ("1", "2"))
    answers = [program.send(path, first, headers=key).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert error_of(program.send(path, other, headers=key)) == (
        422,
        "Idempotency-Key",
        "idempotency_key_reused",
    )
    assert owner.videos.count() == 1


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
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "61"}, headers=key).status_code == 400
    assert program.send("/v1/videos", {"prompt": "A", "seconds": "4"}, headers=key).status_code == 200


def test_two_people_may_use_the_same_idempotency_key(owner, stranger):
    key = {"Idempotency-Key": "order-1"}
    answers = [Program(user).send("/v1/videos", {"prompt": "A"}, headers=key) for user in (owner, stranger)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["id"] != answers[1].json()["id"]


def test_a_strange_idempotency_key_is_400(program):
    for key in ("x" * 256, "käse", "", "  "):
        answer = program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": key})
        assert error_of(answer) == (400, "Idempotency-Key", "invalid_value")


def test_answers_are_kept_for_thirty_days(program, owner):
    program.send("/v1/videos", {"prompt": "A"}, headers={"Idempotency-Key": "order-1"})
    idempotency.purge_expired()
    assert IdempotentAnswer.objects.count() == 1
    IdempotentAnswer.objects.update(created_at=timezone.now() - idempotency.KEPT)
    idempotency.purge_expired()
    assert not IdempotentAnswer.objects.exists()


@without("the memory of an Idempotency-Key", "videos.api.idempotency.once", drop("_once_by_key"))
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


# --- Repeats by OpenAI's SDKs, which send no key --------------------------------------------------


def retry(count):
    return {"x-stainless-retry-count": str(count)}


def test_a_create_that_an_sdk_repeats_is_one_video_and_one_answer(program, owner):
    first = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(0))
    assert "Idempotent-Replayed" not in first
    for count in (1, 2):
        again = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(count))
        assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert owner.videos.count() == 1
    assert entries(owner.videos.get()) == [("charge", -10)]


def test_two_equal_creates_that_are_meant_are_two_videos(program, owner):
    answers = [program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(0)).json() for _ in range(2)]
    assert answers[0]["id"] != answers[1]["id"]
    newest = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(1)).json()
    assert newest["id"] == answers[1]["id"]
    assert owner.videos.count() == 2


def test_a_repeat_of_what_never_arrived_is_the_first(program, owner):
    for count, prompt in ((1, "A kite"), (1, "Another")):
        assert program.send("/v1/videos", {"prompt": prompt}, headers=retry(count)).status_code == 200
    assert owner.videos.count() == 2
    program.send("/v1/videos", {"prompt": "Another"}, headers=retry(2))
    assert owner.videos.count() == 2


def test_a_repeat_with_another_key_or_after_ten_minutes_is_an_order_of_its_own(program, owner):
    program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(0))
    Program(owner).send("/v1/videos", {"prompt": "A kite"}, headers=retry(1))
    assert owner.videos.count() == 2
    IdempotentAnswer.objects.update(created_at=timezone.now() - idempotency.REPEATED_WITHIN)
    program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(1))
    assert owner.videos.count() == 3


def test_a_repeat_that_comes_while_the_first_is_worked_on_is_told_to_wait(program, owner, monkeypatch):
    """A slow judge or picture keeps the first one longer than its client has patience."""
    from videos.api import moderation

    judge, answers = moderation.one, []

    def slow(key, order):
        monkeypatch.setattr(moderation, "one", judge)
        answers.append(program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(1)))
        return judge(key, order)

    monkeypatch.setattr(moderation, "one", slow)
    first = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(0))
    assert error_of(answers[0]) == (409, None, "request_in_progress")
    assert answers[0]["Retry-After"] == "2"
    again = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(2))
    assert again.json() == first.json()
    assert owner.videos.count() == 1


def test_a_first_request_that_died_with_its_process_does_not_stand_in_the_way_for_long(program, owner):
    note = IdempotentAnswer.objects.create(user=owner, api_key=program.key, status=0, body="")
    digest = bodies.read(request_of({"prompt": "A kite"})).digest
    IdempotentAnswer.objects.filter(pk=note.pk).update(
        request_digest=digest, created_at=timezone.now() - idempotency.MAX_PROCESSING_TIME
    )
    assert program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(1)).status_code == 200
    assert owner.videos.count() == 1


def test_what_was_refused_may_be_repeated_at_once(program, owner):
    assert program.send("/v1/videos", {"prompt": " "}, headers=retry(0)).status_code == 400
    assert not IdempotentAnswer.objects.exists()
    assert program.send("/v1/videos", {"prompt": " "}, headers=retry(1)).status_code == 400


def test_repeats_of_remixes_batches_campaigns_and_the_sites_orders_are_one_order(program, owner):
    give(owner, 1000)
    program.send("/api/v1/videos/generate", {"prompt": "A"}, headers=retry(0))
    program.send("/v1/batches/videos", {"items": [{"prompt": "A"}, {"prompt": "A"}]}, headers=retry(0))
    program.send("/v1/campaigns", {"prompt": "A", "platforms": ["x", "tiktok"]}, headers=retry(0))
    count = owner.videos.count()
    assert count == 5
    for path, body in (
        ("/api/v1/videos/generate", {"prompt": "A"}),
        ("/v1/batches/videos", {"items": [{"prompt": "A"}, {"prompt": "A"}]}),
        ("/v1/campaigns", {"prompt": "A", "platforms": ["x", "tiktok"]}),
    ):
        again = program.send(path, body, headers=retry(1))
        assert again["Idempotent-Replayed"] == "true"
    assert owner.videos.count() == count


def test_what_is_noted_for_repeats_is_forgotten_soon_and_holds_no_deleted_words(program, owner):
    program.send("/v1/videos", {"prompt": "A secret kite"}, headers=retry(0))
    video = owner.videos.get()
    lifecycle.cancel(video)
    lifecycle.delete(Video.objects.get(pk=video.pk))
    assert "secret" not in IdempotentAnswer.objects.get().body
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=1))
    idempotency.purge_expired()
    assert not IdempotentAnswer.objects.exists()


@without("the memory of an SDK's retries", "videos.api.idempotency.once", never("_before"), attack="A26")
@pytest.mark.django_db(transaction=True)
def test_fourteen_orders_through_a_proxy_that_loses_a_third_of_the_replies_are_fourteen_videos(live_server):
    """By OpenAI's SDK itself, which repeats what got no answer."""
    owner = new_user()
    give(owner, 1000)
    text = Program(owner).text
    with LossyProxy(live_server.url, seed=6, one_in=3) as proxy:
        client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=text)
        made = [client.videos.create(prompt="A kite", seconds="4").id for _ in range(14)]
    assert proxy.lost
    assert len(set(made)) == 14
    assert owner.videos.count() == 14


def request_of(body):
    return RequestFactory().post("/v1/videos", json.dumps(body), content_type="application/json")


def test_a_create_that_was_committed_although_its_request_saw_it_fail_is_not_made_again(
    program, owner, monkeypatch
):
    """The database went away while it answered the commit."""
    do = idempotency._do

    def commit_and_break(*args):
        do(*args)
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(idempotency, "_do", commit_and_break)
    assert program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(0)).status_code == 500
    monkeypatch.setattr(idempotency, "_do", do)
    again = program.send("/v1/videos", {"prompt": "A kite"}, headers=retry(1))
    assert again["Idempotent-Replayed"] == "true"
    assert owner.videos.count() == 1
