"""What may be asked for besides words, shape and length: each only where the model has it, at its price."""

import json
import re

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.support.api_client import error_of
from tests.support.fixtures import entries, new_user, order, signed_in
from tests.support.provider_contract import picture
from videos.catalogue import availability
from videos.models import Price, Upload, Video, VideoModel
from videos.providers.base import data_url
from videos.worker import steps

pytestmark = pytest.mark.django_db

ASKED = {"prompt": "A red kite", "model": "sora-2", "size": "1280x720", "seconds": "4"}
ON_PAGE = {
    "prompt": "A red kite",
    "model": "sora-2",
    "seconds": "4",
    "aspect_ratio": "16:9",
    "resolution": "720p",
}
ALL = ["image", "last_frame", "seed", "negative_prompt", "audio"]
DATA_URL = data_url(picture())


@pytest.fixture
def rich():
    """A model that takes everything, beside one that takes little."""
    VideoModel.objects.filter(slug="sora-2-pro").update(
        takes=["image", "seed", "negative_prompt"], frame_rates=[], qualities=[]
    )
    VideoModel.objects.filter(slug="sora-2").update(
        takes=ALL, frame_rates=[24, 30], qualities=["standard", "high"], lengths=[1, 4, 60], prompt_limit=50
    )
    model = VideoModel.objects.get(slug="sora-2")
    for quality, audio, credits in (("high", "", 20), ("", "off", 8), ("high", "off", 15)):
        Price.objects.create(model=model, quality=quality, audio=audio, credits=credits)
    return model


@pytest.fixture
def plain():
    """A model that takes words only."""
    VideoModel.objects.filter(slug="sora-2").update(takes=[], frame_rates=[], qualities=[])
    return VideoModel.objects.get(slug="sora-2")


def picture_file():
    return SimpleUploadedFile("a.jpg", picture(), "image/jpeg")


def errors_on(page):
    return re.findall(r'class="error">([^<]+)<', page.content.decode())


def test_the_page_takes_every_option_that_the_model_has(rich, as_owner, owner):
    asked = {"audio": "off", "quality": "high", "fps": "30", "seed": "0", "negative_prompt": "Text"}
    page = as_owner.post("/", {**ON_PAGE, **asked, "last_file": picture_file()})
    assert page.status_code == 302, errors_on(page)
    video = Video.objects.get()
    assert video.extras == {
        "audio": False,
        "quality": "high",
        "fps": 30,
        "seed": 0,
        "negative_prompt": "Text",
    }
    assert (video.credits, entries(video)) == (15, [("charge", -15)])
    sent = steps.job_request(Video.objects.select_related("last_frame").get())
    assert sent.last_frame is not None
    assert sent.image is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"audio": "off"}, "does not support sound on or off"),
        ({"seed": "7"}, "does not support a seed"),
        ({"negative_prompt": "Text"}, "does not support a negative prompt"),
        ({"image": "preset:coffee"}, "does not support a first frame"),
        ({"last_file": "a picture"}, "does not support a last frame"),
        ({"quality": "high"}, "does not support this value"),
        ({"fps": "30"}, "does not support this value"),
    ],
)
def test_what_the_model_has_not_is_refused_where_it_stands(plain, as_owner, owner, asked, sentence):
    asked = {name: picture_file() if value == "a picture" else value for name, value in asked.items()}
    page = as_owner.post("/", ON_PAGE | asked)
    assert page.status_code == 422
    assert [found for found in errors_on(page) if sentence in found]
    owner.refresh_from_db()
    assert (Video.objects.count(), owner.balance) == (0, 100)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"audio": False}, "audio"),
        ({"seed": 7}, "seed"),
        ({"negative_prompt": "Text"}, "negative_prompt"),
        ({"input_reference": {"image_url": DATA_URL}}, "input_reference"),
        ({"last_frame": {"image_url": DATA_URL}}, "last_frame"),
        ({"quality": "high"}, "quality"),
        ({"fps": 30}, "fps"),
    ],
)
def test_programs_are_told_which_option_the_model_has_not(plain, program, asked, param):
    assert error_of(program.send("/v1/videos", ASKED | asked)) == (400, param, "invalid_value")
    refused = program.send("/v1/batches/videos", {"items": [ASKED | asked]})
    assert error_of(refused) == (400, f"items.0.{param}", "invalid_value")
    assert program.get("/v1/credits").json()["balance"] == 100


def test_programs_take_every_option_at_its_price(rich, program):
    asked = {"audio": False, "quality": "high", "fps": 24, "last_frame": {"image_url": DATA_URL}, "n": 2}
    answer = program.send("/v1/videos", ASKED | asked)
    assert (answer.status_code, answer.json()["credits"]) == (200, 15)
    assert {(video.extras["fps"], video.last_frame is not None) for video in Video.objects.all()} == {
        (24, True)
    }
    assert program.get("/v1/credits").json()["balance"] == 70


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ({"aspect_ratio": "16:9"}, "854x480"),
        ({"aspect_ratio": "16:9", "resolution": "1080p"}, "1920x1080"),
        ({"aspect_ratio": "21:9", "resolution": "720p"}, "1680x720"),
        ({"aspect_ratio": "1:1"}, "720x720"),
        ({"resolution": "720p"}, "1680x720"),
        ({"aspect_ratio": "9:16"}, None),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, None),
    ],
)
def test_programs_may_ask_by_shape_and_resolution(rich, program, shape, size):
    VideoModel.objects.filter(pk=rich.pk).update(sizes=["854x480", "1680x720", "720x720", "1920x1080"])
    answer = program.send("/v1/videos", {"prompt": "A kite", "model": "sora-2", **shape})
    assert answer.json().get("size") == size
    assert answer.status_code == (200 if size else 400)


def test_a_remix_keeps_what_was_asked_for(rich, program, owner):
    program.send("/v1/videos", ASKED | {"fps": 24, "last_frame": {"image_url": DATA_URL}})
    first = Video.objects.get()
    Video.objects.update(status="completed", file="a.mp4", sha256="0")
    program.send(f"/v1/videos/video_{first.pk.hex}/remix", {"prompt": "A blue kite"})
    second = Video.objects.exclude(pk=first.pk).get()
    assert (second.extras, second.last_frame) == (first.extras, first.last_frame)


@pytest.mark.parametrize(
    ("extras", "credits"),
    [
        ({}, 10),  # standard, with sound: what the model does by itself
        ({"quality": "high"}, 20),
        ({"audio": False}, 8),
        ({"quality": "high", "audio": False}, 15),
        ({"fps": 30, "seed": 1}, 10),
    ],
)
def test_the_price_follows_from_the_options(rich, extras, credits):
    assert rich.price_of("1280x720", 4, extras) == credits


def test_the_page_says_what_each_choice_costs(rich, as_owner):
    page = as_owner.get("/").content.decode()
    prices = json.loads(
        re.search(r'value="sora-2"[^>]*data-prices="([^"]*)"', page)[1].replace("&quot;", '"')
    )
    # No line names a size or a length, so these have no name here.
    assert prices == {"  standard on": 10, "  standard off": 8, "  high on": 20, "  high off": 15}
    asked = {**ON_PAGE, "prompt": "", "quality": "high", "variations": "3"}
    assert 'id="price">60 credits<' in as_owner.post("/", asked).content.decode()


def test_what_another_model_has_is_shown_disabled_with_the_reason(rich, as_owner):
    page = as_owner.post("/", {**ON_PAGE, "prompt": "", "model": "sora-2-pro"}).content.decode()
    for part in ("qualities", "frame-rates", "audio", "last-pictures"):
        assert re.search(rf'id="{part}"[^>]* disabled>', page), part
    assert not re.search(r'id="seeds"[^>]* disabled>', page)
    assert page.count('<p class="hint lack">Not supported by the selected model.</p>') == 4


def test_variations_are_ordered_all_or_none(as_owner, owner):
    asked = {**ON_PAGE, "variations": "4", "nonce": "5b0b0f0c-6f0e-4b5a-9a55-0d6c5f1a7a01"}
    for _twice in range(2):
        assert as_owner.post("/", asked).status_code == 302
    owner.refresh_from_db()
    assert (Video.objects.count(), owner.balance) == (4, 60)
    VideoModel.objects.update(credits=16)
    refused = as_owner.post("/", {**asked, "nonce": "5b0b0f0c-6f0e-4b5a-9a55-0d6c5f1a7a02"})
    assert refused.status_code == 402
    assert "This costs 64 credits and you have 60" in refused.content.decode()
    owner.refresh_from_db()
    assert (Video.objects.count(), owner.balance) == (4, 60)


@pytest.mark.parametrize("variations", ["0", "5", "-1", "many", "9" * 5000])
def test_a_number_of_variations_that_is_none_is_refused(as_owner, variations):
    assert as_owner.post("/", ON_PAGE | {"variations": variations}).status_code == 422
    assert not Video.objects.exists()


@pytest.mark.parametrize("seed", ["-1", str(2**32), "1.5", "seven", "9" * 5000])
def test_a_seed_that_is_none_is_refused(as_owner, seed):
    assert as_owner.post("/", ON_PAGE | {"seed": seed}).status_code == 422
    assert not Video.objects.exists()


def test_a_prompt_is_as_long_as_its_model_takes(rich, as_owner, program):
    assert "The prompt has 51 characters; the limit is 50." in errors_on(
        as_owner.post("/", ON_PAGE | {"prompt": "a" * 51})
    )
    assert error_of(program.send("/v1/videos", ASKED | {"prompt": "a" * 51})) == (
        400,
        "prompt",
        "invalid_value",
    )
    assert as_owner.post("/", ON_PAGE | {"prompt": "a" * 50}).status_code == 302


def test_a_last_frame_of_somebody_else_is_not_found(rich, as_owner, stranger):
    theirs = Upload.objects.create(user=stranger, file="uploads/a.jpg", sha256="1", width=1, height=1)
    page = as_owner.post("/", ON_PAGE | {"last": f"upload:{theirs.pk}"})
    assert (page.status_code, Video.objects.count()) == (422, 0)


def test_a_picture_goes_with_the_last_video_that_begins_or_ends_with_it(rich, owner):
    from videos.generation import lifecycle

    mine = Upload.objects.create(user=owner, file="uploads/a.jpg", sha256="1", width=1, height=1)
    begins, ends = order(owner, upload=mine), order(owner, last_frame=mine)
    for video in (begins, ends):
        lifecycle.cancel(video)
    assert lifecycle.delete(begins)
    assert Upload.objects.exists()
    assert lifecycle.delete(Video.objects.get(pk=ends.pk))
    assert not Upload.objects.exists()


def test_use_again_brings_the_options_back(rich, as_owner, owner):
    video = order(owner, extras={"seed": 7, "audio": False, "quality": "high"})
    page = as_owner.get(f"/?again={video.pk}").content.decode()
    assert re.search(r'name="seed"[^>]*value="7"', page)
    assert re.search(r'value="off" checked', page)
    assert re.search(r'value="high" checked', page)
    assert re.search(r'<details class="options" id="options" open>', page)


def test_a_model_for_staff_is_for_staff(as_owner, program):
    VideoModel.objects.filter(slug="sora-2").update(audience="staff")
    assert "sora-2" not in [model["id"] for model in program.get("/v1/models").json()["data"]]
    assert error_of(program.send("/v1/videos", ASKED)) == (400, "model", "model_not_found")
    assert as_owner.post("/", ON_PAGE).status_code == 422
    assert not Video.objects.exists()
    boss = new_user(is_staff=True)
    assert signed_in(boss).post("/", ON_PAGE).status_code == 302
    assert availability.models(boss).filter(slug="sora-2").exists()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("sizes", [[], ["wide"], ["1x1"], "1280x720", [1280], ["1280x720x1"], None]),
        ("lengths", [[], [0], [61], [4.5], ["4"], 4, [True]]),
        ("takes", [["wings"], "seed", [["seed"]], {"seed": 1}]),
        ("frame_rates", [[0], [121], ["24"], 24]),
        ("qualities", [[""], ["a b"], ["x" * 21], "high"]),
        ("prompt_limit", [0, 32_001]),
    ],
)
def test_staff_cannot_write_what_no_page_could_show(field, values):
    model = VideoModel.objects.get(slug="sora-2")
    for value in values:
        setattr(model, field, value)
        with pytest.raises(ValidationError) as refusal:
            model.full_clean()
        assert list(refusal.value.message_dict) == [field]
