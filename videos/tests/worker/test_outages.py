"""Machines that die, databases that restart, and servers that answer what nobody expects."""

import asyncio
import socket
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.models import User
from aivideo.ledger_check import violations
from tests.support.fixtures import entries, new_user, order, pump_until_done, scaled_timeout, wait_until
from tests.support.sabotage import becomes, without
from tests.support.video_server import job, server
from videos import timing
from videos.catalogue import connections
from videos.generation import lifecycle
from videos.models import Channel, Status, Video
from videos.providers.base import JobState, Unavailable
from videos.worker import dispatcher, leases, steps, write_queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hasty")]

REFUNDED = [("charge", -10), ("refund", 10)]
LOST = 20


def again(video):
    return Video.objects.get(pk=video.pk)


def running(user, **fields):
    video = order(user)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now(), **fields)
    return again(video)


def unconfirmed(user, prompt="A red kite over the sea", **fields):
    video = order(user, prompt, **fields)
    lifecycle.mark_submitting(video)
    lifecycle.mark_unconfirmed(video, "cut off")
    return again(video)


def keyless():
    Channel.objects.update(honours_idempotency_key=False)


# --- The database ---------------------------------------------------------------------------------


def test_a_batch_that_was_rolled_back_is_reported_so_to_everybody_in_it():
    video = order(new_user())

    def lose_the_transaction():
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("ROLLBACK")  # what SQLite does by itself when the disk is full
                raise OperationalError("database or disk is full")
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    answers = write_queue._in_one_transaction(
        [(lifecycle.mark_submitting, (video,)), (lose_the_transaction, ())]
    )
    connection.close()
    assert [result for result, _error in answers] == [None, None]
    assert all(error for _result, error in answers)
    assert again(video).status == Status.QUEUED


def test_a_hiccup_of_the_database_does_not_end_the_dispatcher(simulator, monkeypatch):
    monkeypatch.setattr(timing, "RENEW", 0.1)
    calls = []
    renew = leases.renew

    def unlucky(*args):
        calls.append(args)
        if len(calls) == 1:
            raise OperationalError("terminating connection due to administrator command")
        return renew(*args)

    monkeypatch.setattr(leases, "renew", unlucky)
    video = order(new_user())
    dispatcher.run()
    assert len(calls) > 1
    assert again(video).status == Status.COMPLETED


def test_an_accepted_job_is_remembered_when_the_commit_of_it_fails(simulator, monkeypatch):
    run_batch, failed = write_queue._in_one_transaction, []

    def lose_the_first_accept(calls):
        if failed or lifecycle.accept not in [function for function, _args in calls]:
            return run_batch(calls)
        failed.append(True)
        with transaction.atomic():
            run_batch(calls)
            transaction.set_rollback(True)
        return [(None, OperationalError("server closed the connection unexpectedly"))] * len(calls)

    monkeypatch.setattr(write_queue, "_in_one_transaction", lose_the_first_accept)
    video = order(new_user())
    pump_until_done(30)
    states = [event.went_to for event in video.events.all()]
    assert (failed, states) == ([True], ["queued", "submitting", "in_progress", "saving", "completed"])


def test_a_double_click_with_the_last_credits_shows_the_video_to_both_halves(settings):
    settings.SIGNUP_CREDITS = 10
    user = new_user()
    together, seen = threading.Barrier(2), []

    def click():
        together.wait()
        seen.append(order(User.objects.get(pk=user.pk), client_key="k").pk)
        connection.close()

    halves = [threading.Thread(target=click) for _ in range(2)]
    for half in halves:
        half.start()
    for half in halves:
        half.join()
    assert (len(seen), len(set(seen))) == (2, 1)


# --- Silence --------------------------------------------------------------------------------------


def test_a_provider_that_takes_questions_and_never_answers_ends_at_the_deadline(settings, monkeypatch):
    monkeypatch.setattr(dispatcher, "LIFETIME", 1)
    monkeypatch.setattr(dispatcher, "WIND_DOWN", 0.5)
    settings.JOB_DEADLINE_SECONDS = 2
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        settings.SIMULATOR_URL = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        video = running(new_user())
        pump_until_done(60)
    assert (again(video).error_code, entries(video)) == ("timed_out", REFUNDED)


def test_a_submit_that_is_never_confirmed_ends_at_the_deadline_and_is_not_sent_after_it(settings):
    settings.JOB_DEADLINE_SECONDS = 8
    sent = []

    def answer(method, path):
        sent.append(timezone.now())
        return 500, {"error": {"message": "broken"}}

    with server(answer) as settings.SIMULATOR_URL:
        video = order(new_user())
        pump_until_done(40)
    assert (again(video).error_code, entries(video)) == ("unconfirmed", REFUNDED)
    assert len(sent) > 1
    assert max(sent) < again(video).deadline + timedelta(seconds=scaled_timeout(2))


# --- Answers that nobody expects ------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [409, 401, 403, 404])
def test_a_refusal_of_the_second_request_is_no_verdict_on_the_first(settings, refusal):
    replies = [None, (refusal, {"error": {"message": "not now"}}), (200, job())]

    def answer(method, path):
        if method == "POST":
            return replies.pop(0)
        return 200, job(status="failed", error={"code": "x", "message": "enough"})

    with server(answer) as settings.SIMULATOR_URL:
        video = order(new_user())
        pump_until_done(30)
    assert (again(video).ref, again(video).error_code) == ("job-1", "generation_failed")


def test_a_verdict_with_half_an_emoji_in_it_is_a_verdict(settings):
    said = {"code": "moderation_blocked", "message": "bad \ud83d and \x00"}
    with server(lambda method, path: (200, job(status="failed", error=said))) as settings.SIMULATOR_URL:
        video = order(new_user())
        pump_until_done(30)
    assert again(video).error_code == "moderation_blocked"


LISTED = {
    "as sent": ({}, "job-1"),
    "by a clock behind ours": ({"clock": -60}, "job-1"),
    "by a clock an hour slow": ({"clock": -3600}, "job-1"),
    "by a clock in another time zone": ({"clock": 7 * 3600}, "job-1"),
    "without a time": ({"created_at": 0}, "job-1"),
    "with another prompt, without a time": ({"prompt": "A blue one", "created_at": 0}, "unsure"),
    "two days ago": ({"clock": -48 * 3600}, None),
    "with the prompt trimmed": ({"prompt": "A red kite over the sea "}, "job-1"),
    "with another prompt": ({"prompt": "A blue one"}, None),
    "without a prompt": ({"prompt": None}, "unsure"),
    "under a dated model": ({"model": "sora-2-2025-12-08"}, "unsure"),
}


@without(
    "the doubt about impossible times",
    "videos.providers.openai._age",
    becomes("'unknown'", "'long ago'"),
    attack="A80",
)
@pytest.mark.parametrize("listed", LISTED)
def test_the_list_is_believed_only_where_it_is_sure(settings, monkeypatch, listed):
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    entry, expected = LISTED[listed]
    posts = []

    def answer(method, path):
        if method == "POST":
            posts.append(path)
            return 200, job(id="job-2")
        if "/videos/" in path:
            return 200, job(id=path.rpartition("/")[2], status="failed", error="enough")
        return 200, {"object": "list", "data": [job(**entry)], "has_more": False}

    with server(answer) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        pump_until_done(30)
    if expected == "unsure":
        assert (again(video).error_code, again(video).ref, posts) == ("unconfirmed", None, [])
    else:
        assert (again(video).ref, len(posts)) == (expected or "job-2", 0 if expected else 1)


def test_a_list_in_the_wrong_order_and_in_short_pages_is_read_to_its_end(settings):
    keyless()
    old = int(timezone.now().timestamp()) - 9000
    pages = {"": [job(id="old", created_at=old), job(id="new", prompt="Else")], "new": [job()], "job-1": []}

    def answer(method, path):
        if "/videos/" in path:
            return 200, job(status="failed", error="enough")
        after = path.partition("after=")[2].partition("&")[0]
        return 200, {"object": "list", "data": pages[after], "has_more": True}

    with server(answer) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        pump_until_done(30)
    assert again(video).ref == "job-1"


@without(
    "the doubt about a list that was not read to its end",
    "videos.providers.openai.Adapter._read_list",
    becomes("'the list goes further back than it can be read'", "''"),
)
@pytest.mark.parametrize("newer", [900, 12_000])
def test_A80_a_lost_job_below_many_newer_ones_is_found_or_nobody_can_tell(settings, monkeypatch, newer):
    """Where even that is too far back, the order is not sent again: that the job is not seen proves nothing."""
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    ids = [f"newer-{number}" for number in range(newer)] + ["job-1"]
    posts = []

    def answer(method, path):
        if method == "POST":
            posts.append(path)
            return 200, job(id="job-2")
        if "/videos/" in path:
            return 200, job(status="failed", error="enough")
        after = path.partition("after=")[2].partition("&")[0]
        start = ids.index(after) + 1 if after else 0
        page = ids[start : start + 100]
        data = [job(id=name, prompt=job()["prompt"] if name == "job-1" else "Else") for name in page]
        return 200, {"object": "list", "data": data, "has_more": start + 100 < len(ids)}

    with server(answer) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        pump_until_done(60)
    assert posts == []
    assert (again(video).ref, again(video).error_code) == (
        ("job-1", "generation_failed") if newer == 900 else (None, "unconfirmed")
    )


def test_all_that_look_for_a_lost_job_at_one_moment_read_the_list_once(settings):
    keyless()
    asked = []

    def answer(method, path):
        if "/videos/" in path:
            return 200, job(id=path.rpartition("/")[2], status="failed", error="enough")
        asked.append(path)
        data = [job(id=f"job-{number}", prompt=f"Kite {number}") for number in range(LOST)]
        return 200, {"object": "list", "data": data, "has_more": False}

    with server(answer) as settings.SIMULATOR_URL:
        videos = [unconfirmed(new_user(), f"Kite {number}") for number in range(LOST)]
        Video.objects.update(next_attempt_at=timezone.now())
        pump_until_done(30)
    assert [again(video).ref for video in videos] == [f"job-{number}" for number in range(LOST)]
    assert len(asked) <= 3


def test_all_that_wait_for_a_list_that_fails_are_told_at_once(settings):
    """Each further try may take as long as the first."""
    tries = []

    def answer(method, path):
        tries.append(path)
        time.sleep(0.5)
        return 500, {"error": {"message": "not now"}}

    async def find_all():
        async with connections.provider_for(Channel.objects.get(slug="simulator")) as provider:
            return await asyncio.gather(
                *(provider.find(request, timezone.now()) for _ in range(LOST)), return_exceptions=True
            )

    with server(answer) as settings.SIMULATOR_URL:
        request = steps.job_request(order(new_user()))
        found = asyncio.run(find_all())
    assert {type(error) for error in found} == {Unavailable}
    assert len(tries) <= 2


def test_A80_a_list_that_only_repeats_itself_proves_nothing(settings, monkeypatch):
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    listing = {"object": "list", "data": [job(id="else", prompt="Else")], "has_more": True}
    with server(lambda method, path: (200, listing)) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        pump_until_done(30)
    assert (again(video).error_code, entries(video)) == ("unconfirmed", REFUNDED)


def test_A80_where_all_seem_old_the_list_is_read_on(settings, monkeypatch):
    """By a clock an hour slow the lost job stands below a page of newer ones that seem as old."""
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    ids = [f"newer-{number}" for number in range(100)] + ["job-1"]

    def answer(method, path):
        assert method == "GET"
        if "/videos/" in path:
            return 200, job(status="failed", error="enough")
        page = ids[100:] if "after=" in path else ids[:100]
        data = [job(-3600, id=name, prompt="Else" if name != "job-1" else job()["prompt"]) for name in page]
        return 200, {"object": "list", "data": data, "has_more": "after=" not in path}

    with server(answer) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        pump_until_done(30)
    assert again(video).ref == "job-1"


def test_a_request_sent_under_a_clock_that_was_set_back_is_not_waited_for_as_much_longer(
    settings, monkeypatch
):
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    with server(lambda method, path: (404, {"error": {"message": "no list here"}})) as settings.SIMULATOR_URL:
        video = unconfirmed(new_user())
        Video.objects.filter(pk=video.pk).update(posted_at=timezone.now() + timedelta(hours=1))
        pump_until_done(30)
    assert (again(video).error_code, entries(video)) == ("unconfirmed", REFUNDED)


def test_nobody_gets_a_video_of_somebody_elses_picture(settings, monkeypatch):
    """Two people lost the replies to the same prompt, each with a picture that a list does not show."""
    keyless()
    monkeypatch.setattr(steps, "GRACE", 1)
    monkeypatch.setattr(dispatcher, "LIFETIME", 2)
    entries_of_both = [job(id="job-1"), job(id="job-2")]
    listing = {"object": "list", "data": entries_of_both, "has_more": False}
    with server(lambda method, path: (200, listing)) as settings.SIMULATOR_URL:
        ada, ben = (unconfirmed(new_user(), preset=name) for name in ("coffee", "cat"))

        def ada_is_done():
            # Ben's is not looked at meanwhile, so that Ada's meets it.
            Video.objects.filter(pk=ben.pk).update(next_attempt_at=timezone.now() + timedelta(seconds=30))
            return dispatcher.run() and not again(ada).is_live

        wait_until(ada_is_done)
    assert again(ada).ref is None
    assert (again(ada).error_code, entries(ada)) == ("unconfirmed", REFUNDED)
    settings.JOB_DEADLINE_SECONDS = 1
    Video.objects.filter(pk=ben.pk).update(next_attempt_at=timezone.now())
    pump_until_done(60)
    assert violations()[1] == []
