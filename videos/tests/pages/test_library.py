"""Library, video page and media: newest first, page by page, and for the owner only."""

import re

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from tests.support.completed import MP4, completed
from tests.support.fixtures import order
from tests.support.sabotage import becomes, without
from videos.generation import lifecycle
from videos.models import Video
from videos.pages.library import PAGE

pytestmark = pytest.mark.django_db


def many(user, count):
    first = order(user)
    Video.objects.all().delete()
    Video.objects.bulk_create(
        Video(
            user=user,
            model=first.model,
            channel=first.channel,
            prompt=f"Kite {n:03}",
            size="1280x720",
            seconds=4,
            credits=10,
            status="failed",
        )
        for n in range(count)
    )


def prompts(page):
    return list(dict.fromkeys(re.findall(r"Kite \d{3}", page)))


def test_the_library_is_newest_first_and_pages_without_gap_or_repeat(as_owner, owner):
    many(owner, 2 * PAGE + 5)
    url, seen = "/videos/", []
    while url:
        page = as_owner.get(url).content.decode()
        seen += prompts(page)
        more = re.search(r"/videos/\?before=[^\"&]+", page)
        url = more and more.group().replace("&amp;", "&")
    assert seen == [f"Kite {n:03}" for n in reversed(range(2 * PAGE + 5))]


def test_a_page_of_the_library_takes_the_same_few_queries_however_many_there_are(
    as_owner, owner, django_assert_max_num_queries
):
    many(owner, 3 * PAGE)
    with django_assert_max_num_queries(5):
        as_owner.get("/videos/")


@pytest.mark.parametrize("cursor", ["x", "2026-01-01", "2026-01-01T00:00:00_x", "_", "%00"])
def test_a_broken_cursor_is_404(as_owner, cursor):
    assert as_owner.get(f"/videos/?before={cursor}").status_code == 404


def test_an_empty_library_says_what_to_do(as_owner):
    assert 'href="/"' in as_owner.get("/videos/").content.decode()


def test_the_video_page_shows_player_facts_and_receipt(as_owner, owner):
    video = completed(owner)
    page = as_owner.get(f"/videos/{video.pk}/").content.decode()
    for text in (
        f"/videos/{video.pk}/file/",
        "download=1",
        f"/?again={video.pk}",
        f"/videos/{video.pk}/delete/",
        "Ordered. 10 credits reserved.",
        "Ready to play. 10 credits charged.",
        "AI generated",
    ):
        assert text in page


def test_the_file_comes_whole_by_range_and_as_download(as_owner, owner):
    url = f"/videos/{completed(owner).pk}/file/"
    whole = as_owner.get(url)
    assert (whole.status_code, whole["Content-Type"], b"".join(whole)) == (200, "video/mp4", MP4)
    part = as_owner.get(url, headers={"Range": "bytes=4-11"})
    assert (part.status_code, b"".join(part)) == (206, b"ftypmp42")
    assert as_owner.get(url, headers={"Range": f"bytes={len(MP4)}-"}).status_code == 416
    assert as_owner.get(url, headers={"If-None-Match": whole["ETag"]}).status_code == 304
    assert as_owner.get(f"{url}?download=1")["Content-Disposition"].startswith("attachment")


def test_the_poster_is_a_picture(as_owner, owner):
    answer = as_owner.get(f"/videos/{completed(owner).pk}/poster/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")


def test_a_video_without_a_file_yet_has_none_to_give(as_owner, owner):
    video = order(owner)
    assert as_owner.get(f"/videos/{video.pk}/file/").status_code == 404
    assert as_owner.get(f"/videos/{video.pk}/poster/").status_code == 404


ROUTES = ["", "card/", "cancel/", "file/", "poster/", "delete/"]


@without(
    "the owner check on a video",
    "videos.pages.video.own",
    becomes("user.videos", "user.videos.model.objects"),
)
@pytest.mark.parametrize("route", ROUTES)
def test_A01_a_strangers_video_is_not_found(as_owner, as_stranger, owner, route):
    url = f"/videos/{completed(owner).pk}/{route}"
    assert as_owner.get(url).status_code == 200
    assert as_stranger.get(url).status_code == 404
    anonymous = Client().get(url)
    assert (anonymous.status_code, anonymous["Location"].partition("?")[0]) == (302, "/accounts/login/")


PARAMETERS = [
    "user",
    "user_id",
    "owner",
    "q",
    "search",
    "id",
    "pk",
    "ids",
    "page",
    "order",
    "status",
    "kind",
    "all",
    "deleted",
    "format",
]


@without(
    "the owner of a library",
    "videos.pages.library.library_of",
    becomes("user.videos", "user.videos.model.objects"),
)
def test_A07_no_parameter_shows_a_strangers_video(as_stranger, owner):
    video = order(owner, "A secret kite")
    cursor = f"2999-01-01T00:00:00+00:00_{video.pk}"
    for value in (owner.pk, video.pk, owner.email, "1", "", "all", "A secret kite", cursor):
        # What these do with a value that they do not know hides the others.
        for parameters in (PARAMETERS, ["before"], ["video"], ["again"]):
            for page in ("/videos/", "/", "/credits/", "/credits/statement.csv"):
                answer = as_stranger.get(page, dict.fromkeys(parameters, value))
                shown = b"".join(answer) if answer.streaming else answer.content
                assert b"A secret kite" not in shown
                assert f"/videos/{video.pk}/".encode() not in shown


@without(
    "the owner check on a video",
    "videos.pages.video.own",
    becomes("user.videos", "user.videos.model.objects"),
)
def test_A02_a_strangers_video_cannot_be_deleted(as_stranger, owner):
    video = completed(owner)
    assert as_stranger.post(f"/videos/{video.pk}/delete/").status_code == 404
    assert owner.videos.kept().count() == 1


def test_A05_private_answers_are_not_for_caches(as_owner, owner):
    video = completed(owner)
    for route in ("file/", "poster/", "card/"):
        cache = as_owner.get(f"/videos/{video.pk}/{route}")["Cache-Control"]
        assert "private" in cache
        assert "no-store" in cache


def test_deleting_asks_first_and_then_removes_the_files(as_owner, owner, django_capture_on_commit_callbacks):
    video = completed(owner)
    url = f"/videos/{video.pk}/delete/"
    assert as_owner.get(url).status_code == 200
    assert owner.videos.kept().count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        assert as_owner.post(url)["Location"] == "/videos/"
    assert not default_storage.exists(video.file.name)
    assert not default_storage.exists(video.poster.name)
    assert as_owner.get(f"/videos/{video.pk}/").status_code == 404
    assert as_owner.post(url).status_code == 404


def test_deleting_a_running_video_is_refused_with_a_sentence(as_owner, owner):
    video = order(owner)
    answer = as_owner.post(f"/videos/{video.pk}/delete/")
    assert answer.status_code == 409
    assert "still in progress" in answer.content.decode()


def test_the_credits_page_lists_every_entry(as_owner, owner):
    lifecycle.fail(order(owner), "generation_failed")
    page = as_owner.get("/credits/").content.decode()
    for text in ("Granted", "Charged", "Refunded"):
        assert text in page
