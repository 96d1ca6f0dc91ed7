"""How long an order would wait for its turn at a channel, by the channel's limits, what waits there, and recent renders."""

import time
from collections import Counter
from dataclasses import dataclass
from statistics import median

from django.conf import settings
from django.db.models import Count, Q

from accounts.models import User
from videos.models import LIVE, Channel, Status, Video
from videos.moderation import costly_blocks

AT_PROVIDER = (Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS)
RENDERS, FEWEST = 100, 3  # of the most recent renders, and how many must be known
FRESH = 2.0  # seconds

_lines: dict[int, tuple[float, "Line"]] = {}


@dataclass(frozen=True)
class Wait:
    """Seconds until an order has its turn, as expected. `render` is how long it then takes.

    Both are 0 if the channel has no limit, or too little is known.
    """

    expected: float = 0.0
    render: float = 0.0

    @property
    def is_too_long(self) -> bool:
        """Whether the order would be given up before its turn comes."""
        return self.expected > settings.QUEUE_PATIENCE_SECONDS

    @property
    def retry_after(self) -> float:
        """Seconds after which an order may have its turn in time."""
        return max(10.0, self.expected - settings.QUEUE_PATIENCE_SECONDS)


@dataclass(frozen=True)
class Line:
    """What waits and runs at a channel, by user, and how many seconds its recent renders took."""

    channel: Channel
    queued: Counter[int]
    running: Counter[int]
    at_provider: int
    renders: list[float]

    def ahead_of(self, user: User | None) -> int:
        """How many videos have their turn before an order that this user, or somebody new, places now.

        As in `worker.admission`, everybody's first video goes before anybody's second one.
        """
        pk = user.pk if user else 0
        turn = self.queued[pk] + self.running[pk] + 1
        return sum(min(count, max(0, turn - self.running[other])) for other, count in self.queued.items())

    def wait(self, ahead: int) -> Wait:
        """The wait of an order that has so many ahead of it."""
        expected = render = 0.0
        if self.channel.max_submits_per_minute:
            expected = 60 * ahead / self.channel.max_submits_per_minute
        if self.channel.max_running and len(self.renders) >= FEWEST:
            render = median(self.renders)
            free = max(0, self.channel.max_running - self.at_provider)
            expected = max(expected, max(0, ahead + 1 - free) / self.channel.max_running * render)
        return Wait(expected, render)


def wait_at(channel: Channel, user: User | None) -> Wait:
    """The wait of an order that this user, or somebody new, places at a channel now."""
    line = line_at(channel.pk)
    return line.wait(line.ahead_of(user))


def line_at(channel_id: int) -> Line:
    """The line of a channel. Counted once for all that ask within FRESH seconds, since it reads all that is unfinished."""
    expires_at, line = _lines.get(channel_id, (0.0, None))
    if line is None or time.monotonic() >= expires_at:
        line = _count(Channel.objects.get(pk=channel_id))
        _lines[channel_id] = (time.monotonic() + FRESH, line)
    return line


def _count(channel: Channel) -> Line:
    queued, running, at_provider = Counter[int](), Counter[int](), 0
    if not channel.max_running and not channel.max_submits_per_minute:
        return Line(channel, queued, running, at_provider, [])
    held_back = Q(status=Status.QUEUED, queued_at=None)
    live = Video.objects.filter(channel=channel, ended_at=None, status__in=LIVE).exclude(held_back)
    paused = costly_blocks.pauses(channel)
    for status, user, count in live.order_by().values_list("status", "user").annotate(n=Count("pk")):
        if status != Status.QUEUED:
            running[user] += count
            at_provider += count if status in AT_PROVIDER else 0
        elif user not in paused:
            queued[user] += count
    return Line(channel, queued, running, at_provider, _renders(channel) if channel.max_running else [])


def _renders(channel: Channel) -> list[float]:
    """How many seconds the channel's most recent completed videos took from acceptance to file."""
    ended = Video.objects.filter(channel=channel, accepted_at__isnull=False, status=Status.COMPLETED)
    recent = ended.order_by("-accepted_at").values_list("accepted_at", "ended_at")[:RENDERS]
    return [(end - start).total_seconds() for start, end in recent if end and start]
