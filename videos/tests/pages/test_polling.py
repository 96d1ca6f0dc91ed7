"""The fragment that pages ask for again and again: what it says, when it has nothing to say, and how to cancel."""

import re
import uuid
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from tests.support.completed import completed
from tests.support.fixtures import entries, give, order
from tests.support.sabotage import becomes, without
from videos.generation import lifecycle
from videos.models import MAX_POSTER_TRIES, Channel, Status, Video
from videos.providers.base import JobState
from videos.status import progress
from videos.worker import admission

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _fresh_places(monkeypatch):
    monkeypatch.setattr(admission, "PLACES_FRESH", 0)
    admission._places.clear()
    progress._channel_states.clear()


def url(video, what=""):
    return f"/videos/{video.pk}/card/{what}"


def poll(client, video, answer, what=""):
    """Ask again as the page does that shows `answer`."""
    return client.get(url(video, what), headers={**HTMX, "If-None-Match": answer["ETag"]})


def change(video, **fields):
    Video.objects.filter(pk=video.pk).update(**fields)


def running(user, **fields):
    video = order(user)
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress", progress=20))
    change(video, **fields)
    video.refresh_from_db()
    return video


def timed_out(user):
    """A video that its provider may still finish."""
    video = running(user)
    lifecycle.fail(video, "timed_out")
    return video


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


# --- Nothing new -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["", "?at=studio", "?as=tile"])
@pytest.mark.parametrize("make", [order, running])
def test_nothing_new_is_told_without_a_word(as_owner, owner, still, make, what):
    video = make(owner)
    first = as_owner.get(url(video, what))
    again = poll(as_owner, video, first, what)
    assert (first.status_code, again.status_code, again.content) == (200, 204, b"")
    assert (again["ETag"], again["Retry-After"]) == (first["ETag"], "1")


def test_nothing_new_costs_one_query_beside_the_sign_in(
    as_owner, owner, still, django_assert_num_queries, monkeypatch
):
    video = running(owner)
    first = as_owner.get(url(video))
    with django_assert_num_queries(3):
        assert poll(as_owner, video, first).status_code == 204
    monkeypatch.setattr(admission, "PLACES_FRESH", 60)
    waiting = order(owner)
    first = as_owner.get(url(waiting))
    with django_assert_num_queries(3):
        assert poll(as_owner, waiting, first).status_code == 204


@pytest.mark.parametrize("what", ["", "?at=studio", "?as=tile"])
def test_something_new_costs_no_further_query(as_owner, owner, django_assert_num_queries, what):
    video = running(owner)
    as_owner.get(url(video, what))  # which looks up the record of the model, for a minute
    with django_assert_num_queries(3):
        as_owner.get(url(video, what))


@pytest.mark.parametrize("page", ["/", "/videos/", "/videos/{pk}/"])
def test_a_page_knows_what_it_shows_from_the_start(as_owner, owner, still, page):
    video = running(owner)
    html = as_owner.get(page.format(pk=video.pk)).content.decode()
    (tag,) = set(re.findall(r'hx-headers=\'{"If-None-Match": "W/\\"(\w+)\\""}\'', html))
    assert poll(as_owner, video, {"ETag": f'W/"{tag}"'}).status_code == 204


NEWS = {
    "progress": lambda video: change(video, progress=21),
    "a poster": lambda video: change(video, poster="posters/x.webp"),
    "the balance": lambda video: give(video.user, 5),
    "another pace": lambda video: change(video, created_at=timezone.now() - timedelta(seconds=31)),
    "less time left": lambda video: change(video, created_at=timezone.now() - timedelta(seconds=6)),
    "saving": lifecycle.finish,
    "failed": lambda video: lifecycle.fail(video, "generation_failed"),
}


@pytest.mark.parametrize("what", NEWS)
def test_each_news_of_a_running_video_is_told(as_owner, owner, what):
    video = running(owner)
    first = as_owner.get(url(video))
    NEWS[what](video)
    answer = poll(as_owner, video, first)
    assert answer.status_code == 200
    assert answer["ETag"] != first["ETag"]


QUEUE_NEWS = {
    "its place": lambda video: change(order(video.user), queued_at=timezone.now() - timedelta(seconds=9)),
    "no answer": lambda video: Channel.objects.update(enabled=False),
    "a full channel": lambda video: Channel.objects.update(max_running=0),
    "canceled": lifecycle.cancel,
    "submitting": lifecycle.mark_submitting,
}


@pytest.mark.parametrize("what", QUEUE_NEWS)
def test_each_news_of_a_queued_video_is_told(as_owner, owner, what):
    video = order(owner)
    first = as_owner.get(url(video))
    QUEUE_NEWS[what](video)
    answer = poll(as_owner, video, first)
    assert (answer.status_code, answer["ETag"] != first["ETag"]) == (200, True)


def test_no_state_is_ever_taken_for_another(as_owner, owner):
    video = order(owner)
    tags = []
    for status in (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS, Status.SAVING):
        change(video, status=status, posted_at=timezone.now())
        tags.append(as_owner.get(url(video))["ETag"])
    change(video, status=Status.FAILED, error_code="timed_out", ended_at=timezone.now())
    tags.append(as_owner.get(url(video))["ETag"])
    change(video, next_attempt_at=None)
    tags.append(as_owner.get(url(video))["ETag"])
    assert len(set(tags)) == 7


def test_a_page_with_an_unknown_tag_gets_it_all(as_owner, owner):
    video = running(owner)
    for tag in ('"x"', "x", "", 'W/"', "*, *"):
        assert as_owner.get(url(video), headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("age", "fields", "milliseconds"),
    [(0, {}, 500), (40, {}, 1000), (130, {}, 3000), (10, {"enabled": False}, 3000)],
)
def test_the_page_asks_less_often_where_less_will_happen(as_owner, owner, age, fields, milliseconds):
    video = order(owner)
    change(video, created_at=timezone.now() - timedelta(seconds=age))
    Channel.objects.update(**fields)
    answer = as_owner.get(url(video))
    assert f"every {milliseconds}ms" in answer.content.decode()
    assert answer["Retry-After"] == str(max(1, milliseconds // 1000))


def test_far_behind_the_page_asks_less_often(as_owner, owner, stranger):
    give(stranger, 1000)
    first = order(owner)
    change(first, queued_at=timezone.now() + timedelta(seconds=1))
    for _ in range(progress.FAR_BEHIND + 1):
        last = order(stranger)
    change(last, queued_at=timezone.now())
    assert "every 500ms" in as_owner.get(url(first)).content.decode()
    page = Client()
    page.force_login(stranger, backend="django.contrib.auth.backends.ModelBackend")
    assert "every 3000ms" in page.get(url(last)).content.decode()


# --- Its place ---------------------------------------------------------------------------------------


def test_a_video_that_is_next_starts(as_owner, owner):
    assert "Starting…" in text(as_owner.get(url(order(owner))))


def test_a_video_behind_others_tells_its_place(as_owner, owner):
    videos = [order(owner) for _ in range(3)]
    assert "Waiting for the video service, position 3" in text(as_owner.get(url(videos[2])))
    assert "Queued, position 3" in text(as_owner.get(url(videos[2], "?as=tile")))
    lifecycle.cancel(videos[0])
    assert "Waiting for the video service, position 2" in text(as_owner.get(url(videos[2])))


@pytest.mark.parametrize(
    "limit", [{"max_running": 0}, {"max_submits_per_minute": 0}, {"max_credits_per_day": 0}]
)
def test_the_first_in_front_of_a_full_channel_waits_as_well(as_owner, owner, limit):
    video = order(owner)
    Channel.objects.update(**limit)
    assert "Waiting for the video service, position 1" in text(as_owner.get(url(video)))


def test_the_first_that_does_not_start_waits(as_owner, owner):
    video = order(owner)
    change(video, created_at=timezone.now() - timedelta(seconds=20))
    assert "Waiting for the video service, position 1" in text(as_owner.get(url(video)))


@pytest.mark.parametrize("how", ["enabled", "resumes_at"])
def test_a_channel_that_takes_nothing_is_told_with_the_place(as_owner, owner, how):
    order(owner)
    video = order(owner)
    Channel.objects.update(**{how: False if how == "enabled" else timezone.now() + timedelta(seconds=60)})
    sentence = "The video service is not responding. Your video keeps its place in the queue and starts automatically."
    assert f"{sentence} Position 2." in text(as_owner.get(url(video)))
    assert "Queued, position 2" in text(as_owner.get(url(video, "?as=tile")))


def test_a_rest_that_is_over_keeps_nobody_waiting(as_owner, owner):
    video = order(owner)
    Channel.objects.update(resumes_at=timezone.now() - timedelta(seconds=1))
    assert "Starting…" in text(as_owner.get(url(video)))


def test_an_unconfirmed_video_waits_for_the_service(as_owner, owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    lifecycle.mark_unconfirmed(video, "no answer")
    assert "Waiting for the video service…" in text(as_owner.get(url(video)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2, "a few seconds left"), (12, "about 10 s left"), (88, "about 90 s left"), (200, "about 3 min left")],
)
def test_the_time_left_is_told_roughly(as_owner, owner, monkeypatch, seconds, words):
    monkeypatch.setattr("videos.status.progress.seconds_left", lambda video, now: seconds)
    assert words in text(as_owner.get(url(running(owner))))


# --- Cancel ------------------------------------------------------------------------------------------


def cancel(client, video, headers=None, query=""):
    return client.post(f"/videos/{video.pk}/cancel/{query}", headers=headers or {})


def test_only_a_queued_video_offers_to_be_canceled(as_owner, owner):
    video = order(owner)
    assert f"/videos/{video.pk}/cancel/" in as_owner.get(f"/videos/{video.pk}/").content.decode()
    lifecycle.mark_submitting(video)
    assert "/cancel/" not in as_owner.get(f"/videos/{video.pk}/").content.decode()


def test_canceling_asks_first_and_then_returns_the_credits(as_owner, owner):
    video = order(owner)
    asked = as_owner.get(f"/videos/{video.pk}/cancel/")
    assert (asked.status_code, entries(video)) == (200, [("charge", -10)])
    assert "Your 10 credits will be refunded immediately." in text(asked)
    answer = cancel(as_owner, video)
    assert (answer.status_code, answer["Location"]) == (302, f"/videos/{video.pk}/")
    page = text(as_owner.get(answer["Location"]))
    for words in ("Canceled Your 10 credits were refunded.", "Canceled. 10 credits refunded."):
        assert words in page
    assert "This video failed" not in page


def test_canceling_on_the_stage_answers_with_the_stage_the_balance_and_the_tile(as_owner, owner):
    video = order(owner)
    answer = cancel(as_owner, video, HTMX, "?at=studio")
    page = answer.content.decode()
    assert (answer.status_code, 'role="alert"' in page, "hx-get" in page) == (200, False, False)
    assert "Your 10 credits were refunded." in page
    assert "Canceled · refunded" in page
    assert re.search(r'id="balance"[\s\S]{0,300}?100', page)
    assert re.search(r'id="generate"(?![^>]*disabled)', page)


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_canceling_twice_returns_the_credits_once(as_owner, owner, headers):
    video = order(owner)
    answers = [cancel(as_owner, video, headers) for _ in range(2)]
    assert answers[0].status_code == answers[1].status_code < 400
    assert entries(video) == [("charge", -10), ("refund", 10)]
    owner.refresh_from_db()
    assert owner.balance == 100


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("state", ["submitting", "unconfirmed", "in_progress", "saving"])
def test_what_is_at_the_provider_cannot_be_canceled(as_owner, owner, headers, state):
    video = order(owner)
    change(video, status=state)
    answer = cancel(as_owner, video, headers)
    assert answer.status_code == 409
    assert (
        "It was already sent to the video service and can no longer be canceled. If it fails, your credits are refunded."
        in text(answer)
    )
    assert entries(video) == [("charge", -10)]


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_has_ended_cannot_be_canceled(as_owner, owner, headers):
    video = completed(owner)
    answer = cancel(as_owner, video, headers)
    assert answer.status_code == 409
    assert entries(video) == [("charge", -10)]


def test_a_dispatcher_that_is_quicker_than_the_click_wins(as_owner, owner, monkeypatch):
    video = order(owner)
    real = lifecycle.cancel

    def taken(seen):
        lifecycle.mark_submitting(Video.objects.get(pk=seen.pk))
        return real(seen)

    monkeypatch.setattr(lifecycle, "cancel", taken)
    assert cancel(as_owner, video).status_code == 409
    assert entries(video) == [("charge", -10)]


@without(
    "the owner check on a video",
    "videos.pages.video.own",
    becomes("user.videos", "user.videos.model.objects"),
)
def test_A02_a_strangers_video_cannot_be_canceled(as_stranger, owner):
    video = order(owner)
    for headers in ({}, HTMX):
        assert cancel(as_stranger, video, headers).status_code == 404
        answer = cancel(Client(), video, headers)
        assert answer.status_code == (401 if headers else 302)
        assert "/accounts/login/" in answer["HX-Redirect" if headers else "Location"]
    assert entries(video) == [("charge", -10)]


def test_canceling_needs_the_pages_token(owner):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    video = order(owner)
    assert cancel(client, video).status_code == 403
    assert entries(video) == [("charge", -10)]


# --- How it ends -------------------------------------------------------------------------------------


def test_a_video_that_is_still_watched_says_that_it_may_come_free(as_owner, owner):
    video = timed_out(owner)
    sentence = "If the video service still finishes it, you get it for free."
    for page in (f"/videos/{video.pk}/", f"/?video={video.pk}"):
        assert sentence in text(as_owner.get(page))
    lifecycle.stop_watching(video)
    assert sentence not in text(as_owner.get(f"/videos/{video.pk}/"))


def test_a_video_whose_credits_went_back_is_marked_as_free(as_owner, owner):
    video = completed(owner)
    change(video, is_free=True)
    assert "This video is free: your 10 credits were refunded." in text(as_owner.get(f"/videos/{video.pk}/"))
    assert "Ready · free" in text(as_owner.get("/videos/"))


def without_poster(user):
    video = completed(user)
    default_storage.delete(video.poster.name)
    change(video, poster="")
    video.refresh_from_db()
    return video


def test_a_video_whose_poster_is_not_made_yet_plays_and_its_tile_asks_for_it(as_owner, owner):
    video = without_poster(owner)
    page = as_owner.get(f"/videos/{video.pk}/").content.decode()
    assert "<video" in page
    assert "poster=" not in page
    tile = as_owner.get(url(video, "?as=tile"))
    assert ("every 3s" in tile.content.decode(), tile["Retry-After"]) == (True, "3")
    assert poll(as_owner, video, tile, "?as=tile").status_code == 204

    lifecycle.attach_poster(video, default_storage.save("posters/y.webp", ContentFile(b"RIFF")))
    with_poster = poll(as_owner, video, tile, "?as=tile")
    assert with_poster.status_code == 200
    assert f"/videos/{video.pk}/poster/" in with_poster.content.decode()
    assert "every 3s" not in with_poster.content.decode()


def test_a_poster_that_cannot_be_made_is_not_waited_for(as_owner, owner):
    video = without_poster(owner)
    change(video, attempts=MAX_POSTER_TRIES)
    answer = as_owner.get(url(video, "?as=tile"))
    assert ("hx-get" in answer.content.decode(), "Retry-After" in answer.headers) == (False, False)


def test_a_deleted_video_has_no_card(as_owner, owner):
    video = completed(owner)
    lifecycle.delete(video)
    assert as_owner.get(url(video)).status_code == 404
    assert as_owner.get(url(Video(pk=uuid.UUID(int=3)))).status_code == 404
