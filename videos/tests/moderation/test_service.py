"""What the moderation service allows or refuses, how it is asked, and what a repeat costs."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.support.api_client import Program, error_of
from tests.support.fixtures import video_order
from tests.support.moderation import APPEAL, DOORS, data_url, order_cleared, page_of, upload
from tests.support.moderation_server import KEY, MODEL, ModerationServer
from tests.support.studio_page import form, picture
from videos.models import BlockedTerm, Status, Verdict, Video, VideoModel
from videos.moderation import blocked_terms, gate
from videos.moderation import service as moderation_service
from videos.serializers import public_id

pytestmark = pytest.mark.django_db


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
