"""Nothing starts that did not come through the gate."""

from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from tests.support.api_client import Program
from tests.support.fixtures import new_user, order, signed_in, video_order
from tests.support.moderation import DOORS, upload
from tests.support.sabotage import never, without
from tests.support.studio_page import form
from videos.generation import ordering
from videos.models import Verdict, Video
from videos.moderation import gate
from videos.moderation import service as moderation_service

pytestmark = pytest.mark.django_db


@without(
    "the rule that an order has to be cleared", "videos.moderation.gate.require_clearance", never("is_clear")
)
def test_A59_nothing_starts_that_did_not_come_through_the_gate(owner, stranger, service, nothing_charged):
    [cleared] = gate.clear(owner, [video_order("A kite")])
    for user, wrong in [
        (owner, replace(cleared, clearance=None)),
        (owner, replace(cleared, prompt="Much gore")),
        (owner, replace(cleared, extras={"negative_prompt": "gore"})),
        (owner, replace(cleared, upload=upload(owner))),
        (stranger, cleared),
    ]:
        with pytest.raises(gate.NotCleared):
            ordering.place(user, wrong)
    nothing_charged(owner, stranger)
    assert ordering.place(owner, cleared)


def test_A59_nor_does_a_blocked_prompt_where_there_is_no_service(owner, nothing_charged):
    with pytest.raises(gate.NotCleared):
        order(owner, "csam")
    nothing_charged(owner)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("path", "body", "_param"), DOORS)
def test_no_door_waits_for_the_service_in_a_transaction(service, monkeypatch, path, body, _param):
    seen = watch(monkeypatch)
    assert Program(new_user()).send(path, body("A boat")).status_code in (200, 201, 202)
    assert seen == [False]


@pytest.mark.django_db(transaction=True)
def test_no_page_waits_for_the_service_in_a_transaction(service, monkeypatch):
    seen = watch(monkeypatch)
    client = signed_in(new_user())
    assert client.post("/", form()).status_code == 302
    many = {**form(), "prompts": "A kite\nA boat", "step": "start"}
    assert client.post("/videos/batch/", many).status_code == 302
    assert seen == [False, False]


def watch(monkeypatch):
    """Notes at each question whether a transaction is open; the question itself is asked as ever."""
    seen, ask = [], moderation_service.ask
    monkeypatch.setattr(
        moderation_service,
        "ask",
        lambda questions: (seen.append(connection.in_atomic_block), ask(questions))[1],
    )
    return seen


@pytest.mark.django_db(transaction=True)
def test_a_door_that_asks_in_a_transaction_is_a_mistake_that_shows(service):
    user = new_user()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        gate.clear(user, [video_order()])
    assert not Verdict.objects.exists()


def test_the_demo_goes_through_the_gate(service, capsys):
    call_command("demo")
    prompts = Video.objects.values("prompt").distinct().count()
    assert Verdict.objects.filter(outcome="allowed").count() == prompts > 1
