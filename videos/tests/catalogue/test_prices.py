"""A model's price table: what a size and a length cost, shown before and frozen on the video."""

import re

import pytest

from tests.support.api_client import error_of
from tests.support.fixtures import entries, order, video_order
from videos.generation import batches
from videos.models import Video, VideoModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    model = VideoModel.objects.get(slug="sora-2")
    for size, seconds, credits in (("", 12, 25), ("1024x1024", 0, 15), ("1024x1024", 12, 40), ("", 4, 0)):
        model.prices.create(size=size, seconds=seconds, credits=credits)
    return model


@pytest.mark.parametrize(
    ("size", "seconds", "credits"),
    [
        ("1280x720", 8, 10),  # nothing is said: the model's own
        ("1280x720", 12, 25),
        ("1024x1024", 8, 15),
        ("1024x1024", 12, 40),  # says most
        ("1024x1024", 4, 0),  # of two that say as much, that for the length
        ("other", 99, 10),
    ],
)
def test_the_line_that_says_most_counts(model, size, seconds, credits):
    assert model.price_of(size, seconds) == credits


def test_what_is_charged_is_the_price_and_stays_it(model, owner):
    video = order(owner, model=model, size="1024x1024", seconds=12)
    model.prices.all().delete()
    assert (Video.objects.get(pk=video.pk).credits, entries(video)) == (40, [("charge", -40)])


def test_the_page_shows_what_the_chosen_length_costs(model, as_owner):
    model.prices.filter(size="1024x1024").update(size="1080x1080")
    sent = {"prompt": "", "model": "sora-2", "aspect_ratio": "1:1", "resolution": "1080p", "seconds": "12"}
    assert re.search(r'id="price">40 credits<', as_owner.post("/", sent).content.decode())


@pytest.mark.parametrize("seconds", ["", "12.5", "-12", "²", "9" * 5000, "twelve"])
def test_a_length_that_is_none_has_the_models_own_price(model, as_owner, seconds):
    sent = {
        "prompt": "A",
        "model": "sora-2",
        "seconds": seconds,
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    answer = as_owner.post("/", sent)
    assert (answer.status_code, 'id="price">10 credits<' in answer.content.decode()) == (422, True)


def test_a_price_above_the_balance_says_what_is_missing(model, as_owner):
    model.prices.filter(size="", seconds=12).update(credits=130)
    sent = {"prompt": "A", "model": "sora-2", "seconds": "12", "aspect_ratio": "16:9", "resolution": "720p"}
    answer = as_owner.post("/", sent)
    assert (answer.status_code, "You need 30 more credits" in answer.content.decode()) == (402, True)


def test_programs_see_the_table_and_are_charged_by_it(model, program):
    (shown,) = (one for one in program.get("/v1/models").json()["data"] if one["id"] == "sora-2")
    assert {"size": "1024x1024", "seconds": None, "quality": None, "audio": None, "credits": 15} in shown[
        "prices"
    ]
    video = program.send("/v1/videos", {"prompt": "A", "size": "1024x1024", "seconds": "8", "n": 2}).json()
    assert (video["credits"], program.get("/v1/credits").json()["balance"]) == (15, 70)
    refused = program.send("/v1/videos", {"prompt": "A", "size": "1024x1024", "seconds": "12", "n": 2})
    assert error_of(refused) == (402, None, "insufficient_credits")
    assert "This costs 80 credits" in refused.json()["error"]["message"]


def test_a_batch_costs_what_its_videos_cost(model, owner):
    orders = [video_order("A", model=model, size=size, seconds=12) for size in ("1280x720", "1024x1024")]
    assert batches.price(orders) == batches.place(owner, orders).credits == 65
    owner.refresh_from_db()
    assert owner.balance == 35
