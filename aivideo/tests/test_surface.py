"""What strangers send that no browser would, and what every answer carries."""

import io
import uuid

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from aivideo.wsgi import application
from tests.support.fixtures import order, signed_in
from videos.generation import lifecycle
from videos.media import images, uploads
from videos.thread_budget import SlowCalls

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("charset", ["rot13", "base64", "idna", "undefined", "unicode_escape", "utf-7"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_charset_of_the_clients_choice_breaks_nothing(charset, method):
    body = rb"prompt=\ud800"
    answers = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/",
        "QUERY_STRING": "x=1",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": f"application/x-www-form-urlencoded; charset={charset}",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    b"".join(application(environ, lambda status, headers: answers.append(int(status[:3]))))
    assert answers in ([200], [403])


@pytest.mark.parametrize(
    "cursor",
    [f"0001-01-01T00:00:00%2B23:59_{uuid.UUID(int=1)}", f"9999-12-31T23:59:59-23:59_{uuid.UUID(int=1)}"],
)
def test_a_cursor_at_the_edge_of_time_is_404(as_owner, cursor):
    assert as_owner.get(f"/videos/?before={cursor}").status_code == 404


@pytest.mark.parametrize("page", ["http://[", "", "//evil.example", "javascript:alert(1)"])
def test_a_strange_current_page_leads_to_the_sign_in_all_the_same(page):
    answer = Client().get("/videos/", headers={"HX-Request": "true", "HX-Current-URL": page})
    assert answer["HX-Redirect"].startswith("/accounts/login/?next=")


def test_A05_what_a_signed_in_person_sees_is_for_nobodys_cache(as_owner, owner):
    video = order(owner)
    for url in ("/", "/videos/", f"/videos/{video.pk}/", f"/videos/{video.pk}/delete/", "/credits/"):
        assert "no-store" in as_owner.get(url)["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"Host": "evil.example"}, 400),
        ("/", {"Content-Length": "99999999"}, 413),
        ("/nothing/", {}, 404),
    ],
)
def test_A48_every_answer_carries_the_policy(settings, path, headers, status):
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.DEBUG = False
    answer = Client(raise_request_exception=False).post(path, headers=headers)
    assert answer.status_code == status
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_A48_files_of_people_are_for_pages_of_this_site_and_those_of_the_api_for_all(as_owner, program):
    assert as_owner.get("/videos/")["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Cross-Origin-Resource-Policy" not in program.get("/v1/videos").headers


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/signup/",
        "/accounts/3rdparty/",
        "/accounts/social/connections/",
        "/accounts/google/login/",
        "/accounts/google/login/token/",
        "/accounts/dummy/login/",
        "/accounts/email/",
        "/accounts/password/reset/",
    ],
)
def test_of_allauths_pages_only_the_used_ones_exist(as_owner, path):
    assert as_owner.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/videos/", "/credits/", "/healthz"])
def test_head_is_answered_where_get_is(as_owner, path):
    assert as_owner.head(path).status_code == 200


def test_a_missing_video_gets_our_page_in_demo_mode_too(as_owner, settings):
    settings.DEBUG = True
    assert "Not found" in as_owner.get(f"/videos/{uuid.UUID(int=1)}/").content.decode()


def test_A53_a_prompt_of_a_megabyte_gets_its_sentence_from_the_form(as_owner):
    sent = {
        "prompt": "x" * 1_200_000,
        "model": "sora-2",
        "seconds": "4",
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    answer = as_owner.post("/", sent)
    assert (answer.status_code, "1200000 characters" in answer.content.decode()) == (422, True)


def test_a_crowd_of_pictures_does_not_hold_up_the_site(owner, monkeypatch):
    decoding = SlowCalls(at_once=1, wait=0.1)
    monkeypatch.setattr(uploads, "_decoding", decoding)
    with decoding.turn(), pytest.raises(images.ImageRefused, match="Too many pictures"):
        uploads.keep(owner, io.BytesIO(b"\xff\xd8\xff\xe0"))


def test_pictures_that_no_video_was_made_of_do_not_pile_up(owner, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UNUSED", 2)
    used = upload(owner, 0)
    lifecycle.fail(order(owner, upload=used), "generation_failed")
    for number in range(1, 6):
        newest = upload(owner, number)
        uploads._delete_unused(owner, newest)
    assert set(owner.uploads.values_list("sha256", flat=True)) == {"0" * 64, "3" * 64, "4" * 64, "5" * 64}


def upload(user, number):
    file = ContentFile(b"jpeg", name=f"{number}.jpg")
    return user.uploads.create(file=file, sha256=str(number) * 64, width=1, height=1)


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "\\\\evil.example", "https:evil.example", "\t//evil.example"],
)
def test_A43_the_demo_sign_in_leads_nowhere_else(target):
    answer = Client().post("/accounts/demo/", {"next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_signing_in_twice_makes_one_user_with_one_grant():
    from accounts.models import User

    for _ in range(2):
        assert Client().post("/accounts/demo/").status_code == 302
    assert [user.balance for user in User.objects.all()] == [100]


def test_signing_out_ends_the_session(owner):
    client = signed_in(owner)
    client.post("/accounts/logout/")
    assert client.get("/videos/").status_code == 302
