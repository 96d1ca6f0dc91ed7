"""`/openapi.json` and `/llms.txt`: what programs and agents look for at the root of a site."""

import json

import pytest
from django.test import Client

from aivideo import __version__
from videos.api.app import api
from videos.api.not_offered import NOT_OFFERED
from videos.api.openapi import document, examples
from videos.api.openapi_extra import ERRORS
from videos.api.tools import TOOLS

pytestmark = pytest.mark.django_db


@pytest.fixture
def guide():
    return Client().get("/llms.txt").content.decode()


def test_the_document_is_also_at_the_root_and_names_the_products_version():
    root, old = (Client().get(path) for path in ("/openapi.json", "/api/openapi.json"))
    assert (root.status_code, root["Content-Type"]) == (200, "application/json")
    assert root["Access-Control-Allow-Origin"] == "*"
    text = root.getvalue()
    assert text == old.getvalue()
    assert json.loads(text)["info"]["version"] == __version__


def test_the_guide_is_plain_text_for_everybody():
    answer = Client().get("/llms.txt")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert Client().head("/llms.txt").status_code == 200


def test_the_guide_names_this_site_only(guide):
    assert "Base URL: http://testserver/v1" in guide
    assert examples.SITE not in guide
    assert "&quot;" not in guide
    assert "&#x27;" not in guide


def test_the_guide_names_each_call_and_error_and_what_is_not_offered(guide):
    for path, operations in document.build(api)["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in guide
    assert all(f"- {status}: {about}" in guide for status, about in ERRORS.items())
    assert all(f"`/v1/videos/{name}`: {instead}" in guide for name, instead in NOT_OFFERED.items())


def test_the_guide_names_the_tools(guide):
    assert "http://testserver/mcp" in guide
    assert all(f"`{name}`" in guide for name in TOOLS)


def test_the_guide_is_short(guide):
    assert len(guide) < 10_000


def test_the_reference_says_what_is_not_offered_too():
    page = Client().get("/api/docs").content.decode()
    assert all(f"/v1/videos/{name}</code>" in page for name in NOT_OFFERED)
