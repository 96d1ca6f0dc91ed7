"""What programs read: their videos, the list, files, and what there is not."""

import time
import uuid

import pytest
from django.test import Client

from accounts.models import User
from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import order, pump_until_done, signed_in
from tests.support.sabotage import becomes, becomes_text, omit, without
from videos import serializers
from videos.catalogue import availability
from videos.generation import lifecycle
from videos.models import Video
from videos.serializers import public_id

pytestmark = pytest.mark.django_db


@without(
    "the owner check on a video asked for by API",
    "videos.serializers.VIDEO_SQL",
    becomes_text("v.user_id = %s", "%s > 0"),
)
@without(
    "the owner of the list of videos",
    "videos.api.videos.page",
    becomes("user.videos.kept()", "user.videos.model.objects.kept()"),
    attack="A07",
)
@pytest.mark.django_db(transaction=True)
def test_A01_A02_A07_a_stranger_finds_nothing(owner, stranger, simulator):
    mine = order(owner)
    pump_until_done(30)
    other = Program(stranger)
    path = f"/v1/videos/{public_id(mine.pk)}"
    for answer in (
        other.get(path),
        other.delete(path),
        other.get(f"{path}/content"),
        other.send(f"{path}/remix", {"prompt": "Mine now"}),
        other.get(f"/v1/videos?after={public_id(mine.pk)}"),
    ):
        assert error_of(answer)[0] == 404
    assert other.get("/v1/videos").json()["data"] == []
    assert Program(owner).get(path).status_code == 200
    assert Program(owner).get(f"{path}/content").status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing", "video_", "video_" + "g" * 32, "VIDEO_" + "0" * 32, str(uuid.UUID(int=1)), "%00"]
)
def test_what_is_no_id_is_404(program, name):
    assert error_of(program.get(f"/v1/videos/{name}")) == (404, None, "not_found")


@pytest.mark.parametrize("query", ["user=1", "limit=0", "limit=101", "limit=x", "order=up", "after=%00"])
def test_the_list_takes_no_other_parameters_and_values(program, query):
    status, param, _code = error_of(program.get(f"/v1/videos?{query}"))
    assert (status, param) == (404 if "after" in query else 400, query.partition("=")[0])


def test_the_list_neither_skips_nor_repeats_while_videos_come_and_go(program, owner):
    owner_videos = [order(owner) for _ in range(6)]
    lifecycle.cancel(owner_videos[4])
    seen, after = [], ""
    while True:
        page = program.get(f"/v1/videos?limit=2{after}").json()
        seen += [video["id"] for video in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
        if len(seen) == 2:
            order(owner)
            lifecycle.delete(Video.objects.get(pk=owner_videos[4].pk))
    assert seen == [public_id(video.pk) for video in reversed(owner_videos)]


def test_an_unchanged_video_is_304(program, owner):
    path = f"/v1/videos/{public_id(order(owner).pk)}"
    first = program.get(path)
    assert int(first["openai-poll-after-ms"]) > 0
    again = program.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    lifecycle.cancel(owner.videos.get())
    changed = program.get(path, headers={"If-None-Match": first["ETag"]}).json()
    assert (changed["status"], changed["error"]["code"]) == ("failed", "canceled")


def test_there_is_no_content_before_the_end(program, owner):
    path = f"/v1/videos/{public_id(order(owner).pk)}/content"
    assert error_of(program.get(path)) == (404, None, "video_not_completed")
    assert error_of(program.get(f"{path}?variant=thumbnail")) == (404, None, "video_not_completed")


def test_an_unknown_variant_is_400(program, owner):
    path = f"/v1/videos/{public_id(order(owner).pk)}/content"
    assert error_of(program.get(f"{path}?variant=1")) == (400, "variant", "invalid_value")


HOUR = 3600
anybody = Client()


def link_of(video):
    """The path of the link in the video object."""
    return str(serializers.video_object(video)["url"]).removeprefix("http://127.0.0.1:8000")


def set_clock(monkeypatch, at):
    monkeypatch.setattr(serializers.time, "time", lambda: at)


@without(
    "the expiry of an API link", "videos.serializers.resolve_link", becomes("int(until)", "2 * int(until)")
)
@pytest.mark.parametrize("minute", [0, 1, 59])
def test_A04_a_link_works_after_23_hours_and_not_after_25(owner, monkeypatch, minute):
    hour = time.time() // HOUR * HOUR
    made_at = hour + 60 * minute + 1
    set_clock(monkeypatch, made_at)
    link = link_of(completed(owner))
    for hours, status in ((0, 200), (23, 200), (24, 200), (25, 403)):
        set_clock(monkeypatch, made_at + hours * HOUR)
        assert anybody.get(link).status_code == status, hours
    assert error_of(anybody.get(link)) == (403, None, "link_expired")


def test_the_object_says_when_its_link_ends_and_both_change_once_an_hour(program, owner, monkeypatch):
    video = completed(owner)
    path = f"/v1/videos/{public_id(video.pk)}"
    hour = int(time.time()) // HOUR * HOUR
    said = []
    for at in (hour + 1, hour + HOUR - 1, hour + HOUR + 1):
        set_clock(monkeypatch, at)
        said.append(program.get(path).json())
    assert [one["expires_at"] for one in said] == [hour + 25 * HOUR, hour + 25 * HOUR, hour + 26 * HOUR]
    assert said[0] == said[1]
    assert said[0]["url"] != said[2]["url"]
    link, end = said[0]["url"].removeprefix("http://127.0.0.1:8000"), said[0]["expires_at"]
    for at, status in ((end - 1, 200), (end, 403)):
        set_clock(monkeypatch, at)
        assert anybody.get(link).status_code == status


def test_the_operator_says_how_long_links_work(owner, monkeypatch, settings):
    settings.LINK_SECONDS = 60
    video, now = completed(owner), time.time()
    set_clock(monkeypatch, now)
    link = link_of(video)
    set_clock(monkeypatch, now + 59)
    assert anybody.get(link).status_code == 200
    set_clock(monkeypatch, now + 65)
    assert anybody.get(link).status_code == 403


def test_a_link_is_also_that_of_the_poster_but_not_of_a_sprite_sheet(owner):
    link = link_of(completed(owner))
    assert anybody.get(f"{link}?variant=thumbnail")["Content-Type"] == "image/webp"
    assert error_of(anybody.get(f"{link}?variant=spritesheet"))[:2] == (400, "variant")


def test_A04_a_link_that_was_changed_is_404(owner):
    link = link_of(completed(owner))
    assert error_of(anybody.get(link[:-1] + ("a" if link[-1] != "a" else "b")))[0] == 404
    assert error_of(anybody.get(f"{link}x"))[0] == 404


def test_A04_a_link_ends_with_its_video(owner):
    video = completed(owner)
    link = link_of(video)
    assert anybody.get(link).status_code == 200
    lifecycle.delete(video)
    assert error_of(anybody.get(link))[0] == 404


@without("the look at the owner of a link", "videos.api.videos.file_by_link", omit("user__is_active"))
def test_A04_a_link_ends_when_its_owner_is_suspended_and_comes_back_with_them(owner):
    link = link_of(completed(owner))
    for is_active, status in ((True, 200), (False, 404), (True, 200)):
        User.objects.filter(pk=owner.pk).update(is_active=is_active)
        assert anybody.get(link).status_code == status


def test_a_link_of_version_0_9_still_works(owner):
    link = link_of(completed(owner))
    assert link.startswith("/v1/links/")
    old = link.replace("/v1/links/", "/v1/files/")
    assert anybody.get(old).status_code == anybody.head(old).status_code == 200


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/api/v1/nothing", "/v1/videos/x/y/z"])
def test_an_unknown_path_is_404_in_json(program, path):
    assert error_of(program.get(path)) == (404, None, "not_found")


def test_a_wrong_method_is_405_in_json(program):
    answer = program.put("/v1/videos")
    assert error_of(answer)[0] == 405
    assert answer["Allow"]


def test_our_own_fault_is_500_in_json(program, monkeypatch):
    monkeypatch.setattr(availability, "models", lambda: 1 / 0)
    assert error_of(program.get("/v1/models"))[0] == 500


def test_the_pages_of_a_person_show_what_a_program_ordered(owner):
    Program(owner).send("/v1/videos", {"prompt": "By a program"})
    assert "By a program" in signed_in(owner).get("/videos/").content.decode()
