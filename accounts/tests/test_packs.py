"""The packs on the Credits page help to choose, and lead back to what was to be made."""

import pytest
from babel import Locale

from accounts import packs
from accounts.models import CodeBatch, CreditPack, in_main_unit, money
from accounts.prices import shown
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
    told = {offer.pack.credits: (offer.videos, offer.each, offer.saving) for offer in packs.offers("usd")}
    assert told == {200: (20, 25, 0), 1000: (100, 20, 20)}
    settings.VIDEO_CREDITS = 0
    assert [(offer.videos, offer.each) for offer in packs.offers("eur")] == [(0, 0)]


@pytest.mark.parametrize(
    ("language", "price"),
    [
        ("", "$25.00"),
        ("en-US,en;q=0.9", "$25.00"),
        ("de-DE,de;q=0.9,en;q=0.8", "22,00 €"),
        ("de", "22,00 €"),
        ("en-IE", "€22.00"),
        ("en-GB", "US$25.00"),
        ("ja", "$25.00"),
        ("tlh, xx-YY, ;;;q=x", "$25.00"),
    ],
)
def test_prices_are_in_the_visitors_currency_where_there_is_one_and_as_the_locale_writes_them(
    owner, language, price
):
    pack(1000, 2500), pack(1000, 2200, "eur", position=1)
    page = signed_in(owner).get("/credits/", headers={"accept-language": language}).text
    assert f"Buy for {price}" in page.replace("\xa0", " ")
    assert page.count("Buy for") == 1


def test_what_stripe_counts_in_hundredths_is_shown_so():
    """Though it has no smaller unit: https://docs.stripe.com/currencies#special-cases"""
    assert (money(380000, "ugx"), in_main_unit(380000, "ugx")) == ("3,800.00 UGX", 3800)
    assert shown(380000, "ugx", Locale("en", "US")) == "UGX\xa03,800"


@pytest.mark.parametrize(
    ("currency", "language", "price"),
    [
        ("usd", "en_US", "$1,250.00"),
        ("usd", "en_GB", "US$1,250.00"),
        ("chf", "en_US", "CHF 1,250.00"),
        ("chf", "de_CH", "CHF 1'250.00"),
        ("sek", "sv_SE", "1 250,00 kr"),
        ("eur", "de_DE", "1.250,00 €"),
        ("inr", "hi_IN", "₹1,250.00"),
        ("jpy", "ja_JP", "￥125,000"),
    ],
)
def test_a_price_is_written_as_its_locale_does(currency, language, price):
    assert shown(125000, currency, Locale.parse(language)).replace("\xa0", " ") == price


def test_another_currency_can_be_chosen_and_is_remembered(owner):
    pack(1000, 2500), pack(1000, 2200, "eur", position=1)
    client = signed_in(owner)
    assert "Buy for €22.00" in client.get("/credits/?currency=eur").text
    assert "Buy for €22.00" in client.get("/credits/").text
    assert "Buy for €22.00" in client.get("/credits/?currency=xxx").text


def test_who_has_paid_before_is_shown_the_same_currency(owner):
    pack(1000, 2500), pack(1000, 2200, "eur", position=1)
    client = signed_in(owner)
    checkout = client.post("/credits/buy/", {"pack": CreditPack.objects.get(currency="eur").pk}).url
    client.post(checkout)
    assert "Buy for €22.00" in signed_in(owner).get("/credits/").text


def test_a_pack_that_is_smaller_than_a_video_promises_none():
    pack(9, 100)
    (offer,) = packs.offers("usd", missing=20)
    assert (offer.videos, offer.each, offer.is_enough) == (0, 0, False)


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
    assert [offer.is_enough for offer in packs.offers("usd", 15)] == [False, True]

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
