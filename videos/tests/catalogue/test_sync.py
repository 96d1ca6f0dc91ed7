"""A provider's own list of models, beside the catalogue: seen first, then taken over."""

import re
from decimal import Decimal

import pytest

from aivideo.models import AuditEntry
from tests.support.fixtures import new_user, signed_in
from tests.support.provider_contract import Peer, as_json, serving
from videos.catalogue import sync
from videos.models import Channel, VideoModel

pytestmark = pytest.mark.django_db

WAN = {
    "id": "alibaba/wan-2.6",
    "name": "Alibaba: Wan 2.6",
    "supported_durations": [5, 10, 15],
    "supported_resolutions": ["720p", "1080p", "4K"],
    "supported_aspect_ratios": ["16:9", "9:16", "5:4"],
    "supported_frame_images": ["first_frame", "last_frame"],
    "generate_audio": True,
    "seed": True,
    "pricing_skus": {"duration_seconds_720p": "0.05", "duration_seconds_1080p": "0.2"},
}
NEW = {
    **WAN,
    "id": "maker/kite-3.0",
    "name": "Maker: Kite 3",
    "supported_frame_images": None,
    "pricing_skus": {"cents_per_second_output": "12", "reference_duration_seconds": "9", "tokens": "1"},
}


@pytest.fixture
def peer():
    with serving(Peer(), lambda method, path: path) as peer:
        peer.answers["/videos/models"] = as_json({"data": [WAN, NEW]})
        yield peer


@pytest.fixture
def channel(peer):
    Channel.objects.filter(slug="openrouter").update(base_url=peer.url)
    return Channel.objects.get(slug="openrouter")


@pytest.fixture
def url(channel):
    return f"/admin/videos/channel/{channel.pk}/compare/"


def take_over(client, url, *names, reason="It says so"):
    page = client.get(url).content.decode()
    form = re.search(r'name="form" value="([^"]+)"', page)[1]
    return client.post(url, {"models": names, "reason": reason, "form": form, "_form_submitted": "1"})


def test_what_differs_is_told_and_what_is_new(channel):
    wan, new = sync.differences(channel)
    assert wan.changes == {
        "sizes": (["1280x720", "720x1280", "720x720"], ["1280x720", "720x1280", "1920x1080", "1080x1920"]),
        "lengths": ([5, 10], [5, 10, 15]),
        "takes": (["image", "seed"], ["image", "seed", "last_frame", "audio"]),
        "cost_a_second": (Decimal("0.0400"), Decimal("0.0500")),
    }
    assert (new.offer, new.fields["takes"], new.fields["cost_a_second"]) == (
        None,
        ["seed", "audio"],
        Decimal("0.1200"),
    )


def test_what_is_ticked_is_taken_over_with_a_reason_and_nothing_else(as_staff, url):
    assert take_over(as_staff, url, "alibaba/wan-2.6").status_code == 302
    wan = VideoModel.objects.get(slug="wan-2.6")
    assert (wan.lengths, wan.offers.get().cost_a_second) == ([5, 10, 15], Decimal("0.0500"))
    assert not VideoModel.objects.filter(slug="kite-30").exists()
    assert AuditEntry.objects.values_list("action", "detail", "reason").get() == (
        "take_over",
        "alibaba/wan-2.6",
        "It says so",
    )
    assert "Alibaba" not in as_staff.get(url).content.decode()


def test_a_model_that_is_new_comes_in_paused(as_staff, url):
    take_over(as_staff, url, "maker/kite-3.0")
    model = VideoModel.objects.get(slug="kite-30")
    assert (model.name, model.enabled, model.takes) == ("Maker: Kite 3", False, ["seed", "audio"])
    assert (model.offers.get().provider_model, model.has_sound) == ("maker/kite-3.0", True)


def test_a_model_that_is_new_leaves_one_of_the_same_name_alone(as_staff, peer, url):
    peer.answers["/videos/models"] = as_json({"data": [{**NEW, "id": "openai/sora-2", "name": "Sora 2"}]})
    take_over(as_staff, url, "openai/sora-2")
    assert VideoModel.objects.get(slug="openai-sora-2").enabled is False
    assert not VideoModel.objects.get(slug="sora-2").offers.filter(channel__slug="openrouter").exists()


def test_taking_over_twice_is_once(as_staff, channel, url):
    sync.take_over(channel, sync.differences(channel))
    before = list(VideoModel.objects.order_by("pk").values())
    assert sync.differences(channel) == []
    assert sync.take_over(channel, []) is False
    assert list(VideoModel.objects.order_by("pk").values()) == before


def test_nothing_is_taken_over_without_a_tick_or_a_reason(as_staff, url):
    before = list(VideoModel.objects.order_by("pk").values())
    assert take_over(as_staff, url).status_code == 422
    assert take_over(as_staff, url, "maker/kite-3.0", reason="").status_code == 422
    assert take_over(as_staff, url, "nobody/knows").status_code == 422
    assert list(VideoModel.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    "answer",
    [
        as_json({}),
        as_json([1]),
        (200, {"Content-Type": "text/html"}, b"<html>"),
        as_json({"data": [{}]}),
        None,
    ],
)
def test_a_list_that_is_none_is_said_to_be_none(peer, as_staff, url, answer):
    peer.answers["/videos/models"] = answer
    page = as_staff.get(url)
    assert (page.status_code, "could not be fetched" in page.content.decode()) == (200, True)


def test_a_provider_without_a_list_says_so(as_staff, peer):
    channel = Channel.objects.get(slug="fal")
    page = as_staff.get(f"/admin/videos/channel/{channel.pk}/compare/")
    assert "fal has no list of what its apps can do" in page.content.decode()


def test_who_may_not_change_models_compares_nothing(url, as_owner):
    assert as_owner.get(url).status_code == 302
    assert signed_in(new_user(is_staff=True)).get(url).status_code == 403
