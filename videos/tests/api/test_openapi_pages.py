"""The documentation: complete, true, and of this site only."""

import json
import re

import pytest
from django.test import Client
from openai.types import Video

from tests.support.api_client import Program
from tests.support.fixtures import order, pump_until_done
from videos.api.app import api
from videos.api.openapi import document, examples
from videos.serializers import public_id

pytestmark = pytest.mark.django_db


def test_the_committed_document_is_what_the_api_is():
    assert document.FILE.read_text() == document.text(api), "write it: manage.py openapi"


def test_everybody_may_read_the_documentation():
    page = Client().get("/api/docs")
    text = page.content.decode()
    assert page.status_code == 200
    for path, operations in document.build(api)["paths"].items():
        for method in set(operations) - {"head"}:
            assert f'{method.upper()}</span> <code class="path">{path}</code>' in text
    assert "http://testserver/v1/videos" in text
    assert examples.SITE not in text


def test_the_documentation_loads_nothing_from_elsewhere():
    text = Client().get("/api/docs").content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_names_in_descriptions_are_shown_as_code():
    page = Client().get("/api/docs").content.decode()
    assert "<code>param</code> names it." in page
    assert "`" not in page


def test_programs_get_the_document_itself():
    answer = Client().get("/api/openapi.json")
    document = json.loads(b"".join(answer.streaming_content))
    assert (answer["Content-Type"], document["openapi"]) == ("application/json", "3.1.0")


@pytest.mark.django_db(transaction=True)
def test_every_video_object_is_what_the_sdks_own_model_expects(owner, simulator):
    program = Program(owner)
    order(owner, "A kite [sim:fail]")
    order(owner)
    queued = [video["id"] for video in program.get("/v1/videos").json()["data"]]
    for stage in ("queued", "ended"):
        for name in queued:
            Video.model_validate(program.get(f"/v1/videos/{name}").json())
        if stage == "queued":
            pump_until_done(30)
    assert {Video.model_validate(one).status for one in program.get("/v1/videos").json()["data"]} == {
        "completed",
        "failed",
    }
    assert public_id(owner.videos.first().pk) in queued
