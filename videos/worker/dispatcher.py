"""The engine: one process that carries every unfinished video at once.

A pump holds a leased slot, admits queued videos and claims those that are due, and takes each one
step further, all of them concurrently. `next_at` is schedule and lease in one: a claim pushes it
forward before the work begins and the pump renews it while the work lasts, so that the videos of a
pump that died come due by themselves within LEASE seconds. Nothing depends on any message, process
or timer staying alive.
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
SLICE = (
    15  # after it a pump submits nothing new, and rings for its successor when it has finished what it began
)
LONGEST_SLICE = 240  # below the queue's own time-out for a task
TICK = 0.25
HAND_BACK = 5  # how long a pump that must stop waits for what is under way
MAX_IN_HAND = 4000
MAX_SUBMITS = 400
MAX_PICTURES = 50  # of orders, in memory
POSTERS = 8  # at a time, one after the other
MAX_DOWNLOADS = 8
BEING_MOVED = (Status.SUBMITTING, Status.UNCONFIRMED, Status.SAVING)


def run() -> bool:
    """Be the pump for one slice, if a slot is free. Rings for a successor while anything is unfinished.

    Returns whether this call was the pump. Harmless to call at any time and any number of times.
    """
    close_old_connections()
    slot = leases.take_slot()
    if slot is None:
        return False
    pump = Dispatcher(slot)
    try:
        asyncio.run(pump.run())
    finally:
        # First the slot, then the look: who orders a video in between rings for a free slot.
        PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(owner="", until=timezone.now())
        if not pump.dismissed and is_work_left():
            queue.wake_any()
    return True


def is_work_left() -> bool:
    """Whether any video is unfinished, or lacks its poster."""
    return Video.objects.live().exists() or bool(without_poster(1))


def run_maintenance() -> None:
    """What nobody else does in time: give up what waits too long, find another way for what is held up, let batches go on."""
    lifecycle.time_out_overdue()
    routing.reroute_waiting()
    batches.advance()


def without_poster(limit: int) -> list[Video]:
    """Completed videos whose poster was put off, the newest first."""
    wanting = Video.objects.extra(where=["status = 'completed' AND poster = ''"])  # the words of the index
    tried = wanting.filter(deleted_at=None, attempts__lt=MAX_POSTER_TRIES)
    return list(tried.order_by("-ended_at")[:limit])


@dataclass(frozen=True)
class InHand:
    """A video in a pump's hands, and since when (monotonic seconds)."""

    video: Video
    task: asyncio.Task[None]
    since: float


@dataclass
class Work:
    """What one look into the database found to do."""

    due: list[Video]
    admitted: list[Video] = field(default_factory=list)
    posters: list[Video] = field(default_factory=list)
    is_left: bool = False


class Dispatcher:
    """One slice of work: see `run`."""

    def __init__(self, slot: PumpSlot) -> None:
        self.slot = slot
        self.dismissed = False
        self.under_way: dict[UUID, InHand] = {}
        self.due_again: dict[UUID, Video] = {}  # a webhook came while they were in hand
        self.posters: asyncio.Task[None] | None = None
        self.posters_at = 0.0  # not before, on the clock that only goes forward
        self.channels: dict[int, Channel] = {}
        self.providers: dict[int, Provider] = {}

    async def run(self) -> None:
        self.db = WriteQueue()
        self.tools = steps.Tools(
            self.db, asyncio.Semaphore(MAX_PICTURES), asyncio.Semaphore(MAX_DOWNLOADS), Decoder()
        )
        self.began = self.renewed = time.monotonic()
        try:
            await self.db(leases.rescue)
            await self.db(run_maintenance)
            while not self.dismissed:
                try:
                    if not await self.turn():
                        break
                except DatabaseError:
                    # What is under way goes on: its outcome is worth more than this moment's lease.
                    log.exception("The pump cannot reach the database.")
                    self.dismissed = time.monotonic() - self.renewed > timing.LEASE
                await asyncio.sleep(TICK)
            await self.hand_back()
            await self.db(batches.advance)
        finally:
            await self.tools.decoder.close()
            for provider in self.providers.values():
                await provider.close()
            await self.db.close()

    async def turn(self) -> bool:
        """Renew, take up what is due. False when the slice is over."""
        now = time.monotonic()
        if now - self.renewed > timing.RENEW:
            # A step that ends at this moment has written its own next time; only long ones need a lease.
            long = [pk for pk, hold in self.under_way.items() if now - hold.since > timing.LEASE / 2]
            if not await self.db(leases.renew, self.slot, long):
                self.dismissed = True
                return False
            self.renewed = now
            await self.db(run_maintenance)
        age = now - self.began
        if age < SLICE or (self.is_held_up() and age < LONGEST_SLICE - steps.LONGEST_SUBMIT):
            work = await self.db(self.find_work)
        elif self.is_held_up() and age < LONGEST_SLICE:
            work = await self.db(self.find_running)
        else:
            return False
        for video in work.due:
            if video.pk in self.under_way:
                self.due_again[video.pk] = video
            else:
                self.take_up(video, steps.step)
        for video in work.admitted:
            self.take_up(video, steps.submit)
        if work.posters:
            self.posters = asyncio.create_task(self.make_posters(work.posters))
        return bool(self.under_way) or work.is_left

    def find_work(self) -> Work:
        """All that may be taken up now, in one visit to the database."""
        work = self.find_running(only_running=False)
        submitting = sum(hold.video.status == Status.SUBMITTING for hold in list(self.under_way.values()))
        if submitting < MAX_SUBMITS:
            work.admitted = admission.admit(MAX_SUBMITS - submitting)
            self.channels |= {video.channel_id: video.channel for video in work.admitted}
        # Of several pumps only the first makes posters, one after the other.
        is_idle = self.posters is None or self.posters.done()
        if self.slot.number == 0 and is_idle and time.monotonic() >= self.posters_at:
            work.posters = without_poster(POSTERS)
        work.is_left = bool(self.under_way or work.due or work.admitted) or is_work_left()
        return work

    def find_running(self, only_running: bool = True) -> Work:
        """Only running jobs to ask about."""
        room = min(CLAIM, MAX_IN_HAND - len(self.under_way))
        due = leases.claim(room, only_running) if room > 0 else []
        for video in due:
            if video.channel_id not in self.channels:
                self.channels[video.channel_id] = Channel.objects.get(pk=video.channel_id)
        return Work(due, is_left=True)

    def take_up(self, video: Video, verb: Callable[..., Coroutine[Any, Any, None]]) -> None:
        video.channel = self.channels[video.channel_id]
        task = asyncio.create_task(self.drive(video, verb))
        self.under_way[video.pk] = InHand(video, task, time.monotonic())
        task.add_done_callback(partial(self._put_down, video.pk))

    def _put_down(self, pk: UUID, _task: asyncio.Task[None]) -> None:
        self.under_way.pop(pk, None)
        again = self.due_again.pop(pk, None)
        if again and again.status == Status.IN_PROGRESS:
            self.take_up(again, steps.step)

    def is_held_up(self) -> bool:
        """Whether more than questions is under way: a cut submit would be unconfirmed, a cut download repeated."""
        return any(hold.video.status in BEING_MOVED for hold in list(self.under_way.values()))

    async def drive(self, video: Video, verb: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Take one video one step further. Whatever goes wrong here is one video's trouble only."""
        try:
            await verb(video, self.provider(video), self.tools)
        except Exception as error:
            # Our own fault, or the machine's (a full disk, a lost database). It must be seen, and it
            # must not decide about money: the row is tried again until its deadline.
            log.exception("%s: a step in state %s broke", video.public_id, video.status)
            await self.db(lifecycle.retry_later, video, repr(error))

    def provider(self, video: Video) -> Provider:
        if video.channel_id not in self.providers:
            self.providers[video.channel_id] = connections.provider_for(video.channel)
        return self.providers[video.channel_id]

    async def make_posters(self, videos: list[Video]) -> None:
        for video in videos:
            if not await steps.picture(video, self.tools):
                self.posters_at = time.monotonic() + timing.backoff(video)
                return

    async def hand_back(self) -> None:
        """Let what is under way end, for a moment; cut the rest, which counts as a try."""
        if self.posters:
            self.posters.cancel()
        self.due_again.clear()
        holds = list(self.under_way.values())
        if not holds:
            return
        await asyncio.wait([hold.task for hold in holds], timeout=HAND_BACK)
        late = [hold for hold in holds if not hold.task.done()]
        for hold in late:
            hold.task.cancel()
        await asyncio.gather(*(hold.task for hold in late), return_exceptions=True)
        # A cut submit comes due by itself when its lease runs out, and is unconfirmed then.
        cut = [hold.video for hold in late if hold.video.status != Status.SUBMITTING]
        waits = (self.db(lifecycle.retry_later, video, "cut off at the end of a slice") for video in cut)
        await asyncio.gather(*waits, return_exceptions=True)
