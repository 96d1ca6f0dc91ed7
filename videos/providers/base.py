"""What every provider can do, in our words. Theirs stop at the door of their own file."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from math import log
from typing import Any, Literal, Protocol

ASPECT_RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1, "21:9": 21 / 9, "4:3": 4 / 3, "3:4": 3 / 4}

Word = Literal["queued", "in_progress", "completed", "failed"]


def aspect_ratio(width: int, height: int) -> str:
    """The name of the shape that comes nearest: 1792 × 1024 is called 16:9, 2560 × 1080 is called 21:9."""
    return min(ASPECT_RATIOS, key=lambda name: abs(log(ASPECT_RATIOS[name] * height / width)))


def resolution(width: int, height: int) -> str:
    """By the shorter side, such as 720p."""
    return f"{min(width, height)}p"


@dataclass(frozen=True)
class Order:
    """What a provider is asked to make. `image` and `last_frame` are JPEGs of exactly width × height, or None.

    `extras` are what not every model takes: see models.EXTRAS.
    """

    model: str
    prompt: str
    width: int
    height: int
    seconds: int
    image: bytes | None
    extras: dict[str, Any] = field(default_factory=dict)
    last_frame: bytes | None = None

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def aspect_ratio(self) -> str:
        return aspect_ratio(self.width, self.height)

    @property
    def resolution(self) -> str:
        return resolution(self.width, self.height)

    def extras_as(self, **names: str) -> dict[str, Any]:
        """The extras under the names that a provider has for them; the others keep ours."""
        return {names.get(name, name): value for name, value in self.extras.items()}


def data_url(picture: bytes) -> str:
    """A JPEG, as JSON carries it."""
    return f"data:image/jpeg;base64,{b64encode(picture).decode()}"


@dataclass(frozen=True)
class JobState:
    """What a provider says of a job. `progress` is per cent, or None where it does not say.

    `is_sure` is False for a job that `find` could neither match with an order nor tell from it. `cost` is what
    the provider took for it, in US dollars, where it says so.
    """

    ref: str
    word: Word
    progress: int | None = None
    code: str = ""
    message: str = ""
    is_sure: bool = True
    cost: Decimal | None = None

    def costing(self, cost: Decimal) -> "JobState":
        return replace(self, cost=cost)


@dataclass(frozen=True)
class Found:
    """What a provider's list shows of an order: its own jobs, or those that may be, the likeliest first.

    `doubt` says why the list does not prove that there is no other; empty where it does.
    """

    jobs: list[JobState]
    doubt: str = ""


@dataclass(frozen=True)
class Capability:
    """What a provider says of one of its models, named `model` there. `takes` are names of models.CAN_TAKE.

    `lengths` are seconds. `cost_a_second` is US dollars at 720p, the dearest way; None where it cannot be told.
    """

    model: str
    name: str
    sizes: list[str]
    lengths: list[int]
    takes: list[str]
    has_sound: bool
    cost_a_second: Decimal | None


def size_of(aspect_ratio: str, lines: int) -> str:
    """The size of this shape whose shorter side is `lines`, in even pixels, such as 1280x720."""
    across, down = map(int, aspect_ratio.split(":"))
    longer = round(lines * max(across, down) / min(across, down) / 2) * 2
    return f"{longer}x{lines}" if across >= down else f"{lines}x{longer}"


def storable(text: str) -> str:
    """Text that any database takes: a message cut off in the middle of an emoji is none, nor is a NUL."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


class ProviderError(Exception):
    """Something a provider, or the way to it, did. The text is for logs and staff."""

    def __init__(self, text: str) -> None:
        super().__init__(storable(text))


class NotSent(ProviderError):
    """The request never reached the provider: it may be sent again."""


class Busy(ProviderError):
    """The provider took nothing now. `after` is its wish in seconds, or None."""

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Rejected(ProviderError):
    """A verdict: this order will never be made. `code` is ours (see models.REASONS)."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class MaybeSent(ProviderError):
    """The connection was lost after the request left: the job may exist, or not."""


class Unavailable(ProviderError):
    """No usable answer to a question: never a verdict on the job."""


class NoFile(ProviderError):
    """The provider answered, but what it has is no video: gone, or another kind of file."""


class Provider(Protocol):
    """One account at one server: `base_url` is where (`default_url` unless staff say otherwise), `key` opens it.

    `profile` says which server it is, for a protocol that many speak (see `profiles`).
    """

    default_url: str

    def __init__(self, base_url: str, key: str, profile: str = "") -> None: ...

    async def submit(self, order: Order, key: str) -> JobState:
        """Ask for a video. `key` names this request: where honoured, a repeat makes no second job.

        Raises NotSent, Busy, Rejected or MaybeSent.
        """
        ...

    async def check(self, ref: str) -> JobState:
        """Ask how a job stands. Raises Unavailable for every answer that says nothing about it."""
        ...

    async def find(self, order: Order, since: datetime) -> Found:
        """Jobs of this account that are this order's, or may be; it was sent after `since`.

        Raises Unavailable where the provider cannot list.
        """
        ...

    def download(self, ref: str) -> AsyncIterator[bytes]:
        """The finished MP4, in pieces. Raises Unavailable or NoFile; a short body raises Unavailable."""
        ...

    async def capabilities(self) -> list[Capability]:
        """What its models can do. Raises Unavailable, also where a provider has no such list."""
        ...

    async def cancel(self, ref: str) -> bool:
        """Ask that a job be stopped which nobody waits for. Whether the provider took it up; False where none can.

        Not to be relied on: a job may be done already, or go on all the same. Raises Unavailable for no answer.
        """
        ...

    async def probe(self) -> tuple[int, str]:
        """The HTTP status and the beginning of what a question is answered that costs nothing. Raises Unavailable."""
        ...

    async def close(self) -> None: ...
