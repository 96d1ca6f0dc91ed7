"""The dispatcher: one asyncio loop that drives every unfinished video concurrently.

A dispatcher holds a leased slot, admits queued videos, claims those that are due, and runs the next
step of each. `next_attempt_at` is both schedule and lease: a claim pushes it into the future before the work
starts, and the dispatcher renews it while the work lasts. If the dispatcher crashes, its videos come
due again within LEASE seconds. No message, process or timer has to survive for that.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections

from videos import queue, timing
from videos.catalogue import connections, routing
from videos.generation import batches, lifecycle
from videos.media.decoder import Decoder
from videos.models import MAX_POSTER_TRIES, Channel, PumpSlot, Status, Video
from videos.providers.base import Provider
from videos.worker import admission, leases, steps
from videos.worker.leases import CLAIM
from videos.worker.polling import Polling
from videos.worker.write_queue import WriteQueue

log = logging.getLogger(__name__)

# Seconds.
LIFETIME = 3600  # after this a dispatcher hands over to a successor, so that nothing in it grows without end
DRAIN = 200  # how long it then finishes steps that it would cost something to cut off
WIND_DOWN = 5  # how long it waits for the others, and for all of them if its slot was revoked because the worker stops
REFRESH = 5  # between two looks at whether staff have changed a channel
RESET = 60  # between two looks for videos that a clock that was set back has put out of reach
TICK = 0.25
# Of each channel, so that one whose provider hangs does not use up what the others need.
MAX_IN_FLIGHT = 2000  # videos
MAX_SUBMITS = 400
POSTERS = 8  # per batch, made one after the other
COSTLY_TO_CANCEL = (Status.SUBMITTING, Status.UNCONFIRMED, Status.SAVING)


def run() -> bool:
    """Dispatch while any video is unfinished, if a slot is free, and wake a successor after LIFETIME.

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
        if not dispatcher.has_handed_over:
            dispatcher.release()
            dispatcher.wake_successor()
    return True


def is_work_left() -> bool:
    """Whether any video is unfinished or still needs its poster."""
    return Video.objects.live().exists() or bool(without_poster(1))


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


def _address(channel: Channel) -> tuple[str, ...]:
    """What a channel's provider is made from."""
    return channel.kind, channel.base_url, channel.key_variable, channel.profile


@dataclass
class Work:
    """What one database visit found to do."""

    due: list[Video]
    admitted: list[Video] = field(default_factory=list)
    posters: list[Video] = field(default_factory=list)
    is_left: bool = False


class Dispatcher:
    """See `run`."""

    def __init__(self, slot: PumpSlot) -> None:
        self.slot = slot
        self.is_revoked = False
        self.is_leader = False
        self.has_handed_over = False
        self.in_flight: dict[UUID, InFlight] = {}
        self.due_again: dict[UUID, Video] = {}  # a webhook made them due while a step was running
        self.posters: asyncio.Task[None] | None = None
        self.reset = -float(RESET)  # last look for unreachable videos (monotonic seconds)
        self.posters_at = 0.0  # earliest start of the next poster batch (monotonic seconds)
        self.pace = admission.Pace()
        self.channels: dict[int, Channel] = {}
        self.providers: dict[int, Provider] = {}
        self.replaced: list[Provider] = []  # of channels that staff have changed; steps may still use them

    async def run(self) -> None:
        self.db = WriteQueue()
        self.tools = steps.Tools(self.db, Decoder(), Polling(self.db))
        self.began = self.renewed = self.refreshed = time.monotonic()
        try:
            await self.maintain()
            while not self.is_revoked:
                try:
                    if not await self.turn():
                        break
                except DatabaseError:
                    # Keep the running steps: their outcome is worth more than renewing the lease on time.
                    log.exception("The dispatcher cannot reach the database.")
                    self.is_revoked = time.monotonic() - self.renewed > timing.LEASE
                await asyncio.sleep(TICK)
            await self.hand_over()
            await self.drain()
        finally:
            await self.tools.decoder.close()
            for provider in (*self.providers.values(), *self.replaced):
                await provider.close()
            await self.db.close()

    async def turn(self) -> bool:
        """Renew leases and start steps for due videos. False when nothing is left to do, or LIFETIME is over."""
        now = time.monotonic()
        if now - self.renewed > timing.RENEW:
            if not await self.db(leases.renew, self.slot, self.long_running()):
                self.is_revoked = True
                return False
            self.renewed = now
            await self.maintain()
        if now - self.refreshed > REFRESH:
            self.refreshed = now
            self.refresh(await self.db(lambda: Channel.objects.in_bulk(list(self.channels))))
        if now - self.began > LIFETIME:
            return False
        work = await self.db(self.find_work)
        self.refresh({video.channel_id: video.channel for video in work.admitted})
        for video in work.due:
            if video.pk in self.in_flight:
                self.due_again[video.pk] = video
            else:
                self.start_step(video, steps.step)
        for video in self.tools.polling.due(self.room(CLAIM)):
            self.start_step(video, steps.step)
        for video in work.admitted:
            self.start_step(video, steps.submit)
        if work.posters:
            self.posters = asyncio.create_task(self.make_posters(work.posters))
        return bool(self.in_flight) or work.is_left

    async def maintain(self) -> None:
        """Periodic duties. One that fails, such as on a row that stays locked, holds up neither videos nor the others."""
        duties: list[Callable[[], object]] = [leases.free_orphans, self.look_who_leads]
        if time.monotonic() - self.reset > RESET:
            duties.append(self.reset_unreachable)
        self.is_leader = False
        await self.do_all(duties)
        if self.is_leader:
            await self.do_all([lifecycle.time_out_overdue, routing.reroute_waiting, batches.advance])

    async def do_all(self, duties: list[Callable[[], object]]) -> None:
        """Together, since each wait for the database delays the next renewal of the leases."""
        for error in await asyncio.gather(*map(self.db, duties), return_exceptions=True):
            if isinstance(error, Exception):
                log.error("A periodic duty failed; it is tried again later.", exc_info=error)

    def look_who_leads(self) -> None:
        """Whether this dispatcher does what only one of all dispatchers does."""
        self.is_leader = leases.is_leader(self.slot)

    def reset_unreachable(self) -> None:
        leases.reset_unreachable()
        self.reset = time.monotonic()

    async def hand_over(self) -> None:
        """Let a successor go on, while this one drains.

        Without the database or the queue, `run` does it after the drain: what the running steps bring is worth more.
        """
        try:
            # One after the other: an order that is placed in between then finds a free slot.
            await self.db(self.release)
            await self.db(batches.advance)
            await self.db(self.wake_successor)
            self.has_handed_over = True
        except Exception:
            log.exception("The dispatcher cannot hand over yet.")

    def long_running(self) -> list[UUID]:
        """Videos whose lease has to be renewed: a short step writes its own next_attempt_at before it runs out."""
        now = time.monotonic()
        return [pk for pk, item in self.in_flight.items() if now - item.since > timing.LEASE / 2]

    def refresh(self, channels: dict[int, Channel]) -> None:
        """Take over what staff have changed. Steps that are running keep the provider that they began with."""
        for pk, channel in channels.items():
            if pk in self.providers and _address(channel) != _address(self.channels[pk]):
                self.replaced.append(self.providers.pop(pk))
            self.channels[pk] = channel

    def find_work(self) -> Work:
        """Everything that can be started now, in one database visit."""
        work = Work(self.claim())
        work.admitted = admission.admit(MAX_SUBMITS, self.count_in_flight(Status.SUBMITTING), self.pace)
        # One dispatcher makes posters, one batch at a time.
        is_idle = self.posters is None or self.posters.done()
        if self.is_leader and is_idle and time.monotonic() >= self.posters_at:
            work.posters = without_poster(POSTERS)
        work.is_left = bool(self.in_flight or work.due or work.admitted) or is_work_left()
        return work

    def claim(self) -> list[Video]:
        """Videos that are due, and now ours."""
        full = [channel for channel, room in self.room().items() if room <= 0]
        due = leases.claim(CLAIM, full, self.slot.owner)
        for video in due:
            if video.channel_id not in self.channels:
                self.channels[video.channel_id] = Channel.objects.get(pk=video.channel_id)
        return due

    def room(self, at_once: int = MAX_IN_FLIGHT) -> dict[int, int]:
        """How many more videos of each known channel may be in flight, and started at once."""
        counts = self.count_in_flight()
        return {channel: min(at_once, MAX_IN_FLIGHT - counts[channel]) for channel in self.channels}

    def count_in_flight(self, *statuses: Status) -> Counter[int]:
        """How many videos of each channel have a running step; with `statuses`, only those in such a state."""
        videos = [item.video for item in list(self.in_flight.values())]
        return Counter(video.channel_id for video in videos if not statuses or video.status in statuses)

    def start_step(self, video: Video, step: Callable[..., Coroutine[Any, Any, None]]) -> None:
        video.channel = self.channels[video.channel_id]
        self.tools.polling.forget(video)
        task = asyncio.create_task(self.drive(video, step))
        self.in_flight[video.pk] = InFlight(video, task, time.monotonic())
        task.add_done_callback(partial(self._step_ended, video.pk))

    def _step_ended(self, pk: UUID, task: asyncio.Task[None]) -> None:
        item = self.in_flight.get(pk)
        if item is None or item.task is not task:
            return  # its next step has begun already: it was rerouted, and admitted at once
        del self.in_flight[pk]
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
            try:
                await self.db(lifecycle.retry_later, video, repr(error))
            except Exception:
                log.exception("%s: its retry is not recorded", video.public_id)
                self.tools.polling.plan(video, timing.LEASE)  # any other comes due when its lease ends

    def provider(self, video: Video) -> Provider:
        if video.channel_id not in self.providers:
            self.providers[video.channel_id] = connections.provider_for(video.channel)
        return self.providers[video.channel_id]

    async def make_posters(self, videos: list[Video]) -> None:
        for video in videos:
            if not await steps.make_poster(video, self.tools):
                self.posters_at = time.monotonic() + timing.backoff(video)
                return

    def release(self) -> None:
        """Give the slot back, and the running jobs that were held."""
        leases.release(self.slot)

    def wake_successor(self) -> None:
        if not self.is_revoked and is_work_left():
            queue.wake_any()

    async def drain(self) -> None:
        """Wait for running steps while a successor goes on, then cancel the rest; a canceled step counts as an attempt."""
        if self.posters:
            self.posters.cancel()
        self.due_again.clear()
        began, patience = time.monotonic(), WIND_DOWN if self.is_revoked else DRAIN
        while self.in_flight and time.monotonic() - began < patience:
            if time.monotonic() - began >= WIND_DOWN and not self.has_costly_steps():
                break
            await asyncio.wait([item.task for item in self.in_flight.values()], timeout=timing.RENEW)
            with suppress(DatabaseError):  # then they come due for the successor
                await self.db(leases.renew_videos, self.long_running())
        canceled = [item for item in list(self.in_flight.values()) if not item.task.done()]
        for item in canceled:
            item.task.cancel()
        await asyncio.gather(*(item.task for item in canceled), return_exceptions=True)
        # A canceled submit comes due when its lease expires and becomes unconfirmed then.
        retryable = [item.video for item in canceled if item.video.status != Status.SUBMITTING]
        waits = (
            self.db(lifecycle.retry_later, video, "canceled when its dispatcher ended") for video in retryable
        )
        await asyncio.gather(*waits, return_exceptions=True)
