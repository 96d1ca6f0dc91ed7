"""The id of a request, in its answer and in the log."""

import io
import logging
import re

import pytest
from django.test import Client

from aivideo.request_id import RequestIdFilter
from tests.support.api_client import Program
from tests.support.sabotage import becomes, drop, without
from videos.catalogue import availability

pytestmark = pytest.mark.django_db


@pytest.fixture
def log():
    """What the site writes to standard error meanwhile."""
    (console,) = [
        handler
        for handler in logging.getLogger().handlers
        if any(isinstance(one, RequestIdFilter) for one in handler.filters)
    ]
    stream = io.StringIO()
    before = console.setStream(stream)
    yield stream
    console.setStream(before)


@pytest.mark.parametrize("path", ["/", "/nothing/", "/videos/", "/healthz", "/v1/credits", "/api/docs"])
def test_every_answer_has_an_id_of_its_own(path):
    first, second = (Client().get(path)["x-request-id"] for _ in range(2))
    assert re.fullmatch(r"req_[0-9a-f]{32}", first)
    assert first != second


def test_an_answer_to_our_own_fault_has_an_id(owner, monkeypatch):
    monkeypatch.setattr(availability, "models", lambda: 1 / 0)
    answer = Program(owner).get("/v1/models")
    assert (answer.status_code, answer["x-request-id"][:4]) == (500, "req_")


@pytest.mark.parametrize("sent", ["a", "my-request_7", "0" * 64])
def test_a_clients_own_id_is_kept(sent):
    assert Client().get("/healthz", headers={"X-Request-Id": sent})["x-request-id"] == sent


@without(
    "the check of a client's id",
    "aivideo.request_id.RequestIdMiddleware.__call__",
    becomes("WELL_FORMED.fullmatch(sent)", "sent"),
)
@pytest.mark.parametrize("sent", ["", "0" * 65, "a b", "a\nb", "a\n", "\u00e9", "<b>", "a;b", "a,b"])
def test_an_id_that_is_not_well_formed_is_replaced(sent):
    assert Client().get("/healthz", headers={"X-Request-Id": sent})["x-request-id"][:4] == "req_"


@without("the end of an id with its request", "aivideo.request_id._forget", drop("_current.set"))
def test_each_line_of_the_log_about_a_request_has_its_id(log):
    name = Client().get("/nothing/")["x-request-id"]
    Client().get("/nothing/", headers={"X-Request-Id": "mine"})
    logging.getLogger("elsewhere").warning("Between two requests.")
    lines = [line.split(" ", 2)[2] for line in log.getvalue().splitlines()]
    assert lines == [
        f"{name} WARNING django.request: Not Found: /nothing/",
        "mine WARNING django.request: Not Found: /nothing/",
        "- WARNING elsewhere: Between two requests.",
    ]
