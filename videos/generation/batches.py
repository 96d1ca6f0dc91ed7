"""Batches: many videos ordered all or none, and made a few at a time.

Only as many videos of a batch as its concurrency allows are queued or running; the others are held back, and
their patience does not run yet. The dispatcher calls `advance` about once a second, which queues the next
videos and records the end of a batch. Nothing else has to react when a video of a batch ends.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import credits
from accounts.models import ApiKey, User
from videos import timing
from videos.catalogue import capabilities
from videos.generation import lifecycle, ordering
from videos.models import LIVE, Batch, Status, Video, VideoModel
from videos.order import VideoOrder
from videos.providers.base import pixels
from videos.webhooks import outbox

MAX_VIDEOS = 500


@dataclass(frozen=True)
class Platform:
    """Where a campaign's videos are shown. `shape` is an aspect ratio, `seconds` the usual length.

    `style` is prepended to the idea, and people may edit it.
    """

    name: str
    shape: tuple[int, int]
    seconds: int
    style: str


PLATFORMS = {
    "youtube": Platform("YouTube", (16, 9), 12, "Cinematic and steady, with a clear opening shot."),
    "instagram": Platform("Instagram", (1, 1), 8, "Bright and close, with one strong motif in the middle."),
    "tiktok": Platform("TikTok", (9, 16), 8, "Quick and handheld, full of movement from the first second."),
    "x": Platform("X", (16, 9), 4, "One surprising moment that works without sound."),
}

# Old names that API clients may still send.
RENAMED_PLATFORMS = {"twitter": "x"}


class ItemRefused(Exception):
    """One item of a batch is not valid. `number` is its index, from 0. The text is for the user; `errors` has it by field."""

    def __init__(self, number: int, errors: ValidationError) -> None:
        super().__init__(" ".join(errors.messages))
        self.number, self.errors = number, errors


def price(orders: Sequence[VideoOrder]) -> int:
    """The total price in credits."""
    return sum(order.price for order in orders)


def place(
    user: User,
    orders: Sequence[VideoOrder],
    *,
    kind: str = Batch.Kind.BATCH,
    concurrency: int | None = None,
    api_key: ApiKey | None = None,
    webhook_url: str = "",
    pk: UUID | None = None,
) -> Batch:
    """Order all these videos, or none of them.

    Raises ItemRefused for an invalid item, and InsufficientCredits with the total price. `concurrency` is capped
    at the number of videos that one user may have running. Idempotent: the same `pk` returns the same batch.
    """
    if pk and (existing := user.batches.filter(pk=pk).first()):
        return existing
    for number, order in enumerate(orders):
        try:
            capabilities.check_order(user, order)
        except ValidationError as error:
            raise ItemRefused(number, error) from error
    total = price(orders)
    if total > user.balance:
        raise credits.InsufficientCredits(total, user.balance)
    max_running = settings.USER_RUNNING_VIDEOS
    charged = 0
    try:
        with transaction.atomic():
            batch = Batch.objects.create(
                pk=pk or uuid4(),
                user=user,
                kind=kind,
                total=len(orders),
                credits=total,
                concurrency=min(concurrency or max_running, max_running),
                api_key=api_key,
                webhook_url=webhook_url,
            )
            for number, order in enumerate(orders):
                is_held_back = number >= batch.concurrency
                ordering.place(user, order, batch=batch, position=number, is_held_back=is_held_back)
                charged += order.price
    except IntegrityError:
        if pk and (
            existing := user.batches.filter(pk=pk).first()
        ):  # the same request came twice concurrently
            return existing
        raise
    except credits.InsufficientCredits as error:
        raise credits.InsufficientCredits(total, error.available + charged) from error
    return batch


def advance() -> None:
    """Queue the next videos of every open batch, and record which batches have ended."""
    can_skip = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        for batch in Batch.objects.filter(ended_at=None).select_for_update(skip_locked=can_skip):
            live = list(
                batch.videos.filter(status__in=LIVE).order_by("position").values_list("pk", "queued_at")
            )
            if not live:
                _end(batch)
                continue
            room = batch.concurrency - sum(queued_at is not None for _pk, queued_at in live)
            if room > 0:
                _release([pk for pk, queued_at in live if queued_at is None][:room])


def cancel(batch: Batch) -> int:
    """Cancel and refund the videos that are not yet submitted; returns how many."""
    waiting = batch.videos.filter(status=Status.QUEUED)
    return sum(lifecycle.cancel(video) for video in waiting)


def campaign(
    model: VideoModel, idea: str, platforms: Sequence[str], styles: dict[str, str], size: str = ""
) -> list[VideoOrder]:
    """One order for each platform (keys of PLATFORMS), in its shape, length and style; `styles` overrides styles by platform.

    The resolution is that of `size` (WIDTHxHEIGHT in pixels), or of the model's first size.
    """
    size = size or model.sizes[0]
    return [_for_platform(model, idea, platform, styles.get(platform), size) for platform in platforms]


def read_prompts(text: str) -> list[str]:
    """The prompts in a text, one per line, or in the first column of a CSV whose header is `prompt`."""
    text = text.removeprefix("\ufeff")  # byte order mark
    rows = (
        csv.reader(io.StringIO(text), strict=False)
        if _is_csv(text)
        else ([line] for line in text.splitlines())
    )
    prompts = [row[0].strip() for row in rows if row and row[0].strip()]
    return prompts[1:] if prompts and prompts[0].lower() == "prompt" else prompts


def _is_csv(text: str) -> bool:
    """Only the header is proof: a prompt of several clauses contains commas, too."""
    first = text.partition("\n")[0].strip().lower()
    return first == "prompt" or first.startswith(("prompt,", '"prompt"'))


def _for_platform(model: VideoModel, idea: str, platform: str, style: str | None, size: str) -> VideoOrder:
    preset = PLATFORMS[platform]
    style = preset.style if style is None else style
    across, down = preset.shape
    scale = min(pixels(size)) / min(across, down)
    return VideoOrder(
        model=model,
        prompt=f"{style} {idea}".strip(),
        size=capabilities.nearest_size(model.sizes, round(across * scale), round(down * scale)),
        seconds=min(model.lengths, key=lambda seconds: abs(seconds - preset.seconds)),
        metadata={"platform": platform},
    )


def _release(ids: list[UUID]) -> None:
    now = timing.database_now()
    Video.objects.filter(pk__in=ids, status=Status.QUEUED, queued_at=None).update(
        queued_at=timezone.now(), next_attempt_at=now
    )


def _end(batch: Batch) -> None:
    if Batch.objects.filter(pk=batch.pk, ended_at=None).update(ended_at=timezone.now()):
        batch.refresh_from_db(fields=["ended_at"])
        outbox.announce_batch(batch)
