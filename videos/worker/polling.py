"""When a dispatcher polls the running jobs that it holds.

The schedule is in memory, and a poll that brings nothing new writes nothing. The row of a job says only who holds it, and
for how long: see `leases.free_orphans` and `timing.HOLD`.
"""

import heapq
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any
from uuid import UUID

from django.utils import timezone

from videos import timing
from videos.generation import poll_results
from videos.models import Status, Video
from videos.providers.base import JobState


class Polling:
    """The running jobs that one dispatcher holds, each with the time of its next poll."""

    def __init__(self, db: Callable[..., Awaitable[Any]]) -> None:
        self.db = db
        self.planned: dict[UUID, tuple[int, Video]] = {}
        # By channel: time (monotonic seconds), and what tells an entry from an older one of the same video.
        self.queues: dict[int, list[tuple[float, int, UUID]]] = defaultdict(list)
        self.numbers = count()

    async def record(self, video: Video, job: JobState) -> None:
        """Record what a provider answered about an unfinished job, and plan the next poll."""
        delay = timing.next_poll(video, timezone.now())
        is_news = poll_results.progress_after(video, job) != video.progress or video.attempts > 0
        is_running = video.status == Status.IN_PROGRESS and not video.is_late
        if is_news or not is_running or not timing.is_held_beyond(video, delay):
            await self.db(poll_results.record, video, job)
            delay = timing.next_poll(video, timezone.now())
        self.plan(video, delay)

    def plan(self, video: Video, delay: float) -> None:
        """Poll a job in `delay` seconds, if it runs and is held here; otherwise its row says when it is due."""
        if video.held_by and video.status == Status.IN_PROGRESS:
            number = next(self.numbers)
            self.planned[video.pk] = number, video
            heapq.heappush(self.queues[video.channel_id], (time.monotonic() + delay, number, video.pk))

    def due(self, room: Mapping[int, int]) -> list[Video]:
        """The jobs that are to be polled now, and at most as many of each channel as it has room for.

        One whose lease has ended meanwhile is left to whoever claims it.
        """
        now, clock = time.monotonic(), timing.clock()
        due: list[Video] = []
        for channel_id, queue in self.queues.items():
            left = room[channel_id]
            while left > 0 and queue and queue[0][0] <= now:
                planned_at, number, pk = heapq.heappop(queue)
                if pk not in self.planned or self.planned[pk][0] != number:
                    continue
                video = self.planned.pop(pk)[1]
                if video.held_until > clock:
                    video.poll_delay = now - planned_at
                    due.append(video)
                    left -= 1
        return due

    def forget(self, video: Video) -> None:
        """Plan nothing for a job: its next step begins now."""
        self.planned.pop(video.pk, None)
