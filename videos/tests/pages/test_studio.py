"""The studio's page and form: what good and bad input get."""

import io
import random
import re
import uuid
import zlib

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from accounts import credits
from tests.support.fixtures import entries, new_user, order, signed_in
from tests.support.sabotage import becomes, drop, without
from tests.support.studio_page import HTMX, form, nothing_happened, picture
from videos.catalogue import availability
from videos.generation import lifecycle
from videos.media.presets import presets
from videos.models import Status, Upload, VideoModel
from videos.worker import steps

pytestmark = pytest.mark.django_db

NOBODYS = uuid.UUID(int=7)


def test_a_visitor_sees_the_studio_and_its_samples():
    page = Client().get("/").content.decode()
    assert "Make a video" in page
    assert page.count(".mp4") >= 3


def test_generate_starts_a_video_and_leads_to_it(as_owner, owner):
    answer = as_owner.post("/", form())
    video = owner.videos.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/?video={video.pk}")
    assert (video.prompt, video.size, video.seconds) == ("A red kite over the sea", "1280x720", 4)
    assert entries(video) == [("charge", -10)]


def test_generate_with_htmx_answers_with_the_running_stage_and_the_new_balance(as_owner, owner):
    answer = as_owner.post("/", form(), headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert answer["HX-Push-Url"] == f"/?video={owner.videos.get().pk}"
    assert "Generating your video" in page
    assert re.search(r'hx-swap-oob[\s\S]{0,200}id="balance"[\s\S]{0,300}?90', page)


def test_the_same_page_sent_twice_makes_one_video(as_owner, owner):
    sent = form()
    locations = [as_owner.post("/", sent)["Location"] for _ in range(2)]
    assert locations[0] == locations[1]
    assert owner.videos.count() == 1


def test_the_back_button_and_another_prompt_make_another_video(as_owner, owner):
    sent = form()
    as_owner.post("/", sent)
    as_owner.post("/", {**sent, "prompt": "A blue one"})
    assert owner.videos.count() == 2


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("prompt", "", "Enter a prompt."),
        ("prompt", "  \n ", "Enter a prompt."),
        ("prompt", "x" * 32_001, "The prompt has 32001 characters; the limit is 32000."),
        ("prompt", "a\x00b", "character"),
        ("model", "gpt-9", "This model is not available"),
        ("model", "", "required"),
        (
            "aspect_ratio",
            "4:3",
            "Studio Fast does not support this aspect ratio. Choose one of: 16:9, 9:16, 1:1, 21:9.",
        ),
        ("aspect_ratio", "1:7", "Studio Fast does not support this aspect ratio."),
        ("aspect_ratio", "", "required"),
        (
            "resolution",
            "1440p",
            "Studio Fast does not support 16:9 at 1440p. Choose one of: 480p, 720p, 1080p.",
        ),
        ("resolution", "1024p", "Studio Fast does not support 16:9 at 1024p."),
        ("seconds", "61", "Studio Fast does not support this length. Choose one of: 1–60 seconds."),
        ("seconds", "four", "whole number"),
        ("seconds", "", "Enter the length of the video in seconds."),
        ("seconds", "other", "Enter the length of the video in seconds."),
        ("seconds", "9" * 500, "length"),
        ("image", "preset:nothing", "This picture is no longer available"),
        ("image", "preset:../../manage.py", "This picture is no longer available"),
        ("image", "upload:x", "This picture is no longer available"),
        ("image", f"upload:{NOBODYS}", "This picture is no longer available"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_bad_input_gets_a_sentence_and_costs_nothing(as_owner, owner, field, value, sentence, headers):
    answer = as_owner.post("/", form(**{field: value}), headers=headers)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert nothing_happened(owner)


def test_what_was_typed_survives_a_mistake_elsewhere(as_owner):
    page = as_owner.post("/", form(resolution="1p", prompt="Keep <this>")).content.decode()
    assert "Keep &lt;this&gt;" in page


def test_A27_a_forged_price_changes_nothing(as_owner, owner):
    as_owner.post("/", form(credits="0", price="0", cost="-5", status="completed", user="1"))
    video = owner.videos.get()
    assert (video.credits, video.status, entries(video)) == (10, Status.QUEUED, [("charge", -10)])


ODD_NUMBERS = ["-4", "0", "61", "4.5", "4e3", "NaN", "inf", "99999999999999999999", "٩٩", "4;8", "", "0x8"]


@without("the check of what may be ordered", "videos.generation.ordering.place", drop("check_order"))
@without(
    "the price list",
    "videos.generation.ordering.place",
    becomes("order.price", "order.price * order.seconds // 8"),
)
@pytest.mark.parametrize("odd", ODD_NUMBERS)
def test_A27_whatever_is_asked_for_the_price_is_the_tables(as_owner, owner, odd):
    for field in ("seconds", "aspect_ratio", "resolution", "model"):
        assert as_owner.post("/", form(**{field: odd})).status_code == 422
    model = availability.models().first()
    for seconds in (-4, 0, 61, 10**20, 4.5, float("nan")):
        with pytest.raises(ValidationError):
            order(owner, "x", model=model, size=model.sizes[0], seconds=seconds)
    assert nothing_happened(owner)
    for seconds in (1, 4, 60):
        video = order(owner, "x", model=model, size=model.sizes[0], seconds=seconds)
        assert entries(video) == [("charge", -model.price)]


def test_a_disabled_model_cannot_be_ordered(as_owner, owner):
    availability.models().filter(slug="sora-2-pro").update(enabled=False)
    assert as_owner.post("/", form(model="sora-2-pro")).status_code == 422
    assert nothing_happened(owner)


def test_too_few_credits_get_a_sentence_with_the_numbers(settings):
    settings.SIGNUP_CREDITS = 7
    user = new_user()
    answer = signed_in(user).post("/", form(prompt="Keep this"))
    page = answer.content.decode()
    assert answer.status_code == 402
    assert "This costs 10 credits and you have 7. Nothing was charged." in page
    assert "Keep this" in page
    assert not user.videos.exists()


def test_no_credits_at_all_cost_nothing(settings):
    settings.SIGNUP_CREDITS = 0
    user = new_user()
    assert signed_in(user).post("/", form(), headers=HTMX).status_code == 402
    assert not user.videos.exists()


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_session_that_ended_gets_a_clear_answer_and_the_draft_is_kept(headers, owner):
    client = Client()
    answer = client.post("/", form(prompt="My long thought"), headers=headers)
    page = answer.content.decode()
    assert answer.status_code == 401
    assert "Sign in to generate. Your input is kept, and no credits were used." in page
    assert "My long thought" in page
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert "My long thought" in client.get("/").content.decode()
    assert nothing_happened(owner)


def test_a_page_from_before_the_last_sign_in_gets_a_clear_answer(owner):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post("/", form())
    assert answer.status_code == 403
    assert "This page is out of date" in answer.content.decode()
    assert nothing_happened(owner)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upload_becomes_the_first_frame(as_owner, owner, kind):
    as_owner.post("/", form(file=picture(kind=kind)))
    video = owner.videos.get()
    assert (video.upload.width, video.upload.height) == (640, 480)
    sent = Image.open(io.BytesIO(steps.job_request(video).image))
    assert (sent.format, sent.size) == ("JPEG", (1280, 720))


def test_a_preset_becomes_the_first_frame(as_owner, owner):
    name = next(iter(presets()))
    as_owner.post("/", form(image=f"preset:{name}", aspect_ratio="9:16"))
    sent = Image.open(io.BytesIO(steps.job_request(owner.videos.get()).image))
    assert (sent.format, sent.size) == ("JPEG", (720, 1280))


def test_the_same_picture_is_kept_once_and_can_be_chosen_again(as_owner, owner):
    file = picture().read()
    for _ in range(2):
        as_owner.post("/", form(file=SimpleUploadedFile("x.png", file)))
    upload = owner.uploads.get()
    as_owner.post("/", form(image=f"upload:{upload.pk}"))
    assert set(owner.videos.values_list("upload", flat=True)) == {upload.pk}
    assert owner.videos.count() == 3


def test_a_good_picture_survives_a_mistake_in_another_field(as_owner, owner):
    page = as_owner.post("/", form(prompt="", file=picture())).content.decode()
    assert re.search(rf'value="upload:{owner.uploads.get().pk}"[^>]*checked', page)


@without(
    "the owner check on an uploaded picture",
    "videos.pages.studio_form.StudioForm._own_upload",
    becomes("self.user.uploads", "self.user.uploads.model.objects"),
)
def test_A06_somebody_elses_upload_is_not_there(as_owner, stranger, owner):
    upload = stranger.uploads.create(file="uploads/x.jpg", sha256="1" * 64, width=1, height=1)
    answer = as_owner.post("/", form(image=f"upload:{upload.pk}"))
    assert answer.status_code == 422
    assert nothing_happened(owner)
    assert as_owner.get(f"/uploads/{upload.pk}/").status_code == 404


def bomb():
    """A PNG of 13000x13000 pixels in about 20 KB."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = (13000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(b"\x00" * (13000 * (1 + 13000 // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD_FILES = {
    "no picture": b"I am a text",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    "a page": b"<!doctype html><script>alert(1)</script>",
    "a pixel bomb": bomb(),
    "30 MB": b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(1000) * 30_000,
    "half a picture": picture().read()[:2000],
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_upload_gets_a_sentence_beside_it_and_costs_nothing(as_owner, owner, what):
    file = SimpleUploadedFile("x.png", BAD_FILES[what])
    answer = as_owner.post("/", form(prompt="Keep this", file=file))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert re.search(r'<p class="error">(This file|This picture|Pictures) ', page)
    assert "Keep this" in page
    assert nothing_happened(owner)
    assert not Upload.objects.exists()


def test_a_body_beyond_every_limit_is_not_even_read(as_owner, owner):
    answer = as_owner.post("/", form(), headers={"Content-Length": str(60 * 1024 * 1024)})
    assert answer.status_code == 413
    assert nothing_happened(owner)


def test_opening_the_studio_shows_the_running_video_on_every_device(owner):
    video = order(owner)
    for _device in range(2):
        page = signed_in(owner).get("/").content.decode()
        assert f"/videos/{video.pk}/card/" in page
        assert "Generating" in page


def test_a_finished_video_leaves_the_stage_to_the_samples(as_owner, owner):
    lifecycle.fail(order(owner), "generation_failed")
    assert "See what it can do" in as_owner.get("/").content.decode()


def test_a_failure_says_why_and_that_the_credits_are_back(as_owner, owner):
    video = order(owner)
    lifecycle.fail(video, "moderation_blocked", "secret words of the provider")
    page = as_owner.get(f"/?video={video.pk}").content.decode()
    assert "safety rules do not allow" in page
    assert "10 credits were refunded" in page
    assert "secret words" not in page


def test_the_card_asks_again_only_while_the_video_is_running(as_owner, owner):
    video = order(owner)
    url = f"/videos/{video.pk}/card/?at=studio"
    running = as_owner.get(url)
    assert (running["Retry-After"], "hx-trigger" in running.content.decode()) == ("1", True)
    lifecycle.fail(video, "generation_failed")
    ended = as_owner.get(url)
    assert "Retry-After" not in ended.headers
    assert f"/videos/{video.pk}/card/" not in ended.content.decode()
    assert re.search(r'id="balance"[\s\S]{0,300}?100', ended.content.decode())


def test_use_again_fills_the_studio(as_owner, owner):
    video = order(owner, "Once more", size="720x1280", seconds=8)
    page = as_owner.get(f"/?again={video.pk}").content.decode()
    assert "Once more" in page
    for name, value in (("aspect_ratio", "9:16"), ("resolution", "720p"), ("seconds", "8")):
        assert re.search(rf'name="{name}" value="{value}"[^>]*checked', page)


@pytest.mark.parametrize("query", ["video=x", "again=x", f"video={NOBODYS}", f"again={NOBODYS}"])
def test_a_link_to_a_video_that_is_not_there_is_404(as_owner, query):
    assert as_owner.get(f"/?{query}").status_code == 404


def test_prompts_are_shown_as_text(as_owner, owner):
    video = order(owner, "<script>alert(1)</script>")
    for url in ("/", "/videos/", f"/videos/{video.pk}/"):
        page = as_owner.get(url).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_a_poll_after_the_session_ended_leads_to_the_sign_in_page(owner):
    url = f"/videos/{order(owner).pk}/card/"
    answer = Client().get(url, headers={**HTMX, "HX-Current-URL": "http://testserver/?video=7"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, "/accounts/login/?next=%2F%3Fvideo%3D7")


def test_who_has_too_few_credits_tops_up_and_finds_the_form_as_it_was(as_owner, owner):
    typed = form(prompt="A kite to be paid for", seconds="8", top_up="1")
    credits.charge(owner, 95, reference="order:1")
    assert "You need 5 more credits" in as_owner.get("/").content.decode()
    answer = as_owner.post("/", typed)
    assert (answer.status_code, answer["Location"]) == (302, "/credits/")
    assert as_owner.post("/", typed, headers=HTMX)["HX-Redirect"] == "/credits/"
    assert owner.videos.count() == 0
    page = as_owner.get("/").content.decode()
    assert "A kite to be paid for" in page
    assert re.search(r'value="8"[^>]*checked', page)
    assert "A kite to be paid for" not in as_owner.get("/").content.decode()


def test_a_picture_that_was_chosen_before_the_top_up_is_kept(as_owner, owner):
    as_owner.post("/", form(prompt="", top_up="1", file=picture()))
    upload = owner.uploads.get()
    assert re.search(rf'value="upload:{upload.pk}"[^>]*checked', as_owner.get("/").content.decode())


def test_a_price_that_rose_since_it_was_shown_is_shown_again_and_charges_nothing(as_owner, owner):
    seen = form(seen_price=20, variations=2)
    assert 'id="seen-price" value="10"' in as_owner.get("/").text
    VideoModel.objects.filter(slug="sora-2").update(credits=11)
    answer = as_owner.post("/", seen)
    assert (answer.status_code, owner.videos.count()) == (409, 0)
    assert "This costs 22 credits, more than was shown. Nothing was charged." in answer.text
    assert 'id="seen-price" value="22"' in answer.text
    assert as_owner.post("/", {**seen, "seen_price": 22}).status_code == 302
    owner.refresh_from_db()
    assert owner.balance == 100 - 22


def test_a_price_that_fell_is_charged_as_it_is(as_owner, owner):
    VideoModel.objects.filter(slug="sora-2").update(credits=9)
    assert as_owner.post("/", form(seen_price=10)).status_code == 302
    owner.refresh_from_db()
    assert owner.balance == 91


def test_a_repeated_click_is_the_same_order_whatever_the_price_has_become(as_owner, owner):
    seen = form(seen_price=10, nonce=str(uuid.uuid4()))
    as_owner.post("/", seen)
    VideoModel.objects.filter(slug="sora-2").update(credits=11)
    assert as_owner.post("/", seen).status_code == 302
    assert owner.videos.count() == 1
