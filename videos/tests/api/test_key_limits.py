"""The limit to the credits that a key can spend in all."""

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import new_user
from tests.support.sabotage import drop, without
from videos.generation import lifecycle
from videos.models import Video

pytestmark = pytest.mark.django_db


def test_a_key_may_be_bound_to_credits_in_all(owner):
    program = Program(owner, max_credits=20)
    assert program.send("/v1/videos", {"prompt": "A", "n": 2}).status_code == 200
    Video.objects.update(created_at=timezone.now() - timedelta(days=400))
    for path, body in (
        ("/v1/videos", {"prompt": "A"}),
        ("/v1/batches/videos", {"items": [{"prompt": "A"}]}),
        ("/api/v1/videos/generate", {"prompt": "A"}),
        ("/api/video-generation/generate", {"run_id": 1, "drill_text": "A"}),
    ):
        answer = program.send(path, body)
        assert error_of(answer) == (429, None, "key_limit_reached"), path
        assert "Retry-After" not in answer
        assert answer["x-should-retry"] == "false"
    assert owner.videos.count() == 2
    owner.refresh_from_db()
    assert owner.balance == 80


def test_an_order_beyond_what_is_left_is_refused_and_a_smaller_one_is_not(owner):
    program = Program(owner, max_credits=25)
    program.send("/v1/videos", {"prompt": "A"})
    assert error_of(program.send("/v1/videos", {"prompt": "A", "n": 2})) == (429, None, "key_limit_reached")
    assert program.send("/v1/videos", {"prompt": "A"}).status_code == 200


def test_videos_that_failed_or_were_canceled_or_refunded_do_not_count(owner):
    program = Program(owner, max_credits=30)
    for _ in range(2):
        assert program.send("/v1/videos", {"prompt": "A"}).status_code == 200
    failed, canceled = owner.videos.all()
    lifecycle.fail(failed, "generation_failed")
    lifecycle.cancel(canceled)
    returned = completed(owner, api_key=program.key)
    assert (lifecycle.refund_completed(returned), lifecycle.refund_completed(returned)) == (True, False)
    assert program.send("/v1/videos", {"prompt": "A", "n": 3}).status_code == 200
    assert error_of(program.send("/v1/videos", {"prompt": "A"})) == (429, None, "key_limit_reached")


def test_sdks_are_told_not_to_retry_what_ends_only_at_midnight(owner):
    program = Program(owner, credits_a_day=10)
    program.send("/v1/videos", {"prompt": "A"})
    refused = program.send("/v1/videos", {"prompt": "A"})
    assert error_of(refused) == (429, None, "daily_limit_reached")
    assert refused["x-should-retry"] == "false"


def test_the_limits_of_a_day_and_in_all_hold_beside_each_other(owner):
    program = Program(owner, credits_a_day=10, max_credits=20)
    program.send("/v1/videos", {"prompt": "A"})
    assert error_of(program.send("/v1/videos", {"prompt": "A"})) == (429, None, "daily_limit_reached")
    Video.objects.update(created_at=timezone.now() - timedelta(days=1))
    program.send("/v1/videos", {"prompt": "A"})
    assert error_of(program.send("/v1/videos", {"prompt": "A"})) == (429, None, "key_limit_reached")


@without("the limit of a key in all", "videos.api.actions.place", drop("check"))
@pytest.mark.django_db(transaction=True)
def test_orders_at_once_do_not_exceed_the_limit_together():
    program = Program(new_user(), max_credits=20)
    statuses, start = [], threading.Barrier(6)

    def send():
        start.wait()
        try:
            statuses.append(program.send("/v1/videos", {"prompt": "A"}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 429, 429, 429, 429]
    assert Video.objects.count() == 2
