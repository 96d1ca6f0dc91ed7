"""The API as pages of other sites use it, from a browser."""

import pytest
from django.test import Client

from tests.support.api_client import error_of
from tests.support.sabotage import becomes, insert_first, without

pytestmark = pytest.mark.django_db

ORIGIN = {"Origin": "https://elsewhere.example"}
SENT_BY_THE_SDK = (
    "authorization,content-type,idempotency-key,openai-organization,openai-project,x-stainless-arch,"
    "x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,"
    "x-stainless-runtime-version,x-stainless-timeout"
)


def cors_headers(answer):
    return {name for name in answer.headers if name.lower().startswith("access-control-")}


def words(text):
    return {word.strip().lower() for word in text.split(",")}


@pytest.mark.parametrize(
    "path", ["/v1/videos", "/v1/videos/video_1/content", "/v1/nothing", "/api/v1/videos/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_preflight_allows_what_the_sdk_sends(path, method):
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": SENT_BY_THE_SDK}
    answer = Client(enforce_csrf_checks=True).options(path, headers=ORIGIN | asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert method.lower() in words(answer["Access-Control-Allow-Methods"])
    assert words(SENT_BY_THE_SDK) <= words(answer["Access-Control-Allow-Headers"])
    assert int(answer["Access-Control-Max-Age"]) > 0


@without(
    "the list of headers that pages may send",
    "videos.api.cors.preflight",
    becomes("filter(SENT_BY_SDKS.fullmatch, wanted)", "wanted"),
)
def test_a_preflight_allows_no_other_headers():
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-evil,openai-a b,cookie",
    }
    answer = Client().options("/v1/videos", headers=ORIGIN | asked)
    assert not {"x-evil", "openai-a b", "cookie", "*"} & words(answer["Access-Control-Allow-Headers"])


def test_a_page_of_another_site_may_read_answers_and_errors_of_the_api(program):
    for path, status in (("/v1/credits", 200), ("/v1/videos/nothing", 404), ("/v1/videos?limit=0", 400)):
        answer = program.get(path, headers=ORIGIN)
        assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (status, "*")
        assert {
            "x-request-id",
            "openai-processing-ms",
            "openai-poll-after-ms",
            "retry-after",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
        } <= words(answer["Access-Control-Expose-Headers"])


def test_without_a_key_the_refusal_can_be_read_too():
    answer = Client().get("/v1/credits", headers=ORIGIN)
    assert error_of(answer)[0] == 401
    assert answer["Access-Control-Allow-Origin"] == "*"


@without("the limit of CORS to the API", "videos.api.cors.applies_to", insert_first("return True"))
@pytest.mark.parametrize(
    "path", ["/", "/videos/", "/account/", "/accounts/login/", "/api/docs", "/api/video-generation/", "/v1x"]
)
def test_A48_no_page_can_be_read_from_another_origin(as_owner, path):
    asked = {"Access-Control-Request-Method": "GET"}
    assert cors_headers(as_owner.get(path, headers=ORIGIN)) == set()
    assert cors_headers(as_owner.options(path, headers=ORIGIN | asked)) == set()


def test_A48_no_origin_is_ever_allowed_to_send_credentials(program, as_owner):
    for client in (program, as_owner):
        for answer in (
            client.get("/v1/credits", headers=ORIGIN),
            client.options("/v1/credits", headers=ORIGIN | {"Access-Control-Request-Method": "GET"}),
        ):
            assert "Access-Control-Allow-Credentials" not in answer
