"""The type of an order: created by pages, API, batches and remixes, used by moderation, pricing and ordering."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypedDict

from django.utils.translation import ngettext

from accounts.models import ApiKey
from videos.models import Upload, Video, VideoModel


class NotNow(Exception):
    """An order that may be placed later, though not now. The text is for the user; `after` is in seconds.

    `status` and `code` are those of the API's answer.
    """

    status: int
    code: str
    after: float


class PriceRose(Exception):
    """What is ordered costs more credits than its owner was shown, who has to see its `price` first. The text is for the user."""

    def __init__(self, price: int) -> None:
        super().__init__(
            ngettext(
                "This costs %(n)d credit, more than was shown. Nothing was charged. Click again to accept it.",
                "This costs %(n)d credits, more than was shown. Nothing was charged. Click again to accept it.",
                price,
            )
            % {"n": price}
        )
        self.price = price


def check_price(price: int, max_credits: int | None) -> None:
    """Raise PriceRose if a price is above what was allowed; None allows any. Both in credits."""
    if max_credits is not None and price > max_credits:
        raise PriceRose(price)


class Extras(TypedDict, total=False):
    """Options that not every model supports, by their names in the API (see EXTRAS). Missing ones mean the model's default."""

    seed: int
    negative_prompt: str
    audio: bool
    fps: int
    quality: str


@dataclass(frozen=True)
class Clearance:
    """What this user may order: the digests of the inputs that passed moderation. Only `moderation.gate.clear` creates one."""

    user_id: int
    digests: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class VideoOrder:
    """An order for one video.

    `size` is WIDTHxHEIGHT in pixels, such as 1280x720; `seconds` is the length. `max_credits` is the most that it may cost, if
    that is limited. The first frame is a preset's picture (`preset` is its name) or an upload. `client_key` makes it idempotent: a user's orders with the same key are one order.
    Fields from `api_key` on are only set by the API.
    """

    model: VideoModel
    prompt: str
    size: str
    seconds: int
    preset: str = ""
    upload: Upload | None = None
    last_frame: Upload | None = None
    extras: Extras = field(default_factory=Extras)
    client_key: str | None = None
    clearance: Clearance | None = None
    max_credits: int | None = None

    api_key: ApiKey | None = None
    metadata: Mapping[str, str | int] = field(default_factory=dict)
    webhook_url: str = ""
    remixed_from: Video | None = None

    @property
    def price(self) -> int:
        """The price in credits, whether or not the model supports the order."""
        return self.model.price_of(self.size, self.seconds, self.extras)

    def check_price(self) -> None:
        """Raise PriceRose if it costs more than `max_credits`."""
        check_price(self.price, self.max_credits)

    @property
    def pictures(self) -> set[str]:
        """Which pictures it has, as keys of CAN_TAKE."""
        has = {"image": bool(self.preset or self.upload), "last_frame": self.last_frame is not None}
        return {name for name, is_present in has.items() if is_present}

    def with_clearance(self, clearance: Clearance) -> Self:
        return replace(self, clearance=clearance)
