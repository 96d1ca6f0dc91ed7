"""The interface of provider adapters, in our terms. A provider's own terms stay inside its adapter."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from math import log
from typing import Literal, Protocol, Self

ASPECT_RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1, "21:9": 21 / 9, "4:3": 4 / 3, "3:4": 3 / 4}

# A JSON object to or from a provider. In answers, nothing guarantees which fields there are, or of which types.
JsonObject = Mapping[str, object]

JobStatus = Literal["queued", "in_progress", "completed", "failed"]


def pixels(size: str) -> tuple[int, int]:
    """Width and height of a size such as 1280x720."""
    width, height = map(int, size.split("x"))
    return width, height


def aspect_ratio(width: int, height: int) -> str:
    """The name of the closest aspect ratio: 16:9 for 1792 × 1024, 21:9 for 2560 × 1080."""
    return min(ASPECT_RATIOS, key=lambda name: abs(log(ASPECT_RATIOS[name] * height / width)))


def resolution(width: int, height: int) -> str:
    """The resolution by the shorter side in pixels, such as 720p."""
    return f"{min(width, height)}p"


@dataclass(frozen=True)
class JobRequest:
    """A request to a provider. `image` and `last_frame` are JPEGs of exactly width × height pixels, or None.

    `seconds` is the length; `extras` are options that not every model supports (see models.EXTRAS).
    """

    model: str
    prompt: str
    width: int
    height: int
    seconds: int
    image: bytes | None
    extras: Mapping[str, object] = field(default_factory=dict)
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

    def extras_as(self, **names: str) -> dict[str, object]:
        """The extras, renamed to the provider's names; extras without one keep ours."""
        return {names.get(name, name): value for name, value in self.extras.items()}


def data_url(picture: bytes) -> str:
    """A JPEG as a data: URL."""
    return f"data:image/jpeg;base64,{b64encode(picture).decode()}"


@dataclass(frozen=True)
class JobState:
    """The state of a job at its provider. `progress` is in percent; None if the provider does not report it.

    `is_sure` is False for a job that `find` could neither match to the order nor rule out. `cost` is what the provider
    charged for it in US dollars; None if it does not report it.
    """

    ref: str
    status: JobStatus
    progress: int | None = None
    code: str = ""
    message: str = ""
    is_sure: bool = True
    cost: Decimal | None = None

    def costing(self, cost: Decimal) -> "JobState":
        return replace(self, cost=cost)


@dataclass(frozen=True)
class Found:
    """The jobs in a provider's list that are, or may be, an order's, the most likely first.

    `doubt` is the reason why the list may be missing one; empty if it is conclusive.
    """

    jobs: list[JobState]
    doubt: str = ""


@dataclass(frozen=True)
class ListedJob:
    """A job in a provider's list; `created_at` is in Unix seconds by our clock, None if the list does not say or cannot be right."""

    ref: str
    created_at: float | None


@dataclass(frozen=True)
class Capability:
    """One entry of a provider's list of models; `model` is the provider's name for it. `takes` are keys of models.CAN_TAKE.

    `lengths` are in seconds. `cost_a_second` is in US dollars, for the most expensive option at 720p; None if unknown.
    """

    model: str
    name: str
    sizes: list[str]
    lengths: list[int]
    takes: list[str]
    has_sound: bool
    cost_a_second: Decimal | None


def size_of(aspect_ratio: str, lines: int) -> str:
    """The size with this aspect ratio whose shorter side is `lines` pixels, such as 1280x720; both sides are even."""
    across, down = map(int, aspect_ratio.split(":"))
    longer = round(lines * max(across, down) / min(across, down) / 2) * 2
    return f"{longer}x{lines}" if across >= down else f"{lines}x{longer}"


def storable(text: str) -> str:
    """Text that every database can store: without NULs or lone surrogates (from a message cut off inside an emoji)."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


class ProviderError(Exception):
    """An error of a provider or of the connection to it. The text is for logs and staff."""

    def __init__(self, text: str) -> None:
        super().__init__(storable(text))


class NotSent(ProviderError):
    """The request never reached the provider, so it is safe to resend."""


class Busy(ProviderError):
    """The provider did not accept the request now. `after` is its Retry-After in seconds, or None."""

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Rejected(ProviderError):
    """The provider will never accept this order. `code` is a key of models.REASONS."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class OutcomeUnknown(ProviderError):
    """The request was sent but its outcome is unknown: the job may or may not exist."""


class Unavailable(ProviderError):
    """No usable answer to a query. Never means that the job has failed."""


class NoFile(ProviderError):
    """The provider answered, but has no video: the file is gone or of another kind."""


class Provider(Protocol):
    """A client for one account at one server.

    `base_url` is the server's address (`default_url` unless staff set another), `key` the account's API key. `profile`
    names the server's dialect of the protocol (see `dialects`). `async with` closes it at the end.
    """

    default_url: str

    def __init__(self, base_url: str, key: str, profile: str = "") -> None: ...

    async def submit(self, order: JobRequest, key: str) -> JobState:
        """Create a job. `key` is the idempotency key: if the server honors it, a repeat does not create a second job.

        Raises NotSent, Busy, Rejected or OutcomeUnknown.
        """
        ...

    async def check(self, ref: str) -> JobState:
        """The state of a job. Raises Unavailable for every answer that does not tell."""
        ...

    async def find(self, order: JobRequest, since: datetime) -> Found:
        """The account's jobs that are, or may be, this order's, which was submitted after `since`.

        Raises Unavailable if the provider cannot list jobs.
        """
        ...

    async def jobs(self, since: datetime) -> tuple[list[ListedJob], str]:
        """The account's jobs since then, and why some may be missing; empty if none can.

        Raises Unavailable if the provider cannot list jobs.
        """
        ...

    def download(self, ref: str) -> AsyncIterator[bytes]:
        """The finished MP4, in pieces. Raises Unavailable or NoFile; a short body raises Unavailable."""
        ...

    async def capabilities(self) -> list[Capability]:
        """What the provider's models can do. Raises Unavailable, also if the provider has no such list."""
        ...

    async def cancel(self, ref: str) -> bool:
        """Ask to cancel a job. Whether the provider accepted the request; False if it cannot cancel jobs.

        Best effort: the job may be done already, or may go on regardless. Raises Unavailable if there is no answer.
        """
        ...

    async def probe(self) -> tuple[int, str]:
        """Send a request that costs nothing; returns its HTTP status and body. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
