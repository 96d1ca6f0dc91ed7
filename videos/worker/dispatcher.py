"""The engine: one process that carries every unfinished video at once.

A pump holds a leased slot, admits queued videos and claims those that are due, and takes each one
step further, all of them concurrently. `next_at` is schedule and lease in one: a claim pushes it
forward before the work begins and the pump renews it while the work lasts, so that the videos of a
pump that died come due by themselves within LEASE seconds. Nothing depends on any message, process
or timer staying alive.
"""

import asyncio
import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from videos import timing
from videos.catalogue import connections, routing
from videos.generation import batches, lifecycle
from videos.media.decoder import Decoder
from videos.models import Channel, PumpSlot, Status, Video
from videos.providers.base import Provider
from videos.timing import LEASE, RENEW
from videos.worker import admission, steps

log = logging.getLogger(__name__)

# Seconds.
SLICE = (
    15  # after it a pump submits nothing new, and rings for its successor when it has finished what it began
)
LONGEST_SLICE = 240  # below the queue's own time-out for a task
TICK = 0.25
BATCH_EVERY = 0.2  # between two commits under load
HAND_BACK = 5  # how long a pump that must stop waits for what is under way

CLAIM = 2000  # videos at a time
MOST_AT_ONCE = 4000
MOST_SUBMITS = 400
MOST_PICTURES = 50  # of orders, in memory
POSTERS = 8  # at a time, one after the other
SMALL_BATCH = 8  # after one so small, the next commit need not wait for company
MOST_DOWNLOADS = 8
BEING_MOVED = (Status.SUBMITTING, Status.UNCONFIRMED, Status.SAVING)
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
        if not pump.dismissed and is_work_left():
            ring()
    return True


def is_work_left() -> bool:
    """Whether any video is unfinished, or lacks its poster."""
    return Video.objects.live().exists() or bool(without_poster(1))


def ring() -> None:
    """Ask for a pump, whoever it may be."""
    async_task("videos.tasks.sweep")


def worker_name() -> str:
    """Who owns the slots of this worker's pumps: the supervisor names itself in the environment."""
    return os.environ.get("AIVIDEO_WORKER") or f"{socket.gethostname()}:{os.getpid()}"


def take_slot() -> PumpSlot | None:
    """Lease a free slot, or None when live pumps hold them all."""
    owner = f"{worker_name()}/{uuid4().hex[:8]}"
    free = timezone.now() - timedelta(seconds=1)  # SQLite's clock shows no more than milliseconds
    PumpSlot.objects.bulk_create(
        [PumpSlot(number=n, until=free) for n in range(SLOTS)], ignore_conflicts=True
    )
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


def claim(limit: int, only_running: bool = False) -> list[Video]:
    """Lease up to `limit` due videos for LEASE seconds and return them.

    They come with the fields that asking about them needs; what needs all of them, has all. Queued
    videos are not claimed but admitted (see limits).
    """
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    running = "AND status = 'in_progress'" if only_running else ""
    now = timing.database_now()
    adapt = connection.ops.adapt_datetimefield_value
    claim = Video.objects.raw(
        "UPDATE videos_video SET next_at = %s WHERE id IN (SELECT id FROM videos_video"
        # In the words of the index `due`: SQLite uses it only then.
        f" WHERE NOT (status = 'queued') AND next_at <= %s {running}"
        f" ORDER BY next_at LIMIT %s {skip_locked}) RETURNING {CLAIMED}",
        [adapt(now + timedelta(seconds=LEASE)), adapt(now), limit],
    )
    videos = list(claim)
    unknown = [video.pk for video in videos if video.status == Status.UNCONFIRMED]
    if unknown:
        whole = Video.objects.filter(pk__in=unknown).select_related(
            "model", "channel", "upload", "last_frame"
        )
        videos = [video for video in videos if video.status != Status.UNCONFIRMED] + list(whole)
    return videos


CLAIMED = (
    "id, user_id, channel_id, status, moves, ref, attempts, progress, credits,"
    " created_at, queued_at, accepted_at, deleted_at, error_code, api_key_id"
)


def rescue() -> None:
    """Make due what is due further in the future than any step waits: a clock was set back since."""
    far = Now() + timedelta(seconds=2 * timing.LONGEST_WAIT + 30)
    Video.objects.live().filter(next_at__gt=far).update(next_at=Now())


def tend() -> None:
    """What nobody else does in time: give up what waits too long, find another way for what is held up, let batches go on."""
    lifecycle.expire()
    routing.tend()
    batches.tend()


def without_poster(limit: int) -> list[Video]:
    """Completed videos whose poster was put off, the newest first."""
    wanting = Video.objects.extra(where=["status = 'completed' AND poster = ''"])  # the words of the index
    tried = wanting.filter(deleted_at=None, attempts__lt=lifecycle.MOST_POSTER_TRIES)
    return list(tried.order_by("-ended_at")[:limit])


@dataclass(frozen=True)
class Hold:
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


class Pump:
    """One slice of work: see `run`."""

    def __init__(self, slot: PumpSlot) -> None:
        self.slot = slot
        self.dismissed = False
        self.under_way: dict[UUID, Hold] = {}
        self.due_again: dict[UUID, Video] = {}  # a webhook came while they were in hand
        self.posters: asyncio.Task[None] | None = None
        self.posters_at = 0.0  # not before, on the clock that only goes forward
        self.channels: dict[int, Channel] = {}
        self.providers: dict[int, Provider] = {}

    async def run(self) -> None:
        self.db = Batches()
        self.tools = steps.Tools(
            self.db, asyncio.Semaphore(MOST_PICTURES), asyncio.Semaphore(MOST_DOWNLOADS), Decoder()
        )
        self.began = self.renewed = time.monotonic()
        try:
            await self.db(rescue)
            await self.db(tend)
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
            await self.db(batches.tend)
        finally:
            await self.tools.decoder.close()
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
            await self.db(tend)
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
        if submitting < MOST_SUBMITS:
            work.admitted = admission.admit(MOST_SUBMITS - submitting)
            self.channels |= {video.channel_id: video.channel for video in work.admitted}
        # Of several pumps only the first makes posters, one after the other.
        is_idle = self.posters is None or self.posters.done()
        if self.slot.number == 0 and is_idle and time.monotonic() >= self.posters_at:
            work.posters = without_poster(POSTERS)
        work.is_left = bool(self.under_way or work.due or work.admitted) or is_work_left()
        return work

    def find_running(self, only_running: bool = True) -> Work:
        """Only running jobs to ask about."""
        room = min(CLAIM, MOST_AT_ONCE - len(self.under_way))
        due = claim(room, only_running) if room > 0 else []
        for video in due:
            if video.channel_id not in self.channels:
                self.channels[video.channel_id] = Channel.objects.get(pk=video.channel_id)
        return Work(due, is_left=True)

    def take_up(self, video: Video, verb: Callable[..., Coroutine[Any, Any, None]]) -> None:
        video.channel = self.channels[video.channel_id]
        task = asyncio.create_task(self.drive(video, verb))
        self.under_way[video.pk] = Hold(video, task, time.monotonic())
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
            await self.db(lifecycle.wait, video, repr(error))

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
        waits = (self.db(lifecycle.wait, video, "cut off at the end of a slice") for video in cut)
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
    that raises takes back its own writes only. One that is marked `for_many` is called once with the
    arguments of all who asked for it.
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
            try:
                answers = await self.loop.run_in_executor(self.thread, _in_one_transaction, calls)
            except Exception as broken:
                # Whoever waits for an answer must get one, or the whole pump stands still.
                answers = [(None, broken)] * len(batch)
            not_before = time.monotonic() + (BATCH_EVERY if len(batch) > SMALL_BATCH else 0)
            for (_function, _args, future), (result, error) in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


Call = tuple[Callable[..., Any], tuple[Any, ...]]
Answer = tuple[Any, Exception | None]


def _in_one_transaction(calls: list[Call]) -> list[Answer]:
    """All in one transaction; when one of them raises, each in its own."""
    # A move that is taken back leaves a moved object behind and an unmoved row.
    videos = [arg for _function, args in calls for arg in args if isinstance(arg, Video)]
    as_before = [(video, vars(video).copy()) for video in videos]
    answers, error = _attempt(calls)
    for video, values in as_before if error else ():
        vars(video).clear()
        vars(video).update(values)
    if error is None:
        return [(answer, None) for answer in answers]
    if len(calls) == 1 or isinstance(error, OperationalError | InterfaceError):
        # The database is away, or the disk is full: nothing happened, and nothing else would.
        connection.close()
        return [(None, error)] * len(calls)
    return [answer for call in calls for answer in _in_one_transaction([call])]


def _attempt(calls: list[Call]) -> tuple[list[Any], Exception | None]:
    together: dict[Callable[..., Any], list[tuple[Any, ...]]] = defaultdict(list)
    for function, args in calls:
        if hasattr(function, "for_many"):
            together[function].append(args)
    try:
        with transaction.atomic():
            for function, all_args in together.items():
                function(all_args)
            return [None if function in together else function(*args) for function, args in calls], None
    except Exception as error:
        return [], error
