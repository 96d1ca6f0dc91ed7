"""A model with several channels: who is asked first, who next, and that nobody is asked who should not be."""

import sqlite3
import threading
from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts import fast_sql
from aivideo.ledger_check import violations
from tests.support.fixtures import (
    TEST_TIMEOUT,
    entries,
    new_user,
    order,
    pump_until_done,
    start_simulator,
    wait_until,
)
from tests.support.video_server import job, server
from videos.catalogue import availability, breaker, refusals, routing
from videos.generation import lifecycle
from videos.models import Channel, Offer, Status, Video, VideoModel
from videos.worker import admission

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _real_providers(settings, hasty):
    settings.USE_MOCK_SORA = False


@pytest.fixture
def model():
    """A model that the channels `first` and `second` make, at no server yet."""
    model = VideoModel.objects.create(slug="kite", name="Kite", sizes=["1280x720"], lengths=[4])
    for priority, slug in enumerate(["first", "second"]):
        channel = Channel.objects.create(slug=slug, base_url="http://127.0.0.1:9/v1")
        model.offers.create(channel=channel, provider_model=f"kite-{slug}", priority=priority)
    return model


class Provider:
    """A server that answers submits with `answer`, and each question with a verdict; `posts` are what it was asked to make."""

    def __init__(self, answer):
        self.answer, self.posts = answer, 0

    def __call__(self, method, path):
        if method == "POST":
            self.posts += 1
            return self.answer
        if path.endswith("/videos") or "?" in path:
            return 404, {"error": {"message": "no list"}}
        return 200, job(id=path.rpartition("/")[2], status="failed", error="seen")


@pytest.fixture
def providers():
    """Put servers behind both channels: `providers(first, second)` with their answers to a submit."""
    with ExitStack() as stack:

        def run(*answers):
            found = [Provider(answer) for answer in answers]
            for slug, provider in zip(("first", "second"), found, strict=True):
                Channel.objects.filter(slug=slug).update(base_url=stack.enter_context(server(provider)))
            return found

        yield run


TAKEN = (200, job(status="queued"))
REFUSED = {status: (status, {"error": {"message": "no"}}) for status in (400, 401, 402, 403, 404, 500)}


def ordered(model):
    return order(new_user(), model=model)


def test_the_first_by_priority_is_asked(model, providers):
    first, second = providers(TAKEN, TAKEN)
    video = ordered(model)
    pump_until_done(20)
    video.refresh_from_db()
    assert (video.channel.slug, video.provider_model, first.posts, second.posts) == (
        "first",
        "kite-first",
        1,
        0,
    )


@pytest.mark.parametrize("answer", [401, 402, 403, 404, 429])
def test_what_was_surely_not_taken_goes_to_the_next_channel(model, providers, answer):
    first, second = providers(REFUSED.get(answer, (429, {"error": {"message": "busy"}})), TAKEN)
    video = ordered(model)
    pump_until_done(20)
    video.refresh_from_db()
    assert (video.channel.slug, video.provider_model) == ("second", "kite-second")
    assert (first.posts, second.posts, video.error_detail) == (1, 1, "failed  seen")


def test_a_refusal_that_another_channel_made_good_names_who_refused(model, providers):
    providers((403, {"error": {"message": "Your organization must be verified to use it."}}), TAKEN)
    ordered(model)
    pump_until_done(20)
    (found,) = refusals.current_refusals()
    assert (found.channel.slug, found.count) == ("first", 1)
    assert found.words == "HTTP 403: Your organization must be verified to use it."


def test_nobody_at_home_is_not_sent_and_goes_to_the_next_channel(model, providers):
    _first, second = providers(TAKEN, TAKEN)
    Channel.objects.filter(slug="first").update(base_url="http://127.0.0.1:9/v1")
    video = ordered(model)
    pump_until_done(20)
    video.refresh_from_db()
    assert (video.channel.slug, second.posts) == ("second", 1)


@pytest.mark.parametrize("answer", [None, 500])
def test_what_may_have_been_taken_is_asked_of_nobody_else(model, providers, answer, monkeypatch):
    monkeypatch.setattr("videos.worker.steps.GRACE", 1)
    first, second = providers(REFUSED.get(answer), TAKEN)
    video = ordered(model)
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.channel.slug, video.error_code, first.posts, second.posts) == ("first", "unconfirmed", 1, 0)
    assert entries(video) == [("charge", -10), ("refund", 10)]


def test_a_verdict_is_not_asked_for_twice(model, providers):
    first, second = providers(REFUSED[400], TAKEN)
    video = ordered(model)
    pump_until_done(20)
    video.refresh_from_db()
    assert (video.error_code, first.posts, second.posts) == ("invalid_request", 1, 0)


def test_when_nobody_lets_us_in_the_credits_return(model, providers):
    first, second = providers(REFUSED[401], REFUSED[403])
    video = ordered(model)
    pump_until_done(20)
    video.refresh_from_db()
    assert (video.error_code, first.posts, second.posts) == ("provider_refused", 1, 1)
    assert entries(video) == [("charge", -10), ("refund", 10)]


def test_new_videos_go_where_somebody_takes_them(model):
    breaker.pause(Channel.objects.get(slug="first"), 60)
    assert ordered(model).channel.slug == "second"
    breaker.record_success(Channel.objects.get(slug="first"))
    assert ordered(model).channel.slug == "first"


def test_while_all_rest_a_video_waits_before_the_first_and_can_be_canceled(model):
    for slug in ("first", "second"):
        breaker.pause(Channel.objects.get(slug=slug), 60)
    video = ordered(model)
    routing.reroute_waiting()
    video.refresh_from_db()
    assert (video.channel.slug, video.status) == ("first", Status.QUEUED)
    with transaction.atomic():
        assert admission.admit(10) == []
    assert lifecycle.cancel(video)


def test_a_model_whose_last_channel_was_closed_meanwhile_is_refused_and_costs_nothing(model):
    Channel.objects.filter(slug__in=["first", "second"]).update(enabled=False)
    user = new_user()
    with pytest.raises(ValidationError, match="not available"):
        order(user, model=model)
    user.refresh_from_db()
    assert (user.balance, user.videos.count()) == (100, 0)


def test_the_queue_of_a_channel_that_rests_moves_on(model):
    videos = [ordered(model) for _ in range(3)]
    Channel.objects.filter(slug="first").update(enabled=False)
    routing.reroute_waiting()
    routing.reroute_waiting()
    assert [Video.objects.get(pk=video.pk).channel.slug for video in videos] == ["second"] * 3


def test_a_video_that_was_once_unconfirmed_stays_where_it_was(model):
    video = ordered(model)
    lifecycle.mark_submitting(video)
    lifecycle.mark_unconfirmed(video, "gone")
    lifecycle.requeue(video)
    Channel.objects.filter(slug="first").update(enabled=False)
    routing.reroute_waiting()
    video.refresh_from_db()
    assert (video.channel.slug, routing.next_after(video)) == ("first", None)


def test_a_video_that_is_on_its_way_stays_pinned(model):
    video = ordered(model)
    lifecycle.mark_submitting(video)
    Channel.objects.filter(slug="first").update(enabled=False)
    routing.reroute_waiting()
    video.refresh_from_db()
    assert video.channel.slug == "first"


def test_a_model_is_offered_once_a_key_is_there(monkeypatch):
    assert not availability.models().filter(slug="wan-2.6").exists()
    monkeypatch.setenv("OPENROUTER_API_KEY", "key")
    assert availability.models().filter(slug="wan-2.6").exists()
    assert routing.best(VideoModel.objects.get(slug="wan-2.6"), None).provider_model == "alibaba/wan-2.6"


def test_the_simulator_is_asked_only_while_it_stands_in_for_all(settings):
    assert not Offer.objects.filter(channel__slug="simulator", model__in=availability.models()).exists()
    settings.USE_MOCK_SORA = True
    assert {model.slug for model in availability.models()} == {"sora-2", "sora-2-pro"}


def test_the_cost_is_that_of_the_channel_that_made_it(model):
    Offer.objects.filter(channel__slug="second").update(cost_a_second="0.5")
    video = ordered(model)
    at = {"status": "in_progress", "ref": "job-1", "channel": Channel.objects.get(slug="second")}
    Video.objects.filter(pk=video.pk).update(**at)
    video.refresh_from_db()
    assert lifecycle.finish(video)
    assert video.cost == 2


def test_a_rest_that_is_over_is_no_rest(model):
    Channel.objects.filter(slug="first").update(resumes_at=timezone.now() - timedelta(seconds=1))
    assert routing.best(model, None).channel.slug == "first"


def journal(folder):
    """The prompts of all jobs that a simulator ever took."""
    with sqlite3.connect(f"file:{folder}/jobs.sqlite3?mode=ro", uri=True) as book:
        return sorted(prompt for (prompt,) in book.execute("SELECT prompt FROM jobs"))


def test_when_the_first_channel_dies_new_videos_go_to_the_second_and_old_ones_stay(model, tmp_path):
    model.offers.update(provider_model="sora-2")
    first, url = start_simulator(tmp_path / "first", SIMULATOR_SECONDS="4")
    second, other_url = start_simulator(tmp_path / "second", SIMULATOR_SECONDS="1")
    for slug, address in (("first", url), ("second", other_url)):
        Channel.objects.filter(slug=slug).update(base_url=address, honours_idempotency_key=True)
    user = new_user()

    def make(name):
        return [order(user, f"A kite [sim:mark-{name}{n}]", model=model).pk for n in range(3)]

    def all_are(videos, status):
        return Video.objects.filter(pk__in=videos, status=status).count() == len(videos)

    old = make("old")
    worker = threading.Thread(target=pump_until_done, args=[90])
    worker.start()
    try:
        wait_until(lambda: all_are(old, "in_progress"))
        first.kill()
        first.wait()
        new = make("new")
        wait_until(lambda: all_are(new, "completed"))
        first, _url = start_simulator(tmp_path / "first", port=int(urlsplit(url).port), SIMULATOR_SECONDS="4")
        wait_until(lambda: all_are(old, "completed"))
    finally:
        worker.join()
        for process in (first, second):
            process.terminate()
            process.wait(TEST_TIMEOUT)
    assert set(Video.objects.filter(pk__in=old).values_list("channel__slug", flat=True)) == {"first"}
    assert set(Video.objects.filter(pk__in=new).values_list("channel__slug", flat=True)) == {"second"}
    assert [len(journal(tmp_path / name)) for name in ("first", "second")] == [3, 3]
    user.refresh_from_db()
    assert (user.balance, violations()[1]) == (40, [])


def test_a_channel_that_staff_delete_while_it_is_looked_for_is_left_out(model, monkeypatch):
    """Between the question for the offers and the one for their channels."""

    def rows(kind, *query):
        found = plain_rows(kind, *query)
        if kind is Offer:
            model.offers.filter(channel__slug="first").delete()
            Channel.objects.filter(slug="first").delete()
        return found

    plain_rows = fast_sql.rows
    monkeypatch.setattr(fast_sql, "rows", rows)
    assert [offer.provider_model for offer in routing.offers(model)] == ["kite-second"]
