"""What every answer of the API has in common."""

import pytest
from django.test import Client

from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from videos.api.app import api
from videos.api.errors import MESSAGES
from videos.api.openapi import document
from videos.models import Video
from videos.serializers import public_id

pytestmark = pytest.mark.django_db

GETS = [path for path, operations in document.build(api)["paths"].items() if "get" in operations]


class Names(dict):
    """Ids for the parameters of paths; what is not known here is the id of nothing."""

    def __missing__(self, name):
        return "nothing"


@pytest.fixture
def names(program, owner):
    video = public_id(completed(owner).pk)
    batch = program.send("/v1/batches/videos", {"items": [{"prompt": "A kite"}]}).json()["id"]
    program.send("/api/video-generation/generate", {"run_id": "r", "drill_text": "A kite"})
    link = program.get(f"/v1/videos/{video}").json()["url"]
    token = link.rpartition("/")[2]
    return Names(video_id=video, batch_id=batch, run_id="r", token=token, model_id="sora-2")


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_like_get_without_the_body(program, names, path):
    get, head = program.get(path.format_map(names)), program.head(path.format_map(names))
    assert get.status_code == head.status_code != 405
    assert head.getvalue() == b""
    assert head.get("Content-Type") == get.get("Content-Type")


def test_head_without_a_key_is_401():
    assert Client().head("/v1/credits").status_code == 401


def test_what_takes_no_get_takes_no_head():
    assert Client().head("/v1/campaigns").status_code == 405


@pytest.mark.parametrize("path", GETS)
def test_an_answer_says_how_long_it_took_and_has_no_policy_of_pages(program, names, path):
    answer = program.get(path.format_map(names))
    assert 0 <= int(answer["openai-processing-ms"]) < 60_000
    assert answer.get("Content-Security-Policy") in (
        None,
        "sandbox; default-src 'none'",
    )  # the second: a file
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/v1/credits", "/v1/nothing", "/v1/videos/edits"])
def test_A11_no_cookie_is_set_nor_read(owner, path):
    stranger, program = Client(), Program(owner)
    for client in (stranger, program):
        client.cookies["sessionid"] = "0" * 32
        client.cookies["csrftoken"] = "0" * 32
        client.cookies["django_language"] = "de"
        assert not client.get(path).cookies
        assert not client.post(path).cookies
    assert error_of(stranger.get("/v1/credits"))[0] == 401


def test_what_guards_pages_before_their_views_guards_the_api_too(program, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    for host in ("evil.example.com", "testserver:x"):
        assert error_of(program.get("/v1/credits", headers={"host": host}))[0] == 400
    too_large = program.generic("POST", "/v1/videos", headers={"content-length": str(60 * 2**20)})
    assert error_of(too_large)[0] == 413
    answer = program.get("/v1/credits")
    assert (answer["X-Frame-Options"], answer["Content-Length"]) == ("DENY", str(len(answer.content)))


def test_an_api_of_a_secure_site_is_asked_over_https_only(owner, settings):
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    program = Program(owner)  # settings are read as the first request comes
    answer = program.get("/v1/credits")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/v1/credits")
    assert program.get("/v1/credits", secure=True)["Strict-Transport-Security"]


def test_a_thumbnail_that_is_not_ready_is_503_and_says_when_to_ask_again(program, owner):
    video = completed(owner)
    path = f"/v1/videos/{public_id(video.pk)}/content?variant=thumbnail"
    assert program.get(path)["Content-Type"] == "image/webp"
    Video.objects.filter(pk=video.pk).update(poster="")
    answer = program.get(path)
    assert error_of(answer) == (503, None, "not_ready")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("header", "value", "status"), [("If-Match", '"other"', 412), ("Range", "bytes=99999999-", 416)]
)
def test_a_file_that_is_not_as_the_program_expects_is_its_error_not_ours(
    program, owner, header, value, status
):
    video = completed(owner)
    answer = program.get(f"/v1/videos/{public_id(video.pk)}/content", headers={header: value})
    assert error_of(answer) == (status, None, None)
    assert answer.json()["error"]["message"] == MESSAGES[status]
    assert answer["ETag"] == f'"{video.sha256}"'


def test_a_range_beyond_the_end_says_how_long_the_file_is(program, owner):
    path = f"/v1/videos/{public_id(completed(owner).pk)}/content"
    size = len(program.get(path).getvalue())
    answer = program.get(path, headers={"Range": f"bytes={size}-"})
    assert answer["Content-Range"] == f"bytes */{size}"
