"""The packs on the Credits page help to choose, and lead back to what was to be made."""

import pytest

from accounts import packs
from accounts.models import CodeBatch, CreditPack
from accounts.redeem_codes import create
from tests.support.fixtures import signed_in, spend

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shop(settings):
    settings.TOP_UPS = settings.TEST_CHECKOUT = True
    CreditPack.objects.all().delete()


def pack(credits, price, currency="usd", **more):
    return CreditPack.objects.create(name="Some", credits=credits, price=price, currency=currency, **more)


def test_a_pack_says_for_how_many_videos_it_is_and_what_it_saves(settings):
    pack(200, 500), pack(1000, 2000), pack(25, 63, "eur"), pack(300, 1, is_sold=False)
    told = {offer.pack.credits: (offer.videos, offer.each, offer.saving) for offer in packs.offers()}
    assert told == {200: (20, "0.25 USD", 0), 1000: (100, "0.20 USD", 20), 25: (2, "0.32 EUR", 0)}
    settings.VIDEO_CREDITS = 0
    assert [(offer.videos, offer.each) for offer in packs.offers()] == [(0, "")] * 3


def test_a_pack_that_is_smaller_than_a_video_promises_none():
    pack(9, 100)
    (offer,) = packs.offers(missing=20)
    assert (offer.videos, offer.each, offer.is_enough) == (0, "", False)


def top_up(client, price=30):
    """As from the studio, with a prompt that costs so many credits."""
    client.post(
        "/", {"prompt": "A heron", "top_up": "1", "seen_price": price, "model": "sora-2", "nonce": "1"}
    )


def test_who_comes_for_a_video_is_told_what_is_missing_and_comes_back_to_it(owner):
    small, large = pack(10, 100), pack(50, 400, is_recommended=True)
    spend(owner, 85)
    client = signed_in(owner)
    top_up(client)
    page = client.get("/credits/").text
    assert "You need 15 more credits for your video." in page
    assert page.count("Enough for your video") == page.count("Recommended") == 1
    assert [offer.is_enough for offer in packs.offers(15)] == [False, True]

    def buy(one):
        checkout = client.post("/credits/buy/", {"pack": one.pk}).url
        return client.post(checkout).url

    assert buy(small) == "/credits/"
    assert "You need 5 more credits for your video." in client.get("/credits/").text
    assert buy(large) == "/"
    page = client.get("/").text
    assert "50 credits added." in page
    assert "A heron</textarea>" in page
    assert buy(small) == "/credits/"  # it is in the studio now


def test_a_code_leads_back_to_the_video_as_well(owner):
    spend(owner, 95)
    client = signed_in(owner)
    top_up(client, 10)
    (code,) = create(CodeBatch.objects.create(name="Fair", credits=5), 1)
    assert client.post("/credits/redeem/", {"code": code}).url == "/"


def test_who_has_enough_already_is_led_back(owner):
    client = signed_in(owner)
    top_up(client, 10)
    page = client.get("/credits/").text
    assert "Back to your video" in page
    assert "more credits for your video" not in page
