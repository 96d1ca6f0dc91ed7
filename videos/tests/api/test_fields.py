"""Fields as programs send them: in forms, under several names, and the same ones wherever a video is ordered."""

import base64
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from tests.support.api_client import error_of
from tests.support.fixtures import order
from videos.models import VideoModel

pytestmark = pytest.mark.django_db


def jpeg():
    out = io.BytesIO()
    Image.new("RGB", (200, 200), "teal").save(out, "JPEG")
    return SimpleUploadedFile("a.jpg", out.getvalue(), "image/jpeg")


def data_url():
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg().read()).decode()}"


def created(answer):
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- Forms ----------------------------------------------------------------------------------------


def test_objects_in_a_form_may_be_json_as_generated_clients_send_them(program, owner):
    form = {"prompt": "A kite", "metadata": '{"order": "7"}', "input_reference": '{"file_id": "file_1"}'}
    assert error_of(program.post("/v1/videos", form)) == (400, "input_reference.file_id", "invalid_value")
    del form["input_reference"]
    assert program.post("/v1/videos", form).json()["metadata"] == {"order": "7"}
    assert error_of(program.post("/v1/videos", form | {"metadata": "{"})) == (400, None, "invalid_json")


@pytest.mark.parametrize("content_type", ["multipart", "application/x-www-form-urlencoded"])
def test_an_empty_field_of_a_form_is_absent(program, owner, content_type):
    if content_type == "multipart":
        empty = {"seconds": "", "size": "", "seed": "", "n": "", "input_reference[image_url]": "", "user": ""}
        answer = program.post("/v1/videos", {"prompt": "A kite", **empty})
    else:
        answer = program.post("/v1/videos", "prompt=A+kite&seconds=&n=&seed=", content_type=content_type)
    video = created(answer)
    assert (video["seconds"], video["size"]) == ("4", "720x1280")
    assert owner.videos.get().extras == {}


def test_a_form_without_a_prompt_is_told_so(program):
    answer = program.post("/v1/videos", {"prompt": ""})
    assert error_of(answer) == (400, "prompt", "missing_required_parameter")


def test_an_empty_value_of_metadata_stays(program):
    video = created(program.post("/v1/videos", {"prompt": "A", "metadata[note]": "", "metadata[by]": "me"}))
    assert video["metadata"] == {"note": "", "by": "me"}


def test_an_empty_string_in_json_is_a_value_that_is_wrong(program):
    answer = program.send("/v1/videos", {"prompt": "A", "seconds": ""})
    assert error_of(answer) == (400, "seconds", "invalid_value")


@pytest.mark.parametrize(
    "fields",
    [
        {"input_reference": [jpeg(), jpeg()]},
        {"input_reference": jpeg(), "input_reference[image_url]": "https://example.com/a.jpg"},
    ],
)
def test_two_pictures_in_one_field_are_400(program, owner, fields):
    answer = program.post("/v1/videos", {"prompt": "A", **fields})
    assert error_of(answer) == (400, "input_reference", "invalid_value")
    assert not owner.videos.exists()
    assert not owner.uploads.exists()


def test_one_picture_in_a_form_is_taken(program, owner):
    created(program.post("/v1/videos", {"prompt": "A", "input_reference": jpeg()}))
    assert owner.videos.get().upload is not None


def test_a_field_of_a_form_that_comes_twice_is_400(program, owner):
    answer = program.post("/v1/videos", {"prompt": "A", "seconds": ["4", "8"]})
    assert error_of(answer) == (400, "seconds", "invalid_value")
    assert not owner.videos.exists()


@pytest.mark.parametrize("name", ["seconds", "duration"])
@pytest.mark.parametrize("value", [8, 8.0, "8", "8.0"])
def test_a_whole_number_of_seconds_may_have_a_point(program, name, value):
    assert created(program.send("/v1/videos", {"prompt": "A", name: value}))["seconds"] == "8"
    assert created(program.post("/v1/videos", {"prompt": "A", name: value}))["seconds"] == "8"


@pytest.mark.parametrize("value", ["8.5", "8.", ".0", "8e0", "-8.0"])
def test_what_is_no_whole_number_of_seconds_is_400(program, value):
    assert error_of(program.send("/v1/videos", {"prompt": "A", "seconds": value}))[:2] == (400, "seconds")


@pytest.mark.parametrize("name", ["n", "fps", "seconds", "seed"])
def test_a_boolean_is_no_number(program, owner, name):
    assert error_of(program.send("/v1/videos", {"prompt": "A", name: True}))[:2] == (400, name)
    batch = {"items": [{"prompt": "A", name: True}]}
    assert error_of(program.send("/v1/batches/videos", batch))[:2] == (400, f"items.0.{name}")
    assert not owner.videos.exists()


# --- OpenAI's `user` ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/videos", {"prompt": "A"}),
        ("/v1/batches/videos", {"items": [{"prompt": "A", "user": "person-7"}]}),
        ("/v1/campaigns", {"prompt": "A", "platforms": ["x"]}),
    ],
)
def test_the_user_of_a_request_is_taken_and_ignored(program, owner, stranger, path, body):
    for user in ("person-7", str(stranger.pk)):
        created(program.send(path, body if "items" in body else body | {"user": user}))
    assert owner.videos.count() == 2
    assert not stranger.videos.exists()


# --- Items of a batch -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usual", "own", "size"),
    [
        ({"size": "1280x720"}, {"aspect_ratio": "9:16"}, "720x1280"),
        ({"size": "1280x720"}, {"resolution": "1080p"}, "1920x1080"),
        ({"aspect_ratio": "9:16", "resolution": "1080p"}, {"size": "720x720"}, "720x720"),
        ({"resolution": "1080p"}, {"aspect_ratio": "9:16"}, "1080x1920"),
    ],
)
def test_the_shape_of_an_item_replaces_that_of_the_defaults(program, usual, own, size):
    batch = created(
        program.send("/v1/batches/videos", {"items": [{"prompt": "A", **own}], "defaults": usual})
    )
    assert batch["data"][0]["size"] == size


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [{"prompt": "A", "duration": 61}]}, "items.0.duration"),
        ({"items": [{"prompt": "A", "seconds": "61"}]}, "items.0.seconds"),
        ({"items": [{"prompt": "A"}], "defaults": {"duration": 61}}, "items.0.duration"),
        ({"items": [{"prompt": "A", "duration": 61}], "defaults": {"seconds": "4"}}, "items.0.duration"),
    ],
)
def test_an_error_of_an_item_names_the_field_as_it_was_sent(program, body, param):
    assert error_of(program.send("/v1/batches/videos", body))[:2] == (400, param)


# --- Campaigns ------------------------------------------------------------------------------------


def campaign(program, **fields):
    return program.send("/v1/campaigns", {"prompt": "A kite", "platforms": ["youtube", "tiktok"], **fields})


def test_a_campaign_takes_what_a_single_video_takes(program, owner):
    asked = {
        "model": "sora-2-pro",
        "duration": 10,
        "resolution": "1080p",
        "seed": 7,
        "negative_prompt": "rain",
        "fps": 30,
        "quality": "hd",
        "metadata": {"project": "Q1"},
        "input_reference": {"image_url": data_url()},
    }
    data = created(campaign(program, **asked))["data"]
    assert [(one["model"], one["seconds"], one["size"]) for one in data] == [
        ("sora-2-pro", "10", "1920x1080"),
        ("sora-2-pro", "10", "1080x1920"),
    ]
    assert [one["metadata"] for one in data] == [
        {"project": "Q1", "platform": "youtube"},
        {"project": "Q1", "platform": "tiktok"},
    ]
    videos = list(owner.videos.order_by("position"))
    extras = {"seed": 7, "negative_prompt": "rain", "fps": 30, "quality": "hd"}
    assert [video.extras for video in videos] == [extras, extras]
    assert videos[0].upload is not None
    assert videos[0].upload == videos[1].upload


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "1280x720"}, "size"),
        ({"aspect_ratio": "16:9"}, "aspect_ratio"),
        ({"n": 2}, "n"),
        ({"duration": 61}, "duration"),
        ({"resolution": "8k"}, "resolution"),
        ({"model": "sora-9"}, "model"),
        ({"prompt": " "}, "prompt"),
        ({"fps": 7}, "fps"),
        ({"cost": 0}, "cost"),
        ({"input_reference": {"image_url": "http://127.0.0.1/"}}, "input_reference"),
    ],
)
def test_a_campaign_that_is_wrong_names_its_field_and_costs_nothing(program, owner, fields, param):
    assert error_of(campaign(program, **fields))[:2] == (400, param)
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (100, 0)


def test_a_campaign_that_credits_do_not_do_for_keeps_no_picture(program, owner):
    for _ in range(9):
        order(owner)
    answer = campaign(program, input_reference={"image_url": data_url()})
    assert error_of(answer) == (402, None, "insufficient_credits")
    assert not owner.uploads.exists()


# --- One schema -----------------------------------------------------------------------------------


WAYS = {
    "single": ("/v1/videos", lambda fields: fields),
    "quote": ("/v1/videos/quote", lambda fields: fields),
    "item": ("/v1/batches/videos", lambda fields: {"items": [fields]}),
    "defaults": (
        "/v1/batches/videos",
        lambda fields: {"items": [{"prompt": fields["prompt"]}], "defaults": fields},
    ),
    "campaign": ("/v1/campaigns", lambda fields: fields | {"platforms": ["x"]}),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_order_has_the_same_fields_wherever_it_is_placed(program, owner, way):
    path, body = WAYS[way]
    fields = {
        "prompt": "A kite",
        "model": "sora-2",
        "duration": 8.0,
        "resolution": "720p",
        "seed": 1,
        "negative_prompt": "rain",
        "fps": 24,
        "quality": "standard",
        "metadata": {"a": "b"},
        "webhook_url": "https://example.com/hook",
        "input_reference": {"image_url": data_url()},
        "last_frame": {"image_url": data_url()},
        "user": "person-7",
    }
    VideoModel.objects.update(takes=["image", "last_frame", "seed", "negative_prompt"])
    created(program.send(path, body(fields)))
    assert owner.videos.count() == (0 if way == "quote" else 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": "61"},
        {"seed": -1},
        {"fps": 7},
        {"quality": "best"},
        {"metadata": {"a": 1}},
        {"webhook_url": "http://127.0.0.1/"},
        {"model": "sora-9"},
        {"seconds": "4", "duration": 8},
        {"unheard_of": 1},
    ],
)
def test_an_order_is_refused_for_the_same_values_wherever_it_is_placed(program, owner, way, wrong):
    path, body = WAYS[way]
    status, param, _code = error_of(program.send(path, body({"prompt": "A kite", **wrong})))
    assert status == 400
    assert param.split(".")[-1] in [*wrong, "a"]
    assert not owner.videos.exists()
