"""Each call of OpenAI's Videos API is answered, or says what to use instead."""

import inspect

import httpx2
import openai
import pytest
from django.test import Client
from openai.resources.videos import Videos

from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.sabotage import becomes, without
from videos.api.not_offered import NOT_OFFERED
from videos.generation import lifecycle
from videos.models import Status
from videos.serializers import public_id

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

METHODS = [name for name, _method in inspect.getmembers(Videos, inspect.isfunction) if name[0] != "_"]
ARGUMENTS = {
    "prompt": "A red kite",
    "seconds": "4",
    "name": "Mia",
    "character_id": "char_1",
    "video": ("kite.mp4", b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
}


@pytest.fixture
def client(owner):
    """OpenAI's client, in front of this site without a network. What it orders fails at once, so that it can poll."""

    def answer(request):
        path = request.url.raw_path.decode()
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        said = Client().generic(
            request.method, path, request.read(), headers.pop("content-type", ""), headers=headers
        )
        for video in owner.videos.filter(status=Status.QUEUED):
            lifecycle.fail(video, "generation_failed")
        return httpx2.Response(said.status_code, headers=dict(said.headers), content=said.getvalue())

    with openai.OpenAI(
        base_url="http://testserver/v1",
        api_key=Program(owner).text,
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as client:
        yield client


def outcome(client, method, video_id):
    """ "answered", or the code of the error."""
    call = getattr(client.videos, method)
    required = [
        name
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    try:
        call(**{name: {"video_id": video_id, **ARGUMENTS}[name] for name in required})
    except openai.APIStatusError as error:
        return error.code
    return "answered"


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_the_sdk_is_answered_or_not_offered(client, owner, method):
    expected = "answered"
    if method in ("create_character", "get_character", "edit", "extend"):
        expected = "not_offered"
    assert outcome(client, method, public_id(completed(owner).pk)) == expected


@without(
    "the answer to calls that are not offered",
    "videos.api.app._patterns",
    becomes("[re_path(not_offered.PATHS, not_offered.answer)]", "[]"),
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("name", NOT_OFFERED)
@pytest.mark.parametrize("below", ["", "/", "/char_1", "/char_1/content"])
def test_by_any_method_the_answer_says_what_to_use_instead(method, name, below):
    answer = Client(enforce_csrf_checks=True).generic(method, f"/v1/videos/{name}{below}")
    assert error_of(answer) == (404, None, "not_offered")
    assert answer.json()["error"]["message"] == NOT_OFFERED[name]


def test_what_only_begins_like_it_is_the_id_of_no_video(program):
    assert error_of(program.get("/v1/videos/editsX")) == (404, None, "not_found")
