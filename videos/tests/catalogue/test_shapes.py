"""A size is chosen as an aspect ratio and a resolution, and a length of a few usual ones or as a number."""

import json
import re
from html import unescape

import pytest

from tests.support.fixtures import order
from tests.support.studio_page import HTMX, form, nothing_happened
from videos.catalogue import shapes
from videos.models import Price, Video, VideoModel
from videos.pages import form_options

pytestmark = pytest.mark.django_db

SIZES = {
    ("16:9", "480p"): "854x480",
    ("16:9", "720p"): "1280x720",
    ("16:9", "1080p"): "1920x1080",
    ("9:16", "480p"): "480x854",
    ("9:16", "720p"): "720x1280",
    ("9:16", "1080p"): "1080x1920",
    ("1:1", "480p"): "480x480",
    ("1:1", "720p"): "720x720",
    ("1:1", "1080p"): "1080x1080",
    ("21:9", "480p"): "1138x480",
    ("21:9", "720p"): "1706x720",
    ("21:9", "1080p"): "2560x1080",
}


def fast(**fields):
    VideoModel.objects.filter(slug="sora-2").update(**fields)
    return VideoModel.objects.get(slug="sora-2")


def checked(page):
    """What is chosen on a page, by field."""
    radios = re.findall(r'<input type="radio" name="(\w+)"[^>]*?value="([^"]*)"[^>]*checked', page)
    [number] = re.findall(r'name="other_seconds"[^>]*value="([^"]*)"', page) or [None]
    names = ("model", "aspect_ratio", "resolution", "seconds")
    return {name: value for name, value in radios if name in names} | {"other_seconds": number}


# --- Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "size"), SIZES.items())
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_an_aspect_ratio_and_a_resolution_make_a_size(as_owner, owner, shape, size, headers):
    as_owner.post("/", form(aspect_ratio=shape[0], resolution=shape[1]), headers=headers)
    assert owner.videos.get().size == size


def test_the_first_models_offer_all_of_them_and_no_more():
    for model in VideoModel.objects.filter(slug__in=["sora-2", "sora-2-pro"]):
        assert shapes.table(model.sizes) == SIZES


@pytest.mark.parametrize(
    ("sizes", "offered"),
    [
        (["1280x720", "1024x1024"], {("16:9", "720p"): "1280x720", ("1:1", "1024p"): "1024x1024"}),
        (["720x720", "1024x1024"], {("1:1", "720p"): "720x720"}),
        (
            ["1792x1024", "1024x1792", "720x1280"],
            {("16:9", "1024p"): "1792x1024", ("9:16", "720p"): "720x1280"},
        ),
        (["1706x720", "1680x720"], {("21:9", "720p"): "1706x720"}),
        (["1440x1080", "960x720"], {("4:3", "1080p"): "1440x1080", ("4:3", "720p"): "960x720"}),
        (["3840x2160"], {("16:9", "2160p"): "3840x2160"}),
    ],
)
def test_an_odd_resolution_is_offered_only_where_there_is_no_standard_one(sizes, offered):
    assert shapes.table(sizes) == offered


def test_what_only_programs_ask_for_is_still_made_for_them(program):
    assert program.send("/v1/videos", {"prompt": "A", "size": "1024x1024"}).json()["size"] == "1024x1024"


def test_a_model_that_lacks_a_combination_says_what_it_makes_of_it(as_owner, owner):
    fast(sizes=["1280x720", "1920x1080", "720x1280"])
    answer = as_owner.post("/", form(aspect_ratio="9:16", resolution="1080p"))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Studio Fast does not support 9:16 at 1080p. Choose one of: 720p." in page
    assert checked(page)["resolution"] == "1080p"
    assert nothing_happened(owner)


def test_what_another_model_makes_is_marked_for_the_chosen_one(as_owner):
    fast(sizes=["1280x720"], lengths=[4, 5])
    page = as_owner.get("/").content.decode()
    unfit = re.findall(r'data-unfit>\s*<input type="radio" name="(\w+)" value="([^"]+)"', page)
    assert unfit == [
        *(("aspect_ratio", ratio) for ratio in ("9:16", "1:1", "21:9")),
        *(("resolution", lines) for lines in ("480p", "1080p")),
        *(("seconds", length) for length in ("8", "12", "20", "30", "60", "other")),
    ]


def test_an_untouched_form_asks_for_what_the_model_makes_first(client):
    about = {"model": "sora-2", "aspect_ratio": "16:9", "resolution": "720p", "seconds": "4"}
    assert checked(client.get("/").content.decode()) == about | {"other_seconds": "4"}
    fast(sizes=["1024x1024", "1080x1080", "720x1280"])
    assert checked(client.get("/").content.decode())["resolution"] == "1080p"


def test_use_again_takes_the_nearest_of_what_is_offered(as_owner, owner):
    video = order(owner, size="1024x1024", seconds=37)
    page = as_owner.get(f"/?again={video.pk}").content.decode()
    chosen = {"model": "sora-2", "aspect_ratio": "1:1", "resolution": "1080p", "seconds": "other"}
    assert checked(page) == chosen | {"other_seconds": "37"}


# --- Lengths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "usual", "other"),
    [
        ([4, 8, 12], [4, 8, 12], None),
        ([10, 5], [5, 10], None),
        ([5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9, 10], None),
        ([4, *range(1, 4), *range(5, 61)], [4, 8, 12, 20, 30, 60], {"min": 1, "max": 60, "step": 1}),
        ([5, 4, 6, 7, 8, 9, 10], [4, 5, 8], {"min": 4, "max": 10, "step": 1}),
        ([*range(4, 33, 4)], [4, 8, 12, 20], {"min": 4, "max": 32, "step": 4}),
    ],
)
def test_few_lengths_are_all_chosen_from_and_of_many_the_usual_ones(lengths, usual, other):
    offer = form_options.offer(fast(lengths=lengths))
    assert (offer["lengths"], offer["other"]) == (usual, other)


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_any_other_length_is_typed(as_owner, owner, headers):
    as_owner.post("/", form(seconds="other", other_seconds="37"), headers=headers)
    assert owner.videos.get().seconds == 37


def test_the_number_counts_only_while_other_is_chosen(as_owner, owner):
    as_owner.post("/", form(seconds="8", other_seconds="37"))
    assert owner.videos.get().seconds == 8


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("61", "Studio Fast does not support this length. Choose one of: 1–60 seconds."),
        ("0", "Studio Fast does not support this length. Choose one of: 1–60 seconds."),
        ("4.5", "The length must be a whole number of seconds."),
        ("", "Enter the length of the video in seconds."),
    ],
)
def test_a_typed_length_that_is_none_gets_a_sentence_and_stays(as_owner, owner, typed, sentence):
    answer = as_owner.post("/", form(seconds="other", other_seconds=typed))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert re.search(rf'id="length-error" role="alert"><p class="error">{re.escape(sentence)}</p>', page)
    assert (checked(page)["seconds"], checked(page)["other_seconds"]) == ("other", typed)
    assert nothing_happened(owner)


def test_the_lengths_of_a_refusal_are_few_words():
    from videos.catalogue.capabilities import in_words

    assert in_words([12, 4, 8]) == "4, 8, 12"
    assert in_words([4, 1, 2, 3, *range(5, 61)]) == "1–60"
    assert in_words([1, 2, 5, 6, 7, 10]) == "1, 2, 5–7, 10"


def test_a_typed_length_survives_a_mistake_elsewhere_and_the_sign_in(client, as_owner, owner):
    typed = form(prompt="", seconds="other", other_seconds="37", aspect_ratio="21:9", resolution="480p")
    chosen = {
        "model": "sora-2",
        "aspect_ratio": "21:9",
        "resolution": "480p",
        "seconds": "other",
        "other_seconds": "37",
    }
    assert checked(as_owner.post("/", typed).content.decode()) == chosen
    assert checked(client.post("/", typed).content.decode()) == chosen
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert checked(client.get("/").content.decode()) == chosen


# --- Prices ---------------------------------------------------------------------------------------


def price_lines(model):
    for size, seconds, quality, audio, credits in (
        ("", 12, "", "", 25),
        ("1920x1080", 0, "", "", 20),
        ("1920x1080", 12, "hd", "", 60),
        ("", 37, "", "off", 5),
        ("", 0, "", "off", 8),
        ("4096x2160", 99, "", "", 1),
    ):
        Price.objects.create(
            model=model, size=size, seconds=seconds, quality=quality, audio=audio, credits=credits
        )


def test_the_compact_table_says_of_every_choice_what_the_server_reckons():
    model = fast()
    price_lines(model)
    table = form_options.prices(model)
    for size in model.sizes:
        for seconds in model.lengths:
            for quality in model.qualities:
                for audio in ("on", "off"):
                    keys = [
                        f"{a} {b} {quality} {audio}" for a in (size, "") for b in (seconds, "")
                    ]  # as static/js/model.js looks it up
                    [first, *_others] = [table[key] for key in keys if key in table]
                    extras = {"quality": quality, "audio": audio == "on"}
                    assert first == model.price_of(size, seconds, extras), (size, seconds, extras)


def test_a_price_list_adds_little_to_the_page(client):
    before = len(client.get("/").content)
    assert before < 60_000
    for model in VideoModel.objects.filter(slug__in=["sora-2", "sora-2-pro"]):
        price_lines(model)
    page = client.get("/").content
    assert len(page) - before < 4_000
    prices = re.search(r'value="sora-2"[^>]*data-prices="([^"]*)"', page.decode())[1]
    assert len(json.loads(unescape(prices))) == 2 * 3 * 2 * 2


def test_the_button_follows_a_typed_length(as_owner):
    price_lines(fast())
    asked = form(prompt="", seconds="other", other_seconds="12", resolution="1080p", quality="hd")
    assert 'id="price">60 credits<' in as_owner.post("/", asked).content.decode()
    asked |= {"other_seconds": "37", "audio": "off", "resolution": "720p", "variations": "2"}
    assert 'id="price">10 credits<' in as_owner.post("/", asked).content.decode()
    assert not Video.objects.exists()
