"""The database backend for PostgreSQL."""

import time

import pytest
from django.db import InternalError, connection, transaction
from django.db.backends.postgresql import base

from accounts.models import User
from aivideo.postgresql.base import CHECK_INTERVAL
from tests.support.database import another_session
from tests.support.fixtures import new_user, order
from videos import serializers
from videos.generation import lifecycle

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs DATABASE_URL of a PostgreSQL server"),
]


@pytest.fixture
def round_trips(monkeypatch):
    """Makes a list of the checks that asked the server."""
    asked, ask = [], base.DatabaseWrapper.is_usable

    def is_usable(self):
        asked.append(True)
        return ask(self)

    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", is_usable)
    return asked


@pytest.fixture
def fresh():
    """A new connection, which has answered once."""
    connection.close()
    connection.ensure_connection()
    assert connection.is_usable()
    yield
    connection.close()


def test_a_connection_that_has_just_answered_is_not_asked_again(fresh, round_trips):
    assert [connection.is_usable() for _ in range(3)] == [True] * 3
    assert round_trips == []


def test_a_connection_is_asked_again_after_a_while(fresh, round_trips, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + CHECK_INTERVAL)
    assert connection.is_usable()
    assert round_trips == [True]


def test_a_connection_that_the_server_has_ended_is_noticed_at_once(fresh):
    pid = connection.connection.info.backend_pid
    with another_session(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    assert not connection.is_usable()


def test_a_closed_connection_is_not_usable(fresh):
    connection.connection.close()
    assert not connection.is_usable()


def test_a_select_that_comes_again_and_again_is_prepared(fresh):
    user = new_user()
    video = order(user)
    for _ in range(10):
        assert serializers.load_video(video.pk, user).prompt == video.prompt
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        assert [statement.split()[0] for (statement,) in cursor.fetchall()] == ["SELECT"]


def test_changes_of_state_are_prepared(fresh):
    for _ in range(10):
        assert lifecycle.mark_submitting(order(new_user()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        kinds = {" ".join(statement.split()[:3]) for (statement,) in cursor.fetchall()}
    assert {'UPDATE "videos_video" SET', 'INSERT INTO "videos_videoevent"'} <= kinds


def test_a_prepared_statement_that_comes_first_in_a_request_notices_a_lost_connection(fresh):
    user = new_user()
    video = order(user)
    pid = connection.connection.info.backend_pid
    with another_session(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    connection.health_check_enabled, connection.health_check_done = True, False  # as a request begins
    assert serializers.load_video(video.pk, user).prompt == video.prompt


def test_a_prepared_select_survives_a_change_of_a_columns_type(fresh):
    user = new_user()
    video = order(user)
    for _ in range(10):
        serializers.load_video(video.pk, user)
    try:
        alter("varchar(13)")
        assert [serializers.load_video(video.pk, user).size for _ in range(10)] == [video.size] * 10
    finally:
        alter("varchar(12)")


def test_a_prepared_change_of_state_survives_a_change_of_a_columns_type(fresh):
    for _ in range(10):
        assert lifecycle.mark_submitting(order(new_user()))
    video = order(new_user())
    try:
        alter("varchar(13)")
        assert lifecycle.mark_submitting(video)  # in a transaction, where it could not be tried again
    finally:
        alter("varchar(12)")


def alter(kind):
    # On another connection, as a migration: psycopg forgets what is prepared on its own.
    with another_session(autocommit=True) as other:
        other.execute(f"ALTER TABLE videos_video ALTER size TYPE {kind}")


def test_a_session_waits_for_locks_and_holds_them_for_so_long_only(fresh, settings):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"
        )
        assert cursor.fetchone() == ("5s", "1min")


def test_a_session_compiles_no_queries(fresh):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('jit')")
        assert cursor.fetchone() == ("off",)


def test_a_session_that_stands_still_in_a_transaction_loses_its_locks(settings):
    user = new_user()
    settings.DATABASE_IDLE_SECONDS = 1
    connection.close()

    def stand_still():
        with another_session(autocommit=True) as other, transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)
            other.execute("UPDATE accounts_user SET first_name = 'A' WHERE id = %s", [user.pk])
            User.objects.update(first_name="B")

    with pytest.raises(InternalError, match="idle-in-transaction"):
        stand_still()
    connection.close()
    assert User.objects.get(pk=user.pk).first_name == "A"
