"""Blocked terms: what staff's list refuses, without a moderation service."""

import uuid

import pytest
from django.utils import timezone

from tests.support.api_client import error_of
from tests.support.fixtures import order, video_order
from tests.support.moderation import APPEAL, DOORS, page_of
from tests.support.sabotage import omit, without
from tests.support.studio_page import HTMX, form
from videos.models import BlockedTerm, Status, Verdict, Video
from videos.moderation import blocked_terms, gate
from videos.serializers import public_id

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("term", "text", "is_found"),
    [
        ("child porn", "child porn", True),
        ("child porn", "A CHILD   porn film", True),
        ("child porn", "a child\n\tporn.", True),
        ("child porn", "child-porn, child_porn", True),
        ("child porn", "ｃｈｉｌｄ ｐｏｒｎ", True),  # wide letters
        ("child porn", "chi\u200bld po\u00adrn", True),  # marks that nobody sees
        ("child porn", "stepchild porn", False),
        ("child porn", "child pornograph", False),
        ("child porn", "A child sees popcorn", False),
        ("STRASSE", "an der straße", True),
        ("straße", "AN DER STRASSE", True),
        ("café", "cafe\u0301", True),
        ("a.b", "axb", False),
        ("((", "((", True),
        ("  ", "anything", False),
    ],
)
def test_a_term_is_found_as_whole_words_however_it_is_written(term, text, is_found):
    BlockedTerm.objects.all().delete()
    BlockedTerm.objects.create(term=term)
    assert bool(blocked_terms.found_in(text)) == is_found


def test_an_empty_list_finds_nothing():
    BlockedTerm.objects.all().delete()
    assert blocked_terms.found_in("child porn") is None


def test_the_list_is_read_once_in_fifteen_seconds(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(blocked_terms, "FRESH", 15)
    with django_assert_num_queries(1):
        for _ in range(3):
            assert blocked_terms.found_in("Child Porn") == "child porn"


def test_without_a_key_a_click_on_generate_asks_and_reads_nothing_more(
    owner, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(blocked_terms, "FRESH", 15)
    blocked_terms.found_in("")
    wanted = video_order()
    with django_assert_num_queries(0):
        [cleared] = gate.clear(owner, [wanted])
        gate.require_clearance(owner, cleared)
        gate.require_clearance(owner, wanted)
    assert not Verdict.objects.exists()


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_blocked_prompt_gets_a_sentence_at_its_field_and_costs_nothing(
    as_owner, owner, nothing_charged, headers
):
    answer = as_owner.post("/", form(prompt="Some CHILD  porn <b>"), headers=headers)
    verdict = owner.verdicts.get()
    text = page_of(answer)
    assert answer.status_code == 422
    at_field = text[text.index('id="prompt-error"') :].partition("</div>")[0]
    assert "This prompt is not allowed on this site." in at_field
    assert f"{APPEAL}{verdict.pk}." in at_field
    assert "Some CHILD  porn &lt;b&gt;" in text  # what was typed stays
    assert (verdict.outcome, verdict.inputs, verdict.source) == ("refused", ["prompt"], "list")
    assert (verdict.categories, verdict.prompt) == (["child porn"], "Some CHILD  porn <b>")
    nothing_charged(owner)


def test_without_an_address_people_write_to_the_staff(as_owner, settings):
    settings.SUPPORT_EMAIL = ""
    assert "contact the staff of this site and include the reference" in page_of(
        as_owner.post("/", form(prompt="csam"))
    )


@pytest.mark.parametrize(("path", "body", "param"), DOORS)
def test_A59_no_door_of_the_api_takes_a_blocked_prompt(program, owner, nothing_charged, path, body, param):
    answer = program.send(path, body("Child porn"))
    assert error_of(answer) == (400, param, "moderation_blocked")
    verdict = owner.verdicts.get() if "campaigns" not in path else owner.verdicts.first()
    message = answer.json()["error"]["message"]
    assert message.startswith("This prompt is not allowed on this site. Nothing was charged.")
    assert f"{APPEAL}{verdict.pk}." in message or "campaigns" in path
    assert answer.json()["error"]["type"] == "invalid_request_error"
    nothing_charged(owner)


def test_A59_a_remix_takes_no_blocked_prompt(program, owner):
    source = order(owner)
    Video.objects.update(status=Status.COMPLETED, file="x", sha256="0", ended_at=timezone.now())
    answer = program.send(f"/v1/videos/{public_id(source.pk)}/remix", {"prompt": "csam"})
    assert error_of(answer) == (400, "prompt", "moderation_blocked")
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (90, 1)


@without(
    "the check of the negative prompt", "videos.moderation.gate.Subject.blocked", omit("NEGATIVE_PROMPT")
)
def test_A59_the_negative_prompt_is_not_exempt(program, owner, nothing_charged):
    answer = program.send("/v1/videos", {"prompt": "A kite", "negative_prompt": "csam"})
    assert error_of(answer) == (400, "negative_prompt", "moderation_blocked")
    assert "This negative prompt is not allowed" in answer.json()["error"]["message"]
    body = {"items": [{"prompt": "A kite"}], "defaults": {"negative_prompt": "csam"}}
    assert error_of(program.send("/v1/batches/videos", body))[1] == "items.0.negative_prompt"
    nothing_charged(owner)


def test_a_prompt_that_is_too_long_is_told_its_length_and_not_judged(
    program, service, owner, nothing_charged
):
    for body in ({"prompt": "csam " * 7000}, {"prompt": "A", "negative_prompt": "x" * 4001}):
        assert error_of(program.send("/v1/videos", body))[2] == "invalid_value"
    item = {"items": [{"prompt": "x" * 32_001}]}
    assert error_of(program.send("/v1/batches/videos", item))[:2] == (400, "items.0.prompt")
    assert (service.asked, Verdict.objects.count()) == ([], 0)
    nothing_charged(owner)


@pytest.mark.parametrize("kind", ["batch", "campaign"])
def test_the_page_for_many_names_the_video_that_is_refused(as_owner, owner, nothing_charged, kind):
    sent = {
        "nonce": str(uuid.uuid4()),
        "model": "sora-2",
        "aspect_ratio": "16:9",
        "resolution": "720p",
        "seconds": "4",
        "prompts": "A kite\ncsam\nA boat",
        "idea": "csam",
        "platforms": ["x"],
        "step": "start",
    }
    answer = as_owner.post(f"/videos/batch/?kind={kind}", sent)
    number = {"batch": 2, "campaign": 1}[kind]
    assert answer.status_code == 422
    assert f"Video {number}: This prompt is not allowed on this site." in page_of(answer)
    nothing_charged(owner)


def test_the_same_blocked_prompt_again_is_the_same_verdict(as_owner, owner):
    for _ in range(3):
        as_owner.post("/", form(prompt="csam"))
    assert owner.verdicts.count() == 1


def test_a_term_that_staff_take_back_blocks_no_more(as_owner, owner):
    as_owner.post("/", form(prompt="csam"))
    BlockedTerm.objects.filter(term="csam").delete()
    assert as_owner.post("/", form(prompt="csam")).status_code == 302


def test_a_term_that_comes_after_an_order_does_not_refuse_its_repeat(as_owner, owner):
    sent = form(prompt="A zeppelin")
    first = as_owner.post("/", sent)
    BlockedTerm.objects.create(term="zeppelin")
    assert as_owner.post("/", sent)["Location"] == first["Location"]
    assert as_owner.post("/", form(prompt="A zeppelin")).status_code == 422
