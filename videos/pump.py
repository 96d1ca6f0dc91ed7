"""The engine: one process that carries every unfinished video at once.

A pump holds a leased slot, claims the videos that are due, and takes each one step further, all of
them concurrently. `next_at` is schedule and lease in one: a claim pushes it forward before the work
begins and the pump renews it while the work lasts, so that the videos of a pump that died come due
by themselves within LEASE seconds. Nothing depends on any message, process or timer staying alive.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from videos import catalogue, generation, pace
from videos.models import LIVE, PumpSlot, Status, Video
from videos.providers.base import Provider

log = logging.getLogger(__name__)

# Seconds.
SLICE = (
    15  # after it a pump submits nothing new, and rings for its successor when it has finished what it began
)
LONGEST_SLICE = 240  # below the queue's own time-out for a task
LEASE, RENEW = 10, 2
TICK = 0.25
BATCH_EVERY = 0.2  # between two commits under load
HAND_BACK = 5  # how long a pump that must stop waits for what is under way

CLAIM = 500  # videos at a time
MOST_AT_ONCE = 5000
SMALL_BATCH = 8  # after one so small, the next commit need not wait for company
MOST_DOWNLOADS = 8
# Two pumps that share a SQLite file would only wait for each other's locks.
SLOTS = 1 if connection.vendor == "sqlite" else 2


def run() -> bool:
    """Be the pump for one slice, if a slot is free. Rings for a successor while anything is unfinished.

    Returns whether this call was the pump. Harmless to call at any time and any number of times.
    """
    close_old_connections()
    slot = take_slot()
    if slot is None:
        return False
    pump = Pump(slot)
    try:
        asyncio.run(pump.run())
    finally:
        # First the slot, then the look: who orders a video in between rings for a free slot.
        PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(owner="", until=timezone.now())
        if not pump.dismissed and Video.objects.live().exists():
            ring()
    return True


def ring() -> None:
    """Ask for a pump, whoever it may be."""
    async_task("videos.tasks.sweep")


def worker_name() -> str:
    """Who owns the slots of this worker's pumps: the supervisor names itself in the environment."""
    return os.environ.get("AIVIDEO_WORKER") or f"{socket.gethostname()}:{os.getpid()}"


def take_slot() -> PumpSlot | None:
    """Lease a free slot, or None when live pumps hold them all."""
    owner = f"{worker_name()}/{uuid4().hex[:8]}"
    PumpSlot.objects.bulk_create([PumpSlot(number=n) for n in range(SLOTS)], ignore_conflicts=True)
    # A lease that ends later than any lease can was written before the clock was set back.
    lapsed = Q(until__lte=Now()) | Q(until__gt=Now() + timedelta(seconds=2 * LEASE))
    for number in range(SLOTS):
        if PumpSlot.objects.filter(lapsed, number=number).update(
            owner=owner, until=Now() + timedelta(seconds=LEASE)
        ):
            return PumpSlot.objects.get(number=number)
    return None


def dismiss(worker: str) -> None:
    """Take the slots away from a worker's pumps: each hands back what it has and ends."""
    PumpSlot.objects.filter(owner__startswith=f"{worker}/").update(owner="", until=timezone.now())


def claim(limit: int, busy: set[UUID], states: Sequence[Status] = LIVE) -> list[Video]:
    """Lease up to `limit` due videos for LEASE seconds and return them; `busy` are in this pump's hands.

    A row that is due far in the future, though no step waits that long, was written under a clock
    that has since been set back: it is due as well.
    """
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    now = database_now()
    adapt = connection.ops.adapt_datetimefield_value
    places = ", ".join(["%s"] * len(states))
    table = Video._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET next_at = %s WHERE id IN (SELECT id FROM {table}"
            f" WHERE status IN ({places}) AND (next_at <= %s OR next_at > %s)"
            f" ORDER BY next_at LIMIT %s {skip_locked}) RETURNING id",
            [
                adapt(now + timedelta(seconds=LEASE)),
                *(status.value for status in states),
                adapt(now),
                adapt(now + timedelta(seconds=2 * pace.LONGEST_WAIT + 30)),
                limit,
            ],
        )
        ids = [row[0] for row in cursor.fetchall()]
    videos = Video.objects.filter(pk__in=ids).select_related("model", "channel", "upload")
    return [video for video in videos if video.pk not in busy]


def database_now() -> datetime:
    """The clock that all pumps share."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


@dataclass(frozen=True)
class Hold:
    """A video in a pump's hands, and since when (monotonic seconds)."""

    video: Video
    task: asyncio.Task[None]
    since: float


class Pump:
    """One slice of work: see `run`."""

    def __init__(self, slot: PumpSlot) -> None:
        self.slot = slot
        self.dismissed = False
        self.under_way: dict[UUID, Hold] = {}
        self.providers: dict[int, Provider] = {}
        self.downloads = asyncio.Semaphore(MOST_DOWNLOADS)

    async def run(self) -> None:
        self.db = Batches()
        self.began = self.renewed = time.monotonic()
        try:
            while not self.dismissed:
                try:
                    if not await self.turn():
                        break
                except DatabaseError:
                    # What is under way goes on: its outcome is worth more than this moment's lease.
                    log.exception("The pump cannot reach the database.")
                    self.dismissed = time.monotonic() - self.renewed > LEASE
                await asyncio.sleep(TICK)
            await self.hand_back()
        finally:
            for provider in self.providers.values():
                await provider.close()
            await self.db.close()

    async def turn(self) -> bool:
        """Renew, take up what is due. False when the slice is over."""
        now = time.monotonic()
        if now - self.renewed > RENEW:
            # A step that ends at this moment has written its own next time; only long ones need a lease.
            long = [pk for pk, hold in self.under_way.items() if now - hold.since > LEASE / 2]
            if not await self.db(renew, self.slot, long):
                self.dismissed = True
                return False
            self.renewed = now
        age = now - self.began
        if age < SLICE or (self.is_held_up() and age < LONGEST_SLICE - generation.LONGEST_SUBMIT):
            await self.take_up_due(LIVE)
        elif self.is_held_up() and age < LONGEST_SLICE:
            await self.take_up_due([Status.IN_PROGRESS])
        else:
            return False
        return bool(self.under_way) or await self.db(Video.objects.live().exists)

    async def take_up_due(self, states: Sequence[Status]) -> None:
        room = min(CLAIM, MOST_AT_ONCE - len(self.under_way))
        if room > 0:
            for video in await self.db(claim, room, set(self.under_way), states):
                task = asyncio.create_task(self.drive(video))
                self.under_way[video.pk] = Hold(video, task, time.monotonic())
                task.add_done_callback(partial(self._put_down, video.pk))

    def _put_down(self, pk: UUID, _task: asyncio.Task[None]) -> None:
        self.under_way.pop(pk, None)

    def is_held_up(self) -> bool:
        """Whether more than questions is under way: a cut submit would be unconfirmed, a cut download repeated."""
        return any(hold.video.status != Status.IN_PROGRESS for hold in self.under_way.values())

    async def drive(self, video: Video) -> None:
        """Take one video one step further. Whatever goes wrong here is one video's trouble only."""
        try:
            await generation.step(video, self.provider(video), self.db, self.downloads)
        except Exception as error:
            # Our own fault, or the machine's (a full disk, a lost database). It must be seen, and it
            # must not decide about money: the row is tried again until its deadline.
            log.exception("%s: a step in state %s broke", video.pk, video.status)
            await self.db(generation.wait, video, repr(error))

    def provider(self, video: Video) -> Provider:
        if video.channel_id not in self.providers:
            self.providers[video.channel_id] = catalogue.provider_for(video.channel)
        return self.providers[video.channel_id]

    async def hand_back(self) -> None:
        """Let what is under way end, for a moment; cut the rest, which counts as a try."""
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
        waits = (self.db(generation.wait, video, "cut off at the end of a slice") for video in cut)
        await asyncio.gather(*waits, return_exceptions=True)


def renew(slot: PumpSlot, video_ids: list[UUID]) -> bool:
    """Prolong the lease of a slot and of the videos in its pump's hands. False if the slot is lost."""
    until = Now() + timedelta(seconds=LEASE)
    if not PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(until=until):
        return False
    for start in range(0, len(video_ids), CLAIM):
        Video.objects.live().filter(pk__in=video_ids[start : start + CLAIM]).update(next_at=until)
    return True


class Batches:
    """Runs database functions in one thread; under load, all that is asked within BATCH_EVERY in one transaction.

    `await db(function, *args)` returns or raises what the function did, after the commit. A function
    that raises takes back its own writes only.
    """

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="pump-db")
        self.asked: asyncio.Queue[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )
        self.loop = asyncio.get_running_loop()
        self.worker = asyncio.create_task(self._run())

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.asked.put_nowait((function, args, answer))
        return await answer

    async def close(self) -> None:
        with suppress(DatabaseError):
            await self(bool)  # what was asked before this is then written
        self.worker.cancel()
        # A connection belongs to its thread, and the name resolves to the asking thread's own.
        await self.loop.run_in_executor(self.thread, lambda: connection.close())
        self.thread.shutdown()

    async def _run(self) -> None:
        not_before = 0.0
        while True:
            batch = [await self.asked.get()]
            # A single video is in a hurry; thousands share one commit.
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            while not self.asked.empty():
                batch.append(self.asked.get_nowait())
            calls = [(function, args) for function, args, _answer in batch]
            answers = await self.loop.run_in_executor(self.thread, _in_one_transaction, calls)
            not_before = time.monotonic() + (BATCH_EVERY if len(batch) > SMALL_BATCH else 0)
            for (_function, _args, future), (result, error) in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


def _in_one_transaction(
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]],
) -> list[tuple[Any, Exception | None]]:
    answers: list[tuple[Any, Exception | None]] = []
    try:
        with transaction.atomic():
            for function, args in calls:
                try:
                    with transaction.atomic():
                        answers.append((function(*args), None))
                except Exception as error:
                    if connection.needs_rollback or connection.closed_in_transaction:
                        raise  # the whole transaction is gone, with what the others wrote
                    answers.append((None, error))
    except Exception as error:
        # The commit failed, so nothing happened, whatever the functions returned.
        connection.close()
        return [(None, error)] * len(calls)
    return answers
