"""Paths that do not exist, and clients whose base URL lacks /v1."""

import pytest
from django.test import Client

from tests.support.api_client import Program, error_of
from tests.support.fixtures import signed_in

pytestmark = pytest.mark.django_db

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
KEY = {"Authorization": "Bearer sk-of-another-service"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/nothing", "/v1/chat/completions", "/v1/videos/", "/api/v1/nothing", "/v1/v1/videos"],
)
def test_an_unknown_path_is_404_in_json_by_any_method(method, path):
    answer = Client(enforce_csrf_checks=True).generic(method, path)
    assert error_of(answer) == (404, None, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/models"])
def test_a_wrong_method_is_405_in_json_and_names_the_right_ones(method, path):
    answer = Client(enforce_csrf_checks=True).generic(method, path)
    assert error_of(answer)[0] == 405
    assert "HEAD" in answer["Allow"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/videos"),
        ("GET", "/videos"),
        ("GET", "/videos/"),
        ("POST", "/videos/"),
        ("GET", "/videos/video_0123"),
        ("DELETE", "/videos/video_0123"),
        ("GET", "/videos/video_0123/content"),
        ("GET", "/models"),
        ("POST", "/chat/completions"),
        ("POST", "/"),
        ("GET", "/credits/"),
    ],
)
def test_a_client_whose_base_url_lacks_v1_is_told_so(settings, method, path):
    settings.SITE_URL = "https://video.example.com"
    for key in ("Bearer sk-x", "bearer av_live_x"):
        answer = Client(enforce_csrf_checks=True).generic(
            method, path, headers={"Authorization": key, "Accept": "application/json"}
        )
        assert error_of(answer) == (404, None, "not_found")
        assert "base_url to https://video.example.com/v1." in answer.json()["error"]["message"]


def test_so_is_one_with_a_valid_key(owner):
    assert error_of(Program(owner).send("/videos", {"prompt": "A kite"})) == (404, None, "not_found")
    assert not owner.videos.exists()


@pytest.mark.parametrize("path", ["/healthz", "/api/docs", "/openapi.json", "/llms.txt", "/api/openapi.json"])
def test_what_needs_no_key_is_answered_with_one_too(path):
    assert Client().get(path, headers=KEY).status_code == 200


@pytest.mark.parametrize("path", ["/webhooks/openai/", "/webhooks/stripe/", "/mcp", "/metrics", "/v1"])
def test_what_has_tokens_of_its_own_is_left_alone(path):
    answer = Client().post(path, headers=KEY)
    assert b"base_url" not in answer.content


def test_a_browser_gets_its_pages_also_behind_a_proxy_that_adds_tokens(owner):
    assert signed_in(owner).get("/videos/", headers=KEY).status_code == 200
    assert Client().get("/", headers=KEY | {"Accept": "text/html,*/*;q=0.8"}).status_code == 200


def test_without_a_bearer_token_nothing_changes(as_owner):
    assert as_owner.get("/videos/").status_code == 200
    assert Client().get("/videos/").status_code == 302
    assert Client().get("/videos/", headers={"Authorization": "Basic eDp5"}).status_code == 302
