"""The dispatcher: one asyncio loop that drives every unfinished video concurrently.

A dispatcher holds a leased slot, admits queued videos, claims those that are due, and runs the next
step of each. `next_attempt_at` is both schedule and lease: a claim pushes it into the future before the work
starts, and the dispatcher renews it while the work lasts. If the dispatcher crashes, its videos come
due again within LEASE seconds. No message, process or timer has to survive for that.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from videos import queue, timing
from videos.catalogue import connections, routing
from videos.generation import batches, lifecycle
from videos.media.decoder import Decoder
from videos.models import MAX_POSTER_TRIES, Channel, PumpSlot, Status, Video
from videos.providers.base import Provider
from videos.worker import admission, leases, steps
from videos.worker.leases import CLAIM
from videos.worker.write_queue import WriteQueue

log = logging.getLogger(__name__)

# Seconds.
SLICE = 15  # after this a dispatcher admits nothing new, finishes its steps and wakes its successor
LONGEST_SLICE = 240  # below the queue's own task timeout
TICK = 0.25
WIND_DOWN_SECONDS = 5  # how long a stopping dispatcher waits for its running steps
MAX_IN_FLIGHT = 4000  # videos
MAX_SUBMITS = 400
MAX_PICTURES = 50  # submits that hold their pictures in memory
POSTERS = 8  # per batch, made one after the other
MAX_DOWNLOADS = 8
COSTLY_TO_CANCEL = (Status.SUBMITTING, Status.UNCONFIRMED, Status.SAVING)


def run() -> bool:
    """Dispatch for one slice if a slot is free, then wake a successor while any video is unfinished.

    Returns False if no slot was free. Safe to call at any time and concurrently.
    """
    close_old_connections()
    slot = leases.acquire_slot()
    if slot is None:
        return False
    dispatcher = Dispatcher(slot)
    try:
        asyncio.run(dispatcher.run())
    finally:
        # Free the slot before checking for work: an order placed in between then finds a free slot.
        PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(owner="", until=timezone.now())
        if not dispatcher.is_revoked and is_work_left():
            queue.wake_any()
    return True


def is_work_left() -> bool:
    """Whether any video is unfinished or still needs its poster."""
    return Video.objects.live().exists() or bool(without_poster(1))


def run_maintenance() -> None:
    """Periodic maintenance: time out overdue videos, reroute waiting ones, advance batches."""
    lifecycle.time_out_overdue()
    routing.reroute_waiting()
    batches.advance()


def without_poster(limit: int) -> list[Video]:
    """Completed videos whose poster is still to be made, newest first."""
    # Worded exactly like the partial index `wants_poster`, or the database does not use it.
    lacking = Video.objects.extra(where=["status = 'completed' AND poster = ''"])
    retryable = lacking.filter(deleted_at=None, attempts__lt=MAX_POSTER_TRIES)
    return list(retryable.order_by("-ended_at")[:limit])


@dataclass(frozen=True)
class InFlight:
    """A video with a running step, and when the step started (monotonic seconds)."""

    video: Video
    task: asyncio.Task[None]
    since: float


@dataclass
class Work:
    """What one database visit found to do."""

    due: list[Video]
    admitted: list[Video] = field(default_factory=list)
    posters: list[Video] = field(default_factory=list)
    is_left: bool = False


class Dispatcher:
    """Runs one slice; see `run`."""

    def __init__(self, slot: PumpSlot) -> None:
        self.slot = slot
        self.is_revoked = False
        self.in_flight: dict[UUID, InFlight] = {}
        self.due_again: dict[UUID, Video] = {}  # a webhook made them due while a step was running
        self.posters: asyncio.Task[None] | None = None
        self.posters_at = 0.0  # earliest start of the next poster batch (monotonic seconds)
        self.channels: dict[int, Channel] = {}
        self.providers: dict[int, Provider] = {}

    async def run(self) -> None:
        self.db = WriteQueue()
        self.tools = steps.Tools(
            self.db, asyncio.Semaphore(MAX_PICTURES), asyncio.Semaphore(MAX_DOWNLOADS), Decoder()
        )
        self.began = self.renewed = time.monotonic()
        try:
            await self.db(leases.reset_unreachable)
            await self.db(run_maintenance)
            while not self.is_revoked:
                try:
                    if not await self.turn():
                        break
                except DatabaseError:
                    # Keep the running steps: their outcome is worth more than renewing the lease on time.
                    log.exception("The dispatcher cannot reach the database.")
                    self.is_revoked = time.monotonic() - self.renewed > timing.LEASE
                await asyncio.sleep(TICK)
            await self.wind_down()
            await self.db(batches.advance)
        finally:
            await self.tools.decoder.close()
            for provider in self.providers.values():
                await provider.close()
            await self.db.close()

    async def turn(self) -> bool:
        """Renew leases and start steps for due videos. False when the slice is over."""
        now = time.monotonic()
        if now - self.renewed > timing.RENEW:
            # A short step writes its own next_attempt_at before its lease runs out; only long ones need renewal.
            long_running = [pk for pk, item in self.in_flight.items() if now - item.since > timing.LEASE / 2]
            if not await self.db(leases.renew, self.slot, long_running):
                self.is_revoked = True
                return False
            self.renewed = now
            await self.db(run_maintenance)
        age = now - self.began
        if age < SLICE or (self.has_costly_steps() and age < LONGEST_SLICE - steps.LONGEST_SUBMIT):
            work = await self.db(self.find_work)
        elif self.has_costly_steps() and age < LONGEST_SLICE:
            work = await self.db(self.find_running)
        else:
            return False
        for video in work.due:
            if video.pk in self.in_flight:
                self.due_again[video.pk] = video
            else:
                self.start_step(video, steps.step)
        for video in work.admitted:
            self.start_step(video, steps.submit)
        if work.posters:
            self.posters = asyncio.create_task(self.make_posters(work.posters))
        return bool(self.in_flight) or work.is_left

    def find_work(self) -> Work:
        """Everything that can be started now, in one database visit."""
        work = self.find_running(only_running=False)
        submitting = sum(item.video.status == Status.SUBMITTING for item in list(self.in_flight.values()))
        if submitting < MAX_SUBMITS:
            work.admitted = admission.admit(MAX_SUBMITS - submitting)
            self.channels |= {video.channel_id: video.channel for video in work.admitted}
        # Only the first dispatcher makes posters, one batch at a time.
        is_idle = self.posters is None or self.posters.done()
        if self.slot.number == 0 and is_idle and time.monotonic() >= self.posters_at:
            work.posters = without_poster(POSTERS)
        work.is_left = bool(self.in_flight or work.due or work.admitted) or is_work_left()
        return work

    def find_running(self, only_running: bool = True) -> Work:
        """Due videos; with `only_running`, only those whose job is to be polled."""
        room = min(CLAIM, MAX_IN_FLIGHT - len(self.in_flight))
        due = leases.claim(room, only_running) if room > 0 else []
        for video in due:
            if video.channel_id not in self.channels:
                self.channels[video.channel_id] = Channel.objects.get(pk=video.channel_id)
        return Work(due, is_left=True)

    def start_step(self, video: Video, step: Callable[..., Coroutine[Any, Any, None]]) -> None:
        video.channel = self.channels[video.channel_id]
        task = asyncio.create_task(self.drive(video, step))
        self.in_flight[video.pk] = InFlight(video, task, time.monotonic())
        task.add_done_callback(partial(self._step_ended, video.pk))

    def _step_ended(self, pk: UUID, _task: asyncio.Task[None]) -> None:
        self.in_flight.pop(pk, None)
        again = self.due_again.pop(pk, None)
        if again and again.status == Status.IN_PROGRESS:
            self.start_step(again, steps.step)

    def has_costly_steps(self) -> bool:
        """Whether a submit, reconciliation or download is running: unlike a poll, cutting it off costs something."""
        return any(item.video.status in COSTLY_TO_CANCEL for item in list(self.in_flight.values()))

    async def drive(self, video: Video, step: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Run one step of one video. An error affects this video only."""
        try:
            await step(video, self.provider(video), self.tools)
        except Exception as error:
            # A bug of ours or trouble with the machine (disk full, database gone). It must be logged but must
            # not settle the video: the step is retried until the deadline.
            log.exception("%s: a step failed in state %s", video.public_id, video.status)
            await self.db(lifecycle.retry_later, video, repr(error))

    def provider(self, video: Video) -> Provider:
        if video.channel_id not in self.providers:
            self.providers[video.channel_id] = connections.provider_for(video.channel)
        return self.providers[video.channel_id]

    async def make_posters(self, videos: list[Video]) -> None:
        for video in videos:
            if not await steps.make_poster(video, self.tools):
                self.posters_at = time.monotonic() + timing.backoff(video)
                return

    async def wind_down(self) -> None:
        """Wait up to WIND_DOWN_SECONDS seconds for running steps, then cancel the rest; a canceled step counts as an attempt."""
        if self.posters:
            self.posters.cancel()
        self.due_again.clear()
        items = list(self.in_flight.values())
        if not items:
            return
        await asyncio.wait([item.task for item in items], timeout=WIND_DOWN_SECONDS)
        canceled = [item for item in items if not item.task.done()]
        for item in canceled:
            item.task.cancel()
        await asyncio.gather(*(item.task for item in canceled), return_exceptions=True)
        # A canceled submit comes due when its lease expires and becomes unconfirmed then.
        retryable = [item.video for item in canceled if item.video.status != Status.SUBMITTING]
        waits = (
            self.db(lifecycle.retry_later, video, "canceled at the end of a slice") for video in retryable
        )
        await asyncio.gather(*waits, return_exceptions=True)
