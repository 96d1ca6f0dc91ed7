"""What OpenRouter's list says of its models, in our words."""

import asyncio
from decimal import Decimal

import pytest

from tests.support.provider_contract import Peer, as_json, serving
from videos.providers import adapter
from videos.providers.base import size_of


def capability(**said):
    """What becomes of a line of the list."""
    with serving(Peer(), lambda method, path: path) as peer:
        peer.answers["/videos/models"] = as_json({"data": [{"id": "maker/kite", **said}]})

        async def ask():
            async with adapter("openrouter")(peer.url, "key-1") as provider:
                return await provider.capabilities()

        (found,) = asyncio.run(ask())
        return found


@pytest.mark.parametrize(
    ("skus", "dollars"),
    [
        (
            {
                "duration_seconds_480p": "0.05",
                "duration_seconds_720p": "0.1",
                "duration_seconds_1080p": "0.2",
            },
            "0.1",
        ),
        ({"cents_per_second_output": "12"}, "0.12"),
        ({"cents_per_video_output_second_480p": "8", "cents_per_video_output_second_720p": "14"}, "0.14"),
        ({"duration_seconds_with_audio": "0.40", "duration_seconds_without_audio": "0.20"}, "0.40"),
        ({"duration_seconds_with_audio_4k": "0.60", "duration_seconds_with_audio_720p": "0.3"}, "0.3"),
        ({"duration_seconds_1080p": "0.2"}, "0.2"),
        ({"reference_duration_seconds_720p": "9", "duration_seconds": "0.1"}, "0.1"),
        ({"video_tokens": "0.000007"}, None),
        ({"duration_seconds": "much"}, None),
        (None, None),
    ],
)
def test_the_cost_of_a_second_is_the_dearest_at_720p(skus, dollars):
    assert capability(pricing_skus=skus).cost_a_second == (dollars and Decimal(dollars))


def test_sizes_are_shapes_in_the_resolutions_and_what_is_unheard_of_is_left_out():
    said = capability(
        supported_aspect_ratios=["16:9", "1:1", "7:5"], supported_resolutions=["480p", "720p", "4K"]
    )
    assert said.sizes == ["854x480", "480x480", "1280x720", "720x720"]
    assert capability(supported_sizes=["1280x720"]).sizes == ["1280x720"]


def test_what_is_not_said_cannot_be_asked_for():
    said = capability()
    assert (said.sizes, said.lengths, said.takes, said.has_sound) == ([], [], [], False)


@pytest.mark.parametrize(
    ("shape", "lines", "size"),
    [
        ("16:9", 720, "1280x720"),
        ("9:16", 1080, "1080x1920"),
        ("21:9", 720, "1680x720"),
        ("4:3", 480, "640x480"),
    ],
)
def test_a_shape_has_a_size_in_even_pixels(shape, lines, size):
    assert size_of(shape, lines) == size
