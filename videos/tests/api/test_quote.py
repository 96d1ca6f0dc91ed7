"""Quotes: what an order would cost and whether it would be accepted, without any trace of having asked."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import CreditEntry, IdempotentAnswer
from tests.support.api_client import Program, error_of
from tests.support.completed import track_record
from tests.support.fixtures import order
from videos import safe_http
from videos.models import Audience, Channel, Price, Upload, Verdict, Video, VideoModel
from videos.moderation import gate, service

pytestmark = pytest.mark.django_db

PATH = "/v1/videos/quote"


def quote(program, **fields):
    answer = program.send(PATH, {"prompt": "A kite", **fields})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_quote_says_what_would_be_made_and_for_how_much(program):
    assert quote(program, seconds="8", n=2) == {
        "object": "video_quote",
        "model": "sora-2",
        "size": "720x1280",
        "seconds": "8",
        "n": 2,
        "credits": 20,
        "accepted": True,
        "error": None,
        "expected_seconds": None,
        "balance": 100,
    }


def test_a_quote_in_multipart_is_the_same(program):
    asked = {"prompt": "A kite", "model": "sora-2-pro", "seconds": "8", "size": "720x1280"}
    file = SimpleUploadedFile("a.jpg", b"not looked at", "image/jpeg")
    answer = program.post(PATH, asked | {"input_reference": file})
    assert answer.json() == quote(program, **asked)


def test_the_price_is_what_the_order_is_charged(program, owner):
    model = VideoModel.objects.get(slug="sora-2")
    Price.objects.create(model=model, seconds=8, credits=17)
    asked = {"seconds": "8", "n": 3}
    credits = quote(program, **asked)["credits"]
    program.send("/v1/videos", {"prompt": "A kite", **asked})
    assert credits == -sum(CreditEntry.objects.filter(kind="charge").values_list("amount", flat=True)) == 51


def test_a_quote_leaves_no_trace_and_asks_nobody(program, owner, monkeypatch):
    for module, name in ((safe_http, "fetch"), (service, "ask"), (gate, "clear")):
        monkeypatch.setattr(module, name, lambda *_args: pytest.fail("a quote asked somebody"))
    key = {"Idempotency-Key": "quote-1"}
    picture = {"image_url": "https://example.com/a.jpg"}
    for _ in range(2):
        answer = program.send(PATH, {"prompt": "A", "input_reference": picture}, headers=key)
        assert answer.json()["accepted"]
    owner.refresh_from_db()
    assert owner.balance == 100
    for model in (Video, Upload, Verdict, IdempotentAnswer):
        assert not model.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": " "},
        {"prompt": "A", "seconds": "61"},
        {"prompt": "A", "duration": 61},
        {"prompt": "A", "size": "1x1"},
        {"prompt": "A", "model": "sora-9"},
        {"prompt": "A", "n": 5},
        {"prompt": "A", "cost": 0},
        {"prompt": "A", "webhook_url": "http://127.0.0.1/"},
    ],
)
def test_what_is_invalid_is_the_same_400_as_for_an_order(program, fields):
    ordered, quoted = program.send("/v1/videos", fields), program.send(PATH, fields)
    assert quoted.status_code == 400
    assert quoted.json() == ordered.json()


@pytest.mark.parametrize("url", ["kite", "http://example.com/kite.png", "https://10.0.0.1/kite.png"])
def test_a_picture_at_an_address_that_is_not_allowed_is_400_before_it_is_fetched(program, url):
    answer = program.send(PATH, {"prompt": "A kite", "input_reference": {"image_url": url}})
    assert error_of(answer) == (400, "input_reference", "invalid_value")


def refusal_of(program, status, **fields):
    """Why it is not accepted, which is what the order itself is answered, with this status."""
    said = quote(program, **fields)
    ordered = program.send("/v1/videos", {"prompt": "A kite", **fields})
    assert ordered.status_code == status
    error = ordered.json()["error"]
    assert said["error"] == {name: error[name] for name in ("code", "message", "param")}
    assert not said["accepted"]
    return said["error"]["code"]


def test_without_enough_credits_it_is_not_accepted(program, owner):
    for _ in range(8):
        order(owner)
    assert refusal_of(program, 402, n=3) == "insufficient_credits"
    assert quote(program, n=2)["accepted"]


def test_beyond_the_limit_of_the_key_it_is_not_accepted(owner):
    program = Program(owner, credits_a_day=20)
    assert refusal_of(program, 429, n=3) == "daily_limit_reached"
    assert quote(program, n=2)["accepted"]


def test_a_model_that_is_not_available_has_a_price_and_is_not_accepted(program, owner):
    Channel.objects.update(enabled=False)
    assert refusal_of(program, 400, model="sora-2") == "model_not_found"
    assert quote(program, model="sora-2")["credits"] == 10


def test_a_retired_model_is_not_accepted(program):
    VideoModel.objects.filter(slug="sora-2").update(retires_on=timezone.localdate())
    assert refusal_of(program, 400, model="sora-2") == "model_retired"


def test_a_model_that_the_key_may_not_use_is_not_accepted(owner):
    program = Program(owner, allowed_models=["sora-2-pro"])
    assert refusal_of(program, 400, model="sora-2") == "model_not_found"


@pytest.mark.parametrize("hidden", [{"audience": Audience.STAFF}, {"enabled": False}])
def test_a_model_that_is_not_meant_for_everybody_is_unknown(program, hidden):
    VideoModel.objects.filter(slug="sora-2").update(**hidden)
    answer = program.send(PATH, {"prompt": "A", "model": "sora-2"})
    assert error_of(answer) == (400, "model", "model_not_found")


def test_the_expected_time_is_what_the_model_took_recently(program, owner):
    track_record(owner, 42)
    assert quote(program)["expected_seconds"] == 42


# --- A price that rises after it was seen -----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked", "price"),
    [
        ("/v1/videos", {"prompt": "A kite", "n": 2}, 20),
        ("/v1/batches/videos", {"items": [{"prompt": "A kite"}, {"prompt": "A boat"}]}, 20),
        ("/v1/campaigns", {"prompt": "A kite", "platforms": ["tiktok", "youtube"]}, 20),
    ],
)
def test_an_order_that_would_cost_more_than_its_maximum_is_refused_and_charges_nothing(
    program, owner, path, asked, price
):
    answer = program.send(path, asked | {"max_credits": price - 1})
    assert error_of(answer) == (409, "max_credits", "price_changed")
    assert not owner.videos.exists()
    assert program.send(path, asked | {"max_credits": price}).status_code == 200
    assert -sum(CreditEntry.objects.filter(kind="charge").values_list("amount", flat=True)) == price


def test_an_item_of_a_batch_may_have_a_maximum_of_its_own(program, owner):
    items = [{"prompt": "A kite", "max_credits": 10}, {"prompt": "A boat", "max_credits": 9}]
    answer = program.send("/v1/batches/videos", {"items": items})
    assert error_of(answer) == (409, "items.1.max_credits", "price_changed")
    assert not owner.videos.exists()


def test_a_quote_says_that_the_price_is_above_the_maximum(program):
    answer = quote(program, max_credits=9)
    assert (answer["accepted"], answer["error"]["code"], answer["credits"]) == (False, "price_changed", 10)
