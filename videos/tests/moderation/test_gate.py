"""What may not be made is refused before it costs anything, at every door."""

import base64
import io
import threading
import uuid
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from accounts.models import CreditEntry
from aivideo.models import AuditEntry
from aivideo.staff import actions
from tests.support.api_client import Program, error_of
from tests.support.fixtures import new_user, order, signed_in, video_order
from tests.support.moderation_server import KEY, MODEL, ModerationServer
from tests.support.sabotage import never, omit, without
from tests.support.studio_page import HTMX, form, picture
from videos.generation import ordering
from videos.media import uploads
from videos.models import Batch, BlockedTerm, Status, Verdict, Video, VideoModel
from videos.moderation import blocked_terms, gate
from videos.moderation import service as moderation_service
from videos.serializers import public_id
from videos.thread_budget import SlowCalls

pytestmark = pytest.mark.django_db

APPEAL = "If you think this is a mistake, contact help@example.com and include the reference "
NOT_NOW = "Prompts and pictures cannot be checked right now. Nothing was charged"


@pytest.fixture(autouse=True)
def _fresh_list(monkeypatch, settings):
    """Each test reads the list anew, and leaves what others have read alone."""
    monkeypatch.setattr(blocked_terms, "FRESH", 0)
    monkeypatch.setattr(blocked_terms, "_pattern", None)
    monkeypatch.setattr(blocked_terms, "_loaded_at", -float("inf"))
    settings.SUPPORT_EMAIL = "help@example.com"


@pytest.fixture
def service(settings):
    with ModerationServer() as server:
        settings.MODERATION_BASE_URL, settings.MODERATION_API_KEY = server.url, KEY
        yield server


@pytest.fixture
def nothing_charged():
    """Called with the people concerned, at the end: nobody paid, nothing was made."""
    entries = CreditEntry.objects.count()

    def check(*people):
        for user in people:
            user.refresh_from_db()
            assert user.balance == 100
        fresh = CreditEntry.objects.exclude(kind="grant").count()
        assert (fresh, Video.objects.count(), Batch.objects.count()) == (0, 0, 0)
        assert CreditEntry.objects.count() - entries <= len(people)

    return check


def upload(user, colour="teal"):
    out = io.BytesIO()
    Image.new("RGB", (200, 200), colour).save(out, "JPEG")
    return uploads.keep(user, io.BytesIO(out.getvalue()))


def data_url():
    return f"data:image/png;base64,{base64.b64encode(picture(200, 200).read()).decode()}"


def page_of(answer):
    return answer.content.decode()


# Each door as (path, body, what its prompt is called), to be sent by a program.
DOORS = [
    ("/v1/videos", lambda prompt: {"prompt": prompt}, "prompt"),
    ("/api/v1/videos/generate", lambda prompt: {"prompt": prompt}, "prompt"),
    (
        "/api/video-generation/generate",
        lambda prompt: {"run_id": "run-1", "drill_text": prompt},
        "drill_text",
    ),
    (
        "/v1/batches/videos",
        lambda prompt: {"items": [{"prompt": "A kite"}, {"prompt": prompt}]},
        "items.1.prompt",
    ),
    ("/v1/campaigns", lambda prompt: {"prompt": prompt, "platforms": ["x", "tiktok"]}, "items.0.prompt"),
]


# --- The list: no key, no service ------------------------------------------------------------------


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
    for body in ({"prompt": "csam " * 1000}, {"prompt": "A", "negative_prompt": "x" * 4001}):
        assert error_of(program.send("/v1/videos", body))[2] == "invalid_value"
    item = {"items": [{"prompt": "x" * 4001}]}
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


# --- The service -----------------------------------------------------------------------------------


def test_what_the_service_allows_is_made_and_noted_without_its_words(as_owner, owner, service):
    assert as_owner.post("/", form()).status_code == 302
    assert service.asked == [["A red kite over the sea"]]
    verdict = owner.verdicts.get()
    assert (verdict.outcome, verdict.source, verdict.inputs) == ("allowed", MODEL, [])
    assert (verdict.prompt, verdict.negative_prompt, verdict.upload) == ("", "", None)


def test_what_the_service_refuses_is_not_made_and_kept_for_the_appeal(
    as_owner, owner, service, nothing_charged
):
    answer = as_owner.post("/", form(prompt="Much gore"))
    verdict = owner.verdicts.get()
    assert (answer.status_code, f"{APPEAL}{verdict.pk}." in page_of(answer)) == (422, True)
    assert (verdict.outcome, verdict.categories) == ("refused", ["violence/graphic"])
    assert (verdict.prompt, verdict.source) == ("Much gore", MODEL)
    nothing_charged(owner)


@pytest.mark.parametrize(("path", "body", "param"), DOORS)
def test_A59_no_door_of_the_api_takes_what_the_service_refuses(
    program, owner, service, nothing_charged, path, body, param
):
    assert error_of(program.send(path, body("Much gore"))) == (400, param, "moderation_blocked")
    assert len(service.asked) == 1
    nothing_charged(owner)


@pytest.mark.parametrize(("path", "body", "_param"), DOORS)
def test_every_door_of_the_api_takes_what_the_service_allows(program, owner, service, path, body, _param):
    assert program.send(path, body("A boat")).status_code in (200, 201, 202)
    assert owner.videos.exists()
    assert set(owner.verdicts.values_list("outcome", flat=True)) == {"allowed"}


def test_a_remix_is_judged_by_its_new_prompt(program, owner, service):
    source = order_cleared(owner)
    Video.objects.update(status=Status.COMPLETED, file="x", sha256="0", ended_at=timezone.now())
    path = f"/v1/videos/{public_id(source.pk)}/remix"
    assert error_of(program.send(path, {"prompt": "Much gore"}))[2] == "moderation_blocked"
    assert program.send(path, {"prompt": "A boat"}).status_code == 200


def order_cleared(user, **fields):
    [cleared] = gate.clear(user, [video_order(**fields)])
    return ordering.place(user, cleared)


@pytest.mark.parametrize(
    ("prompt", "minds_pictures", "refused"),
    [
        ("A kite", "violence", ["input_reference"]),
        ("Much gore", "", ["prompt"]),
        ("Much gore", "sexual", ["input_reference", "prompt"]),
    ],
)
def test_who_sends_a_picture_is_told_which_of_the_two_is_refused(
    as_owner, owner, service, nothing_charged, prompt, minds_pictures, refused
):
    service.minds_pictures = minds_pictures
    answer = as_owner.post("/", form(prompt=prompt, file=picture()))
    text = page_of(answer)
    assert answer.status_code == 422
    for name, place, sentence in [
        ("prompt", "prompt-error", "This prompt is not allowed on this site."),
        ("input_reference", "file-error", "This picture is not allowed on this site."),
    ]:
        at_field = text[text.index(f'id="{place}"') :].partition("</div>")[0]
        assert (sentence in at_field) == (name in refused)
    verdict = owner.verdicts.get()
    assert (verdict.inputs, verdict.upload) == (refused, owner.uploads.get())
    ((text_part, picture_part),) = service.asked
    assert text_part == {"type": "text", "text": prompt}
    assert picture_part["image_url"]["url"].startswith("data:image/jpeg;base64,")
    nothing_charged(owner)


def test_a_last_frame_is_judged_in_a_question_of_its_own(as_owner, program, owner, service, nothing_charged):
    VideoModel.objects.update(takes=["image", "last_frame"])
    service.minds_pictures = "sexual"
    answer = as_owner.post("/", form(prompt="A kite", last_file=picture()))
    assert (answer.status_code, "This last frame is not allowed on this site." in page_of(answer)) == (
        422,
        True,
    )
    verdict = owner.verdicts.get()
    assert (verdict.inputs, verdict.last_frame) == (["last_frame"], owner.uploads.get())
    fields = {"prompt": "A kite", "last_frame": {"image_url": data_url()}}
    assert error_of(program.send("/v1/videos", fields)) == (400, "last_frame", "moderation_blocked")
    nothing_charged(owner)


def test_first_and_last_frame_are_each_shown_to_the_service(as_owner, owner, service):
    VideoModel.objects.update(takes=["image", "last_frame"])
    answer = as_owner.post("/", form(prompt="A kite", file=picture(), last_file=picture(300, 300)))
    assert answer.status_code == 302
    assert len({parts[1]["image_url"]["url"] for parts in service.asked}) == 2


def test_a_program_is_told_that_it_is_the_picture(program, service, owner, nothing_charged):
    service.minds_pictures = "sexual"
    fields = {"prompt": "A kite", "input_reference": {"image_url": data_url()}}
    assert error_of(program.send("/v1/videos", fields)) == (400, "input_reference", "moderation_blocked")
    site = {"prompt": "A kite", "image_url": data_url()}
    assert error_of(program.send("/api/v1/videos/generate", site))[:2] == (400, "image_url")
    nothing_charged(owner)


def test_where_the_service_does_not_say_what_it_objects_to_both_are_named(as_owner, owner, service):
    service.minds_pictures, service.says_where = "sexual", False
    as_owner.post("/", form(file=picture()))
    assert owner.verdicts.get().inputs == ["input_reference", "prompt"]


def test_the_negative_prompt_is_judged_by_itself(program, owner, service, nothing_charged):
    fields = {"prompt": "A kite", "negative_prompt": "gore", "input_reference": {"image_url": data_url()}}
    assert error_of(program.send("/v1/videos", fields))[:2] == (400, "negative_prompt")
    assert len(service.asked) == 2
    assert owner.verdicts.get().negative_prompt == "gore"
    nothing_charged(owner)


def test_an_empty_negative_prompt_and_our_own_pictures_are_not_asked_about(program, as_owner, service):
    program.send("/v1/videos", {"prompt": "A kite", "negative_prompt": " "})
    as_owner.post("/", form(image="preset:astronaut", prompt="A walk on the moon"))
    assert all(isinstance(part, str) for asked in service.asked for part in asked)
    assert len(service.asked) == 2


def test_the_same_input_is_not_asked_about_again_within_the_hour(owner, service):
    for prompt in ("A kite", "A kite", "Much gore", "Much gore"):
        if "gore" in prompt:
            with pytest.raises(gate.Refused):
                gate.clear(owner, [video_order(prompt)])
        else:
            gate.clear(owner, [video_order(prompt)])
    assert len(service.asked) == owner.verdicts.count() == 2
    Verdict.objects.update(at=timezone.now() - gate.REUSED)
    gate.clear(owner, [video_order("A kite")])
    assert len(service.asked) == 3


def test_a_verdict_counts_for_the_same_prompt_picture_and_person_only(owner, stranger, service):
    gate.clear(owner, [video_order("A kite")])
    gate.clear(stranger, [video_order("A kite")])
    gate.clear(owner, [video_order("A kite", upload=upload(owner))])
    gate.clear(owner, [video_order("A kite", upload=upload(owner, "pink"))])
    gate.clear(owner, [video_order("A kite", extras={"negative_prompt": "rain"})])
    gate.clear(owner, [video_order("A kite ")])
    assert Verdict.objects.count() == 6


def test_a_new_term_counts_for_what_the_service_allowed(owner, service):
    gate.clear(owner, [video_order("A zeppelin")])
    BlockedTerm.objects.create(term="zeppelin")
    with pytest.raises(gate.Refused):
        gate.clear(owner, [video_order("A zeppelin")])
    assert len(service.asked) == 1


def test_the_key_goes_to_the_configured_server_whatever_the_sdk_finds_in_the_environment(
    owner, service, monkeypatch
):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    gate.clear(owner, [video_order()])
    assert len(service.asked) == 1


def test_without_a_server_of_its_own_the_key_goes_to_openai_alone(owner, settings, monkeypatch):
    settings.MODERATION_API_KEY = KEY
    with ModerationServer() as elsewhere, ModerationServer() as openais:
        monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.url)
        monkeypatch.setattr(moderation_service, "OPENAI", openais.url)
        gate.clear(owner, [video_order()])
    assert (len(openais.asked), elsewhere.asked) == (1, [])


# --- Twice -----------------------------------------------------------------------------------------


def test_the_same_page_sent_twice_asks_once_and_charges_once(as_owner, owner, service):
    sent = form()
    locations = [as_owner.post("/", sent)["Location"] for _ in range(2)]
    owner.refresh_from_db()
    assert (locations[0] == locations[1], len(service.asked), owner.balance) == (True, 1, 90)


@pytest.mark.parametrize(("path", "body", "_param"), DOORS)
def test_a_repeat_is_neither_asked_about_nor_refused(program, owner, service, path, body, _param):
    key = {"Idempotency-Key": "order-1"}
    first = program.send(path, body("A boat"), headers=key)
    charged = owner.credit_entries.filter(kind="charge").count()
    service.status, asked = 500, len(service.asked)
    Verdict.objects.all().delete()
    again = program.send(path, body("A boat"), headers=key)
    assert again.status_code == first.status_code
    assert again.json() == first.json()
    assert len(service.asked) == asked
    assert owner.credit_entries.filter(kind="charge").count() == charged


def test_a_repeat_of_a_page_is_neither_asked_about_nor_refused(as_owner, owner, service):
    one, many = form(), {**form(), "prompts": "A kite\nA boat", "step": "start"}
    first = [as_owner.post("/", one)["Location"], as_owner.post("/videos/batch/", many)["Location"]]
    service.status, asked = 500, len(service.asked)
    Verdict.objects.all().delete()
    again = [as_owner.post("/", one)["Location"], as_owner.post("/videos/batch/", many)["Location"]]
    assert (again, len(service.asked)) == (first, asked)
    owner.refresh_from_db()
    assert owner.balance == 70


def test_what_was_refused_for_the_moment_may_be_sent_again_with_its_key(program, owner, service):
    key = {"Idempotency-Key": "order-1"}
    service.status = 500
    assert program.send("/v1/videos", {"prompt": "A"}, headers=key).status_code == 503
    service.status = 200
    assert program.send("/v1/videos", {"prompt": "A"}, headers=key).status_code == 200
    assert owner.videos.count() == 1


# --- When the service is down ----------------------------------------------------------------------


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


# --- Many at once ----------------------------------------------------------------------------------


def test_the_texts_of_a_batch_travel_together_and_each_once(program, owner, service):
    items = [{"prompt": f"Kite {number % 3}"} for number in range(6)]
    assert program.send("/v1/batches/videos", {"items": items}).status_code == 200
    assert [sorted(asked) for asked in service.asked] == [["Kite 0", "Kite 1", "Kite 2"]]
    assert owner.verdicts.count() == 3


def test_all_500_of_a_batch_are_judged_and_the_bad_one_named(
    owner, service, monkeypatch, nothing_charged, settings
):
    monkeypatch.setattr(blocked_terms, "FRESH", 15)
    settings.VIDEO_CREDITS = 0  # else so many cost too much to be judged at all
    items = [{"prompt": f"Kite {number}"} for number in range(499)] + [{"prompt": "Much gore"}]
    answer = Program(owner).send("/v1/batches/videos", {"items": items})
    assert error_of(answer) == (400, "items.499.prompt", "moderation_blocked")
    assert sorted(map(len, service.asked)) == [100] * 5
    assert owner.verdicts.filter(outcome="allowed").count() == 499
    nothing_charged(owner)


def test_pictures_of_a_batch_are_asked_about_some_at_a_time(owner, service, monkeypatch):
    monkeypatch.setattr(moderation_service, "AT_ONCE", 3)
    service.delay = 0.05
    one = upload(owner)
    orders = [video_order(f"Kite {number}", upload=one) for number in range(10)]
    gate.clear(owner, orders)
    assert (len(service.asked), service.most_at_once) == (10, 3)


def test_one_item_without_a_verdict_is_enough_to_order_nothing(owner, service):
    one = upload(owner)
    orders = [video_order(f"Kite {number}", upload=one) for number in range(3)]
    service.on_request = lambda: setattr(service, "status", 400 if len(service.asked) > 2 else 200)
    with pytest.raises(gate.Unavailable):
        gate.clear(owner, orders)
    assert not Verdict.objects.exists()


def test_what_the_list_refuses_in_a_batch_shows_the_service_nothing(owner, service):
    with pytest.raises(gate.Refused) as refusal:
        gate.clear(owner, [video_order("A kite"), video_order("csam")])
    assert (refusal.value.number, service.asked) == (1, [])


# --- The one gate ----------------------------------------------------------------------------------


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


# --- Staff -----------------------------------------------------------------------------------------


@pytest.fixture
def boss(db):
    return new_user(is_staff=True, is_superuser=True)


@pytest.fixture
def support(db):
    for module, function in [("0002_groups", "forwards"), ("0005_moderation", "let_support")]:
        migration = import_module(f"aivideo.migrations.{module}")
        getattr(migration, function)(apps, SimpleNamespace(connection=connection))
    user = new_user(is_staff=True)
    user.groups.add(Group.objects.get(name="support"))
    return user


def refused(user, prompt="Much gore", **fields):
    with pytest.raises(gate.Refused) as refusal:
        gate.clear(user, [video_order(prompt, **fields)])
    return refusal.value.verdict


@pytest.mark.parametrize("prompt", ["Much gore", "csam"])
def test_what_staff_overrule_passes_from_then_on_for_that_person_alone(
    owner, stranger, boss, service, prompt
):
    verdict = refused(owner, prompt)
    form = actions.ActionRequest(boss, "a film about medicine", uuid.uuid4())
    assert [actions.overrule(form, verdict) for _ in range(2)] == [True, True]
    assert not actions.overrule(actions.ActionRequest(boss, "again", uuid.uuid4()), verdict)
    line = AuditEntry.objects.get()
    assert (line.action, line.target, line.reason) == (
        "overrule",
        f"verdict:{verdict.pk}",
        "a film about medicine",
    )
    verdict.refresh_from_db()
    assert (verdict.overruled_by, verdict.overruled_at is not None) == (boss, True)

    Verdict.objects.update(at=timezone.now() - 2 * gate.REUSED)
    asked = len(service.asked)
    assert order_cleared(owner, prompt=prompt)
    assert len(service.asked) == asked
    refused(stranger, prompt)
    refused(owner, f"{prompt}!")


def test_what_was_allowed_cannot_be_overruled(owner, boss, service):
    gate.clear(owner, [video_order()])
    form = actions.ActionRequest(boss, "why not", uuid.uuid4())
    assert not actions.overrule(form, owner.verdicts.get())
    assert not AuditEntry.objects.exists()


def test_support_reads_verdicts_overrules_them_and_keeps_the_list(support, owner, service):
    verdict = refused(owner, upload=upload(owner))
    client = signed_in(support)
    page = client.get("/admin/videos/verdict/?outcome__exact=refused")
    assert verdict.pk in page_of(page)
    assert verdict.pk in page_of(client.get(f"/admin/videos/verdict/?q={verdict.pk}"))
    assert verdict.pk not in page_of(client.get("/admin/videos/verdict/?outcome__exact=allowed"))
    row = page_of(client.get(f"/admin/videos/verdict/{verdict.pk}/change/"))
    assert "Much gore" in row
    assert "violence/graphic" in row
    assert f"/admin/videos/verdict/{verdict.pk}/overrule/" in row

    sent = {"reason": "medicine", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    answer = client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent)
    assert "HX-Redirect" in answer
    verdict.refresh_from_db()
    assert verdict.overruled_by == support
    row = page_of(client.get(f"/admin/videos/verdict/{verdict.pk}/change/"))
    assert f"/admin/videos/verdict/{verdict.pk}/overrule/" not in row

    assert client.post("/admin/videos/blockedterm/add/", {"term": "zeppelin"}).status_code == 302
    assert blocked_terms.found_in("a Zeppelin")


def test_nobody_writes_or_deletes_a_verdict_by_hand(as_staff, owner, service):
    verdict = refused(owner)
    page = f"/admin/videos/verdict/{verdict.pk}"
    assert as_staff.get("/admin/videos/verdict/add/").status_code == 403
    assert as_staff.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert as_staff.post(f"{page}/change/", {"outcome": "allowed"}).status_code == 403
    assert Verdict.objects.get().outcome == "refused"


def test_A01_a_stranger_sees_no_verdict_and_overrules_none(owner, as_owner, as_stranger, service):
    verdict = refused(owner)
    sent = {"reason": "please", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    for client in (as_stranger, as_owner):
        assert client.get(f"/admin/videos/verdict/{verdict.pk}/change/").status_code == 302
        assert client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent).status_code == 302
    verdict.refresh_from_db()
    assert verdict.overruled_at is None


def test_staff_without_the_right_do_not_overrule(owner, service):
    verdict = refused(owner)
    client = signed_in(new_user(is_staff=True))
    sent = {"reason": "please", "form": str(uuid.uuid4()), "_form_submitted": "True"}
    assert client.post(f"/admin/videos/verdict/{verdict.pk}/overrule/", sent).status_code == 403
    verdict.refresh_from_db()
    assert verdict.overruled_at is None


def test_old_verdicts_are_forgotten_except_those_that_staff_overruled(owner, boss, service):
    kept, gone = refused(owner), refused(owner, "Other gore")
    gate.overrule(kept, boss)
    Verdict.objects.update(at=timezone.now() - gate.KEPT)
    gate.purge_expired()
    assert [verdict.pk for verdict in Verdict.objects.all()] == [kept.pk]
    assert gone.pk != kept.pk


def test_a_picture_that_goes_leaves_the_verdict_about_it(owner, service):
    service.minds_pictures = "sexual"
    verdict = refused(owner, "A kite", upload=upload(owner))
    owner.uploads.get().delete()
    verdict.refresh_from_db()
    assert verdict.upload is None


# --- doctor ----------------------------------------------------------------------------------------


def doctor(capsys):
    with pytest.raises(SystemExit):  # no worker runs here
        call_command("doctor")
    return capsys.readouterr().out


def test_doctor_says_whether_the_service_gives_verdicts(capsys, service, settings):
    assert "moderation: ok" in doctor(capsys)
    service.status = 500
    assert "moderation: the moderation service gives no verdict: HTTP 500" in doctor(capsys)
    settings.MODERATION_API_KEY = ""
    asked = len(service.asked)
    assert "moderation: ok" in doctor(capsys)
    assert len(service.asked) == asked
