"""What every provider can do, in our words. Theirs stop at the door of their own file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Word = Literal["queued", "in_progress", "completed", "failed"]


@dataclass(frozen=True)
class Order:
    """What a provider is asked to make. `image` is a JPEG of exactly width × height, or None.

    `extras` are what not every model takes: see models.EXTRAS.
    """

    model: str
    prompt: str
    width: int
    height: int
    seconds: int
    image: bytes | None
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class JobState:
    """What a provider says of a job. `progress` is per cent, or None where it does not say.

    `is_sure` is False for a job that `find` could neither match with an order nor tell from it.
    """

    ref: str
    word: Word
    progress: int | None = None
    code: str = ""
    message: str = ""
    is_sure: bool = True


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
    async def submit(self, order: Order, key: str) -> JobState:
        """Ask for a video. `key` names this request: where honoured, a repeat makes no second job.

        Raises NotSent, Busy, Rejected or MaybeSent.
        """
        ...

    async def check(self, ref: str) -> JobState:
        """Ask how a job stands. Raises Unavailable for every answer that says nothing about it."""
        ...

    async def find(self, order: Order, since: datetime) -> list[JobState]:
        """Jobs of this account that are this order's, or may be, made after `since`, oldest first.

        An empty list says that there is none. Raises Unavailable where the provider cannot list.
        """
        ...

    def download(self, ref: str) -> AsyncIterator[bytes]:
        """The finished MP4, in pieces. Raises Unavailable or NoFile; a short body raises Unavailable."""
        ...

    async def close(self) -> None: ...
