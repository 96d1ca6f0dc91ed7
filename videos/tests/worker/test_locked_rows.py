"""A session that locks a row and does not go on: only whoever needs that row waits for it."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from aivideo.ledger_check import violations
from tests.support.api_client import Program, error_of
from tests.support.database import another_session
from tests.support.fixtures import (
    TEST_TIMEOUT,
    entries,
    new_user,
    order,
    pump_until_done,
    signed_in,
    wait_until,
)
from tests.support.sabotage import becomes, without
from videos.generation import lifecycle
from videos.models import Channel, Status, Video
from videos.worker import dispatcher

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("hasty"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks no rows"),
]

REFUNDED = [("charge", -10), ("refund", 10)]


@contextmanager
def locked(row):
    """Another session, such as somebody's psql, has locked this row. It ends by itself at the end of a test's patience."""
    with another_session() as session:
        session.execute(f"SET idle_in_transaction_session_timeout = '{TEST_TIMEOUT}s'")
        session.execute(f"SELECT 1 FROM {row._meta.db_table} WHERE id = %s FOR UPDATE", [row.pk])
        yield
        session.execute("SELECT 1")  # it still holds the row, so that nothing of this was because it let go
        session.rollback()


def again(video):
    return Video.objects.get(pk=video.pk)


@without(
    "the limit to waiting for a lock",
    "videos.worker.write_queue._attempt",
    becomes("locks.wait_at_most(lock_wait)", "locks.wait_at_most(600)"),
)
def test_a_locked_account_keeps_nobody_elses_videos_waiting(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    held, others = new_user(), [new_user() for _ in range(5)]
    its_own = order(held, "A kite [sim:fail]")
    videos = [order(user, f"A kite {tag}") for user in others for tag in ("", "[sim:fail]")]
    with locked(held):
        wait_until(
            lambda: dispatcher.run() and not Video.objects.live().exclude(pk=its_own.pk).exists(), pause=0.1
        )
        assert Video.objects.live().get().pk == its_own.pk
    assert [entries(video) for video in videos] == [[("charge", -10)], REFUNDED] * 5
    pump_until_done(30)
    assert entries(its_own) == REFUNDED
    assert violations()[1] == []


def test_a_locked_account_keeps_nobody_elses_refund_waiting():
    held, other = new_user(), new_user()
    videos = [order(user) for user in (held, held, other)]
    Video.objects.update(queued_at=timezone.now() - timedelta(days=1))
    with locked(held):
        lifecycle.time_out_overdue()
        assert [again(video).status for video in videos] == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    lifecycle.time_out_overdue()
    assert [entries(video) for video in videos] == [REFUNDED] * 3


def test_a_locked_video_keeps_no_other_in_the_queue(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    held, other = order(new_user()), order(new_user())
    with locked(held):
        wait_until(lambda: dispatcher.run() and again(other).status == Status.COMPLETED)
        assert again(held).status == Status.QUEUED
    pump_until_done(30)
    assert again(held).status == Status.COMPLETED


def test_a_locked_channel_keeps_no_other_channel_waiting(simulator, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    video = order(new_user())
    locked_channel = Channel.objects.create(slug="other")
    with locked(locked_channel):
        wait_until(lambda: dispatcher.run() and again(video).status == Status.COMPLETED)


@pytest.fixture
def impatient(settings):
    """Connections that are opened from now on wait a second at the most."""
    settings.DATABASE_LOCK_SECONDS = 1
    connection.close()
    yield
    connection.close()


def test_an_order_of_a_locked_account_is_503_and_charges_nothing(owner, impatient):
    program, page = Program(owner), signed_in(owner)
    with locked(owner):
        answer = program.send("/v1/videos", {"prompt": "A kite"})
        assert error_of(answer) == (503, None, "account_busy")
        assert answer["Retry-After"]
    assert not owner.videos.exists()
    assert User.objects.get(pk=owner.pk).balance == 100
    assert program.send("/v1/videos", {"prompt": "A kite"}).status_code == 200
    with locked(owner):
        answer = page.post(f"/videos/{owner.videos.get().pk}/cancel/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert "Nothing was changed" in answer.content.decode()
    assert entries(owner.videos.get()) == [("charge", -10)]
