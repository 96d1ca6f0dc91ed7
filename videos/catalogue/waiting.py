"""How long an order would wait for its turn at a channel, by the channel's own limits, queue and recent renders."""

import time
from dataclasses import dataclass
from math import ceil
from statistics import median

from django.conf import settings

from videos.models import Channel, Status, Video

AT_PROVIDER = (Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS)
RENDERS, FEWEST = 20, 3  # of the most recent renders, and how many must be known
FRESH = 2.0  # seconds

_waits: dict[int, tuple[float, "Wait"]] = {}


@dataclass(frozen=True)
class Wait:
    """Seconds until an order that is placed now has its turn: as expected, and at the very least.

    Both are 0 where the channel has no limit, or too little is known.
    """

    expected: float = 0.0
    at_least: float = 0.0

    @property
    def is_too_long(self) -> bool:
        """Whether the order would surely be given up before its turn comes."""
        return self.at_least > settings.QUEUE_PATIENCE_SECONDS

    @property
    def retry_after(self) -> float:
        """Seconds after which an order may have its turn in time."""
        return max(10.0, self.at_least - settings.QUEUE_PATIENCE_SECONDS)


def wait_at(channel: Channel) -> Wait:
    """The wait at a channel. Computed for all orders of FRESH seconds at once, since it counts the whole queue."""
    expires_at, wait = _waits.get(channel.pk, (0.0, Wait()))
    if time.monotonic() >= expires_at:
        wait = _compute(channel)
        _waits[channel.pk] = (time.monotonic() + FRESH, wait)
    return wait


def _compute(channel: Channel) -> Wait:
    if not channel.max_running and not channel.max_submits_per_minute:
        return Wait()
    live = Video.objects.filter(channel=channel, ended_at=None).order_by()
    queued = live.filter(status=Status.QUEUED, queued_at__isnull=False).count()
    by_minute = 60 * queued / channel.max_submits_per_minute if channel.max_submits_per_minute else 0.0
    wait = Wait(by_minute, max(0.0, by_minute - 60))
    if not channel.max_running:
        return wait
    renders = _renders(channel)
    running = live.filter(status__in=AT_PROVIDER).count()
    # How many have to end before it is the turn of one more.
    before = queued + 1 - (channel.max_running - running)
    if before <= 0 or len(renders) < FEWEST:
        return wait
    # In the best case, all that are running end at this moment, and the others are as fast as the fastest.
    at_least = (ceil(before / channel.max_running) - 1) * min(renders)
    return Wait(
        max(wait.expected, before / channel.max_running * median(renders)), max(wait.at_least, at_least)
    )


def _renders(channel: Channel) -> list[float]:
    """How many seconds the channel's most recent completed videos took from acceptance to file."""
    ended = Video.objects.filter(channel=channel, accepted_at__isnull=False, status=Status.COMPLETED)
    recent = ended.order_by("-accepted_at").values_list("accepted_at", "ended_at")[:RENDERS]
    return [(end - start).total_seconds() for start, end in recent if end and start]
