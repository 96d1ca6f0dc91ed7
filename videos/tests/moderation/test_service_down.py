"""Without a verdict nothing is made and nothing charged."""

import threading

import pytest

from tests.support.api_client import error_of
from tests.support.fixtures import video_order
from tests.support.moderation import DOORS, NOT_NOW, page_of, upload
from tests.support.sabotage import never, without
from tests.support.studio_page import form
from videos.models import Verdict
from videos.moderation import gate
from videos.moderation import service as moderation_service
from videos.thread_budget import SlowCalls

pytestmark = pytest.mark.django_db


def down(service, settings, monkeypatch, how):
    monkeypatch.setattr(moderation_service, "TRY", 0.3)
    monkeypatch.setattr(moderation_service, "REQUEST", 1)
    if how == "refused":
        settings.MODERATION_BASE_URL = "http://127.0.0.1:9/v1"
    elif how == "slow":
        service.delay = 2
    elif how == "wrong key":
        settings.MODERATION_API_KEY = "sk-wrong"
    elif isinstance(how, int):
        service.status = how
    elif how.startswith("<"):
        service.raw, service.kind = how, "text/html"
    else:
        service.raw = how


BAD_DAYS = [
    *("refused", "slow", "wrong key", 500, 503, 429, 400),
    *("<html>Welcome to nginx!</html>", "{", "[]", "null", "{}", '{"results": []}', '{"results": null}'),
    *('{"results": ["no"]}', '{"results": [{}]}', '{"results": [{"flagged": "no"}]}'),
    '{"results": [{"flagged": false, "categories": 7}]}',
    '{"results": [{"flagged": false}, {"flagged": false}]}',
]


@without(
    "the refusal while the service is unavailable",
    "videos.moderation.gate._judged",
    never("settings.MODERATION_FAIL_CLOSED"),
)
@pytest.mark.parametrize("how", BAD_DAYS)
def test_A59_without_a_verdict_nothing_is_made_and_nothing_charged(
    as_owner, owner, service, settings, monkeypatch, nothing_charged, how
):
    down(service, settings, monkeypatch, how)
    answer = as_owner.post("/", form(prompt="Keep <this>"))
    text = page_of(answer)
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (503, True)
    assert NOT_NOW in text
    assert "Keep &lt;this&gt;" in text
    assert not Verdict.objects.exists()
    nothing_charged(owner)


@pytest.mark.parametrize(("path", "body", "_param"), DOORS)
def test_a_program_is_told_to_come_again(program, owner, service, nothing_charged, path, body, _param):
    service.status = 500
    answer = program.send(path, body("A boat"))
    assert error_of(answer) == (503, None, "moderation_unavailable")
    assert answer["Retry-After"] == "30"
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.json()["error"]["message"].startswith(NOT_NOW)
    nothing_charged(owner)


def test_the_page_for_many_says_so_too(as_owner, owner, service, nothing_charged):
    service.status = 500
    answer = as_owner.post("/videos/batch/", {**form(), "prompts": "A kite\nA boat", "step": "start"})
    assert (answer.status_code, NOT_NOW in page_of(answer)) == (503, True)
    nothing_charged(owner)


def test_a_picture_that_cannot_be_read_is_not_taken_for_a_good_one(as_owner, owner, service, nothing_charged):
    kept = upload(owner)
    kept.file.storage.delete(kept.file.name)
    assert as_owner.post("/", form(image=f"upload:{kept.pk}")).status_code == 503
    nothing_charged(owner)


@pytest.mark.parametrize("how", ["refused", 500, "<html>"])
def test_a_site_may_choose_to_go_on_and_notes_what_was_not_judged(
    as_owner, owner, service, settings, monkeypatch, how
):
    settings.MODERATION_FAIL_CLOSED = False
    down(service, settings, monkeypatch, how)
    assert as_owner.post("/", form()).status_code == 302
    verdict = owner.verdicts.get()
    assert (verdict.outcome, verdict.source, verdict.prompt) == ("unasked", "", "")
    assert as_owner.post("/", form(prompt="csam")).status_code == 422


def test_what_was_not_judged_is_asked_about_the_next_time(owner, service, settings):
    settings.MODERATION_FAIL_CLOSED = False
    service.status = 500
    gate.clear(owner, [video_order("Much gore")])
    service.status = 200
    with pytest.raises(gate.Refused):
        gate.clear(owner, [video_order("Much gore")])


def test_a_slow_service_does_not_keep_every_thread_of_the_site(owner, service, monkeypatch):
    monkeypatch.setattr(moderation_service, "_calls", SlowCalls(at_once=1, wait=0.1))
    service.delay = 1
    waiting = threading.Thread(target=moderation_service.ask, args=([moderation_service.Question("A kite")],))
    waiting.start()
    while not service.asked:
        pass
    with pytest.raises(gate.Unavailable, match="too many"):
        gate.clear(owner, [video_order("A boat")])
    waiting.join()
