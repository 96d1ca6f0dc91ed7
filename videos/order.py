"""What is ordered: one type, which page, API, batch and remix make, and moderation, pricing and ordering take."""

from dataclasses import dataclass, field, replace
from typing import Any, Self, TypedDict

from accounts.models import ApiKey
from videos.models import Upload, Video, VideoModel


class Extras(TypedDict, total=False):
    """What not every model takes, under the API's names: EXTRAS. What is left out is as the model does it by itself."""

    seed: int
    negative_prompt: str
    audio: bool
    fps: int
    quality: str


@dataclass(frozen=True)
class Clearance:
    """What one person may order now: the digests of what was judged. Only `moderation.gate.clear` makes one."""

    user_id: int
    digests: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class VideoOrder:
    """One video, as it is asked for.

    `size` is such as 1280x720, `seconds` the length. The first frame is a preset's picture (`preset` is its name) or
    an upload. Orders of one user with the same `client_key` are one order. From `api_key` on, only programs fill it.
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

    api_key: ApiKey | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    webhook_url: str = ""
    remixed_from: Video | None = None

    @property
    def price(self) -> int:
        """Credits, whether or not the model can make it."""
        return self.model.price_of(self.size, self.seconds, self.extras)

    @property
    def pictures(self) -> set[str]:
        """Which pictures it has, by the names of CAN_TAKE."""
        has = {"image": bool(self.preset or self.upload), "last_frame": self.last_frame is not None}
        return {name for name, is_there in has.items() if is_there}

    def with_clearance(self, clearance: Clearance) -> Self:
        return replace(self, clearance=clearance)
