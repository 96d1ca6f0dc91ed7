"""A key with a repeat window: equal orders of a client that repeats and says nothing are one order."""

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import ApiKey, CreditEntry, IdempotentAnswer
from tests.support.api_client import Program, error_of
from tests.support.fixtures import entries, new_user
from tests.support.sabotage import never, without
from videos.api import idempotency, moderation
from videos.models import Video

pytestmark = pytest.mark.django_db


def with_window(user, seconds=60):
    program = Program(user)
    ApiKey.objects.filter(pk=program.key.pk).update(repeat_window=seconds)
    return program


@pytest.fixture
def proxy(owner):
    """A program whose key has a repeat window of a minute."""
    return with_window(owner)


def older(seconds):
    for answer in IdempotentAnswer.objects.all():
        answer.created_at -= timedelta(seconds=seconds)
        answer.save()


def test_equal_orders_within_the_window_are_one_order_and_one_charge(proxy, owner):
    first = proxy.send("/v1/videos", {"prompt": "A kite"})
    assert (first.status_code, "Idempotent-Replayed" in first) == (200, False)
    for _ in range(2):
        again = proxy.send("/v1/videos", {"prompt": "A kite"})
        assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert owner.videos.count() == 1
    assert entries(owner.videos.get()) == [("charge", -10)]


def test_without_a_window_equal_orders_are_separate(program, owner):
    for _ in range(2):
        assert program.send("/v1/videos", {"prompt": "A kite"}).status_code == 200
    assert owner.videos.count() == 2
    assert not IdempotentAnswer.objects.exists()


def test_after_the_window_an_equal_order_is_a_new_one(proxy, owner):
    proxy.send("/v1/videos", {"prompt": "A kite"})
    older(30)
    proxy.send("/v1/videos", {"prompt": "A kite"})
    assert owner.videos.count() == 1
    older(40)
    proxy.send("/v1/videos", {"prompt": "A kite"})
    assert owner.videos.count() == 2


def test_another_body_another_path_and_another_key_are_orders_of_their_own(proxy, owner):
    proxy.send("/v1/videos", {"prompt": "A kite"})
    proxy.send("/v1/videos", {"prompt": "A boat"})
    proxy.send("/api/v1/videos/generate", {"prompt": "A kite"})
    with_window(owner).send("/v1/videos", {"prompt": "A kite"})
    assert owner.videos.count() == 4


def test_an_idempotency_key_says_that_an_equal_order_is_meant(proxy, owner):
    for name in ("one", "two", "two"):
        proxy.send("/v1/videos", {"prompt": "A kite"}, headers={"Idempotency-Key": name})
    proxy.send("/v1/videos", {"prompt": "A kite"})
    assert owner.videos.count() == 3


def test_a_proxy_that_speaks_through_openais_sdk_and_begins_anew_is_recognized(proxy, owner):
    """It counts its retries from 0 in each attempt."""
    for _ in range(2):
        proxy.send("/v1/videos", {"prompt": "A kite"}, headers={"x-stainless-retry-count": "0"})
    assert owner.videos.count() == 1
    older(300)  # beyond the window, but within the ten minutes of a marked retry
    proxy.send("/v1/videos", {"prompt": "A kite"}, headers={"x-stainless-retry-count": "1"})
    assert owner.videos.count() == 1


def test_what_was_refused_may_be_sent_again_at_once(proxy, owner):
    for _ in range(2):
        assert proxy.send("/v1/videos", {"prompt": " "}).status_code == 400
    assert not IdempotentAnswer.objects.exists()


def test_a_repeat_while_the_first_is_worked_on_is_told_to_wait(proxy, owner, monkeypatch):
    judge, answers = moderation.one, []

    def slow(key, order):
        monkeypatch.setattr(moderation, "one", judge)
        answers.append(proxy.send("/v1/videos", {"prompt": "A kite"}))
        return judge(key, order)

    monkeypatch.setattr(moderation, "one", slow)
    assert proxy.send("/v1/videos", {"prompt": "A kite"}).status_code == 200
    assert error_of(answers[0]) == (409, None, "request_in_progress")
    assert answers[0]["Retry-After"] == "2"
    assert owner.videos.count() == 1


def test_of_a_first_order_that_takes_too_long_and_its_repeat_only_the_repeat_is_charged(
    proxy, owner, monkeypatch
):
    judge, answers = moderation.one, []

    def very_slow(key, order):
        monkeypatch.setattr(moderation, "one", judge)
        older(60)
        ApiKey.objects.update(repeat_window=300)
        answers.append(proxy.send("/v1/videos", {"prompt": "A kite"}))
        return judge(key, order)

    monkeypatch.setattr(moderation, "one", very_slow)
    late = proxy.send("/v1/videos", {"prompt": "A kite"})
    assert (answers[0].status_code, error_of(late)) == (200, (409, None, "request_in_progress"))
    assert owner.videos.count() == 1
    assert entries(owner.videos.get()) == [("charge", -10)]
    assert proxy.send("/v1/videos", {"prompt": "A kite"}).json() == answers[0].json()


@without("the memory of equal orders", "videos.api.idempotency.once", never("_before"), attack="A26")
@pytest.mark.django_db(transaction=True)
def test_equal_orders_at_once_are_one_video_and_one_charge():
    program = with_window(new_user())
    answers, start = [], threading.Barrier(8)

    def send():
        start.wait()
        try:
            answers.append(program.send("/v1/videos", {"prompt": "A kite"}))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert Video.objects.count() == 1
    assert CreditEntry.objects.filter(kind="charge").count() == 1
    assert program.send("/v1/videos", {"prompt": "A kite"})["Idempotent-Replayed"] == "true"


def test_answers_are_kept_as_long_as_the_longest_window(proxy, owner):
    proxy.send("/v1/videos", {"prompt": "A kite"})
    idempotency.purge_expired()
    assert IdempotentAnswer.objects.count() == 1
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=1))
    idempotency.purge_expired()
    assert not IdempotentAnswer.objects.exists()
