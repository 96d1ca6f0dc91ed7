"""What programs order, what of it is wrong, and what each is told."""

import pytest

from tests.support.api_client import Program, error_of
from tests.support.fixtures import order, pump_until_done
from tests.support.sabotage import becomes_text, without
from videos.api import bodies
from videos.models import Video, VideoModel
from videos.serializers import public_id
from videos.worker import steps

pytestmark = pytest.mark.django_db


def test_an_order_in_json_and_one_in_multipart_are_the_same_order(program):
    fields = {"prompt": "A kite", "model": "sora-2-pro", "seconds": "8", "size": "720x1280"}
    videos = [program.send("/v1/videos", fields).json(), program.post("/v1/videos", fields).json()]
    for video in videos:
        assert {name: video[name] for name in fields} == fields
        assert (video["status"], video["progress"], video["url"], video["error"]) == ("queued", 0, None, None)


def test_what_is_left_out_is_as_at_openai(program):
    video = program.send("/v1/videos", {"prompt": "A kite"}).json()
    assert (video["model"], video["seconds"], video["size"]) == ("sora-2", "4", "720x1280")


def test_a_model_that_does_not_make_openais_size_makes_its_first(program):
    VideoModel.objects.filter(slug="sora-2").update(sizes=["1920x1080", "1280x720"], lengths=[6, 4])
    video = program.send("/v1/videos", {"prompt": "A kite"}).json()
    assert (video["seconds"], video["size"]) == ("6", "1920x1080")


@pytest.mark.parametrize(
    ("asked", "size"), [({"resolution": "720p"}, "1280x720"), ({"aspect_ratio": "1:1"}, "720x720")]
)
def test_a_shape_or_a_resolution_is_followed_by_the_models_first_that_has_it(program, asked, size):
    assert program.send("/v1/videos", {"prompt": "A kite", **asked}).json()["size"] == size


def test_items_of_a_batch_without_a_size_have_openais(program):
    answer = program.send(
        "/v1/batches/videos", {"items": [{"prompt": "A"}, {"prompt": "B", "size": "1280x720"}]}
    )
    assert [video["size"] for video in answer.json()["data"]] == ["720x1280", "1280x720"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("sora-2-2025-10-06", "sora-2"),
        ("sora-2-2025-12-08", "sora-2"),
        ("sora-2-pro-2025-10-06", "sora-2-pro"),
    ],
)
def test_openais_name_of_a_version_is_the_model(program, name, model):
    assert program.send("/v1/videos", {"prompt": "A kite", "model": name}).json()["model"] == model


def test_a_model_of_the_catalog_with_that_very_name_comes_first(program):
    name = "sora-2-2025-10-06"
    VideoModel.objects.filter(slug="sora-2-pro").update(slug=name)
    assert program.send("/v1/videos", {"prompt": "A kite", "model": name}).json()["model"] == name
    VideoModel.objects.filter(slug=name).update(enabled=False)
    refused = program.send("/v1/videos", {"prompt": "A kite", "model": name})
    assert error_of(refused) == (400, "model", "model_not_found")


def test_a_key_for_one_model_may_use_the_names_of_its_versions_only(owner):
    program = Program(owner, allowed_models=["sora-2"])
    asked = {"prompt": "A kite", "model": "sora-2-2025-12-08"}
    assert program.send("/v1/videos", asked).json()["model"] == "sora-2"
    refused = program.send("/v1/videos", asked | {"model": "sora-2-pro-2025-10-06"})
    assert error_of(refused) == (400, "model", "model_not_found")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": " "}, "prompt", "invalid_value"),
        ({"prompt": 7}, "prompt", "invalid_value"),
        ({"prompt": "x" * 1_000_000}, "prompt", "invalid_value"),
        ({"prompt": "a\x00b"}, "prompt", "invalid_value"),
        ({"prompt": "\ud800"}, "prompt", "invalid_value"),
        ({"prompt": "A", "seconds": "61"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": 61}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "NaN"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": -1}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "٤"}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": 4.5}, "seconds", "invalid_value"),
        ({"prompt": "A", "seconds": "9" * 5000}, "seconds", "invalid_value"),
        ({"prompt": "A", "size": "1x1"}, "size", "invalid_value"),
        ({"prompt": "A", "size": "1280x720", "aspect_ratio": "16:9"}, "size", "invalid_value"),
        ({"prompt": "A", "aspect_ratio": "0:0"}, "aspect_ratio", "invalid_value"),
        ({"prompt": "A", "aspect_ratio": "4:3"}, "aspect_ratio", "invalid_value"),
        ({"prompt": "A", "resolution": "8k"}, "resolution", "invalid_value"),
        ({"prompt": "A", "model": "sora-9"}, "model", "model_not_found"),
        ({"prompt": "A", "n": 5}, "n", "invalid_value"),
        ({"prompt": "A", "n": 0}, "n", "invalid_value"),
        ({"prompt": "A", "metadata": {"a": {"b": 1}}}, "metadata.a", "invalid_value"),
        ({"prompt": "A", "metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
        ({"prompt": "A", "metadata": {"a": "\ud800"}}, "metadata.a", "invalid_value"),
        ({"prompt": "A", "input_reference": {"file_id": "x"}}, "input_reference.file_id", None),
        (
            {"prompt": "A", "input_reference": {"image_url": "data:image/png;base64,%%%"}},
            "input_reference",
            None,
        ),
        (
            {"prompt": "A", "input_reference": {"image_url": "data:image/png;base64,AAAA"}},
            "input_reference",
            None,
        ),
        ({"prompt": "A", "input_reference": {"image_url": "file:///etc/passwd"}}, "input_reference", None),
        ({"prompt": "A", "webhook_url": "http://127.0.0.1/"}, "webhook_url", "invalid_value"),
        ({"prompt": "A", "webhook_url": "nonsense"}, "webhook_url", "invalid_value"),
    ],
)
def test_a_wrong_value_is_400_names_its_field_and_costs_nothing(program, owner, fields, param, code):
    answer = program.send("/v1/videos", fields)
    assert error_of(answer) == (400, param, code or error_of(answer)[2])
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (100, 0)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ("[" * 100_000, "application/json"),
        ('{"prompt": ' + "[" * 100 + "]" * 100 + "}", "application/json"),
        ("<order/>", "text/xml"),
        ("--b\r\nContent-Disposition: form-data; name=prompt\r\n\r\nA ki", "multipart/form-data; boundary=b"),
        ("prompt=A", "multipart/form-data"),
    ],
)
def test_a_body_that_cannot_be_read_is_400(program, owner, body, kind):
    assert program.post("/v1/videos", body, content_type=kind).status_code == 400
    assert not owner.videos.exists()


def test_A53_a_body_that_is_too_large_is_413(program):
    answer = program.post("/v1/videos", b" " * (bodies.MAX_BYTES + 1), content_type="application/json")
    assert error_of(answer) == (413, None, "body_too_large")
    answer = program.post(
        "/v1/videos", b"", content_type="application/json", headers={"Content-Length": "99999999"}
    )
    assert error_of(answer)[0] == 413


@without(
    "the refusal of unknown fields",
    "videos.api.requests.VideoRequest.model_config",
    becomes_text("forbid", "ignore"),
)
def test_A12_no_field_of_the_row_can_be_set(program, owner):
    names = {field.attname for field in Video._meta.concrete_fields} | {"cost", "is_staff", "price"}
    for name in names - {"prompt", "model", "size", "seconds", "duration", "metadata", "webhook_url"}:
        answer = program.send("/v1/videos", {"prompt": "A", name: 1})
        assert error_of(answer) == (400, name, "unknown_parameter")
    assert not owner.videos.exists()


@pytest.mark.parametrize("model", ["sora-2", "sora-2-pro"])
def test_a_prompt_may_be_as_long_as_at_openai(program, owner, model):
    prompt = "x" * 32_000
    answer = program.send("/v1/videos", {"prompt": prompt, "model": model})
    assert (answer.status_code, owner.videos.get().prompt) == (200, prompt)
    assert program.get(f"/v1/models/{model}").json()["prompt_limit"] == 32_000
    refused = program.send("/v1/videos", {"prompt": prompt + "x", "model": model})
    assert error_of(refused) == (400, "prompt", "invalid_value")


@pytest.mark.parametrize(("limit", "longest"), [(50, 50), (None, 4000)])
def test_a_smaller_limit_of_a_model_is_kept(program, limit, longest):
    VideoModel.objects.filter(slug="sora-2").update(prompt_limit=limit)
    assert program.send("/v1/videos", {"prompt": "x" * longest}).status_code == 200
    refused = program.send("/v1/videos", {"prompt": "x" * (longest + 1)})
    assert error_of(refused) == (400, "prompt", "invalid_value")


def test_n_videos_are_ordered_together_and_the_first_names_the_others(program, owner):
    video = program.send("/v1/videos", {"prompt": "A", "n": 3, "metadata": {"mine": "1"}}).json()
    siblings = video["metadata"]["siblings"].split(",")
    assert {video["id"], *siblings} == {public_id(one.pk) for one in owner.videos.all()}
    assert video["metadata"]["mine"] == "1"
    owner.refresh_from_db()
    assert owner.balance == 70


def test_when_credits_do_not_last_for_all_there_is_none(program, owner):
    for _ in range(8):
        order(owner)
    answer = program.send("/v1/videos", {"prompt": "A", "n": 3})
    assert error_of(answer) == (402, None, "insufficient_credits")
    message = answer.json()["error"]["message"]
    assert (
        message == "This costs 30 credits. Your account has 20 available and 80 reserved for running videos."
    )
    assert owner.videos.count() == 8


def test_shape_and_resolution_choose_the_size(program):
    asked = {"prompt": "A", "model": "sora-2-pro", "aspect_ratio": "9:16", "resolution": "1080p"}
    assert program.send("/v1/videos", asked).json()["size"] == "1080x1920"


@pytest.mark.django_db(transaction=True)
def test_a_seed_and_a_negative_prompt_travel_to_the_provider(owner, simulator):
    asked = {"prompt": "A kite", "seed": 7, "negative_prompt": "rain"}
    program = Program(owner)
    assert program.send("/v1/videos", asked).status_code == 200
    video = owner.videos.get()
    assert steps.job_request(video).extras == {"seed": 7, "negative_prompt": "rain"}
    pump_until_done(30)
    assert owner.videos.get().status == "completed"


def test_what_a_model_does_not_take_is_refused_and_not_left_out(program, owner):
    VideoModel.objects.update(takes=["seed"])
    answer = program.send("/v1/videos", {"prompt": "A", "negative_prompt": "rain"})
    assert error_of(answer) == (400, "negative_prompt", "invalid_value")
    assert program.send("/v1/videos", {"prompt": "A", "seed": 7}).status_code == 200
    assert error_of(program.send("/v1/videos", {"prompt": "A", "seed": -1}))[:2] == (400, "seed")
