"""What a pump does for a video at its provider: submit → check → save, each step asynchronous.

A step reads no row and moves none: it asks the provider, and tells `generation`'s verbs through `db`
what came of it. They run in the pump's batch, and are the only ones that change anything.
"""

import asyncio
import errno
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from videos import event_log, timing
from videos.catalogue import breaker
from videos.generation import lifecycle
from videos.media import images, mp4, presets, storage
from videos.media.decoder import Decoder, Died
from videos.media.mp4 import NotAVideo
from videos.models import Status, Upload, Video
from videos.providers.base import (
    Busy,
    JobState,
    MaybeSent,
    NoFile,
    NotSent,
    Order,
    Provider,
    Rejected,
    Unavailable,
)

log = logging.getLogger(__name__)

# Seconds. GRACE is counted from a lost reply: longer than a request can take, plus the time a listing may lag behind.
GRACE = 90
LONGEST_SUBMIT = 60
LONGEST_DOWNLOAD = 150
CLOCKS_DIFFER = timedelta(minutes=10)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MAX_BAD_FILES = 6  # about a minute of tries, then the provider's "completed" is not believed

Database = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Tools:
    """What a pump lends to each step: its database thread, the right to submit or download, and the decoder."""

    db: Database
    submits: asyncio.Semaphore
    downloads: asyncio.Semaphore
    decoder: Decoder


async def step(video: Video, provider: Provider, tools: Tools) -> None:
    """Do what is next for a video that is due, until it has to wait again. Queued ones are `admit`ted instead."""
    if video.status == Status.SUBMITTING:
        # Due although somebody is submitting: that somebody died before the outcome was written.
        await tools.db(lifecycle.mark_unconfirmed, video, "the worker stopped in mid-request")
    elif video.status == Status.UNCONFIRMED:
        await reconcile(video, provider, tools)
    elif video.status == Status.FAILED and video.ref is None:
        await tools.db(lifecycle.stop_watching, video)
    elif video.status in (Status.IN_PROGRESS, Status.FAILED):
        await check(video, provider, tools)
    elif video.status == Status.SAVING:
        await save(video, provider, tools)


async def submit(video: Video, provider: Provider, tools: Tools, came_from: Status = Status.QUEUED) -> None:
    """Send the order of a video whose intent is committed (it is submitting), once."""
    db, channel = tools.db, video.channel  # it may go on to another one
    event_log.submitting(video)
    try:
        async with tools.submits:
            order = await _order_surely(video)
            await _make_sure_of(video, db)
            async with asyncio.timeout(LONGEST_SUBMIT):
                job = await provider.submit(order, key=video.pk.hex)
    except NoOrder as error:
        await db(lifecycle.postpone, video, came_from, error)
    except NotSent as error:
        await db(lifecycle.reroute_or_postpone, video, came_from, error)
        await db(breaker.record_failure, channel)
    except Busy as error:
        await db(lifecycle.reroute_or_postpone, video, came_from, error)
        await db(breaker.pause, channel, timing.backoff(video, error.after))
    except Rejected as error:
        if came_from == Status.UNCONFIRMED and error.code == "provider_refused":
            # Whoever refused this request says nothing of the earlier one.
            await db(lifecycle.mark_unconfirmed, video, str(error))
        else:
            await db(lifecycle.reject, video, error.code, str(error))
        await db(breaker.record_success, channel)
    except (MaybeSent, TimeoutError) as error:
        await db(lifecycle.mark_unconfirmed, video, str(error) or "no whole answer in time")
        await db(breaker.record_failure, channel)
    else:
        await _accept_surely(db, video, job)
        if channel.failures or channel.resumes_at:
            await db(breaker.record_success, channel)


async def reconcile(video: Video, provider: Provider, tools: Tools) -> None:
    """Find out whether a request whose answer was lost had arrived; never send again on a guess."""
    db = tools.db
    if video.channel.honours_idempotency_key:
        if video.is_late:
            await db(lifecycle.fail, video, "unconfirmed", "no answer until the deadline")
        elif await db(lifecycle.mark_submitting, video):
            # The same key (the video's id) and body again: the first job comes back, or this makes it.
            await submit(video, provider, tools, Status.UNCONFIRMED)
        return
    assert video.posted_at is not None
    waited = (timezone.now() - video.posted_at).total_seconds()
    order = await asyncio.to_thread(order_of, video)
    try:
        # Clocks differ, and are set back; what is older and somebody's already is not taken anyway.
        since = min(video.posted_at, video.created_at) - CLOCKS_DIFFER
        found = await provider.find(order, since=since)
        answer = await db(lifecycle.adopt, video, found)
    except Unavailable as error:
        answer = str(error)
    if answer == lifecycle.ADOPTED:
        return
    if waited <= GRACE:
        await db(lifecycle.retry_later, video, answer)
    elif answer == lifecycle.ABSENT:
        await db(lifecycle.requeue, video)
    else:
        await db(lifecycle.fail, video, "unconfirmed", answer)


async def check(video: Video, provider: Provider, tools: Tools) -> None:
    """Ask how the job stands, of a late one that has failed here too. Only a definite word changes anything."""
    db = tools.db
    assert video.ref is not None
    try:
        job = await provider.check(video.ref)
    except Unavailable as error:
        await db(lifecycle.retry_later, video, str(error))
        return
    if job.word == "completed":
        if await db(lifecycle.finish, video, job.cost):
            await save(video, provider, tools)
    elif job.word != "failed":
        await db(lifecycle.record_progress, video, job)
    elif video.status == Status.FAILED:
        await db(lifecycle.stop_watching, video)
    else:
        await db(lifecycle.fail, video, job.code, job.message)


async def save(video: Video, provider: Provider, tools: Tools) -> None:
    """Bring the file home before the provider's copy expires: stream, check, store.

    When many end at once the decoder has no time for each. Then the file's index is believed, and its
    poster, and with it the proof that it plays, comes a little later (see `picture`).
    """
    db = tools.db
    assert video.ref is not None
    part = _part(video)
    try:
        async with tools.downloads:
            async with asyncio.timeout(LONGEST_DOWNLOAD):
                await storage.download(provider, video.ref, part)
        facts, poster = await _look(part, tools.decoder)
        result = await asyncio.to_thread(storage.store, part, facts, poster)
    except (NoFile, NotAVideo, Died) as error:
        if video.attempts + 1 >= MAX_BAD_FILES:
            await db(lifecycle.fail, video, "no_file", str(error))
        else:
            await db(lifecycle.retry_later, video, str(error))
    except (Unavailable, TimeoutError) as error:
        await db(lifecycle.retry_later, video, str(error) or "the download took too long")
    else:
        if not await db(lifecycle.complete, video, result):
            await asyncio.to_thread(storage.discard, *filter(None, [result["file"], result["poster"]]))
    finally:
        part.unlink(missing_ok=True)


async def picture(video: Video, tools: Tools) -> bool:
    """Give a completed video the poster that it still lacks; take it back if its file turns out not to play.

    False if something stood in the way: better wait a little before any other poster. A disk that is
    full is nobody's fault, so it does not count as one of a video's tries.
    """
    part = _part(video)
    try:
        await asyncio.to_thread(storage.fetch, str(video.file.name), part)
        _facts, poster = await tools.decoder.look(part)
        name = await asyncio.to_thread(storage.store_poster, poster, uuid.uuid4().hex)
        if not await tools.db(lifecycle.attach_poster, video, name):
            await asyncio.to_thread(storage.discard, name)
    except NotAVideo as error:
        await tools.db(lifecycle.fail_unplayable, video, str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            log.warning("%s: no poster yet: %s", video.public_id, error)
        else:
            log.exception("%s: no poster yet", video.public_id)
            await tools.db(lifecycle.retry_later, video, repr(error))
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


async def _look(part: Path, decoder: Decoder) -> tuple[mp4.Probe, bytes]:
    """What the file holds, and its poster: empty when the decoder has no time, or dies, and the index says enough."""
    if not decoder.is_free:
        with suppress(mp4.Unclear):
            return await asyncio.to_thread(mp4.measure, part), b""
    try:
        return await decoder.look(part)
    except Died:
        # That says nothing about a file that was paid for, and its index does.
        log.exception("The index of %s is believed without a look at its pictures.", part.name)
        try:
            return await asyncio.to_thread(mp4.measure, part), b""
        except mp4.Unclear as unclear:
            raise Died(f"and its index does not say enough: {unclear}") from unclear


# --- Small parts ----------------------------------------------------------------------------------


def order_of(video: Video) -> Order:
    """What to send: always the same bytes for the same video, since a repeat must be recognisable."""
    width, height = video.wanted_size
    image = None
    if video.upload:
        image = images.fit(_bytes_of(video.upload), width, height)
    elif video.preset:
        image = images.fit(presets.presets()[video.preset].file.read_bytes(), width, height)
    last = images.fit(_bytes_of(video.last_frame), width, height) if video.last_frame else None
    return Order(video.provider_model, video.prompt, width, height, video.seconds, image, video.extras, last)


def _bytes_of(upload: Upload) -> bytes:
    with upload.file.open("rb") as file:
        return file.read()


async def _order_surely(video: Video) -> Order:
    """Raises NoOrder, whatever it was: a picture that is gone, a storage that does not answer."""
    if not video.upload_id and not video.last_frame_id and not video.preset:
        return order_of(video)
    try:
        return await asyncio.to_thread(order_of, video)
    except Exception as error:
        log.exception("%s: its order cannot be put together", video.public_id)
        raise NoOrder(repr(error)) from error


async def _make_sure_of(video: Video, db: Database) -> None:
    """Raise NoOrder unless the video is still in this pump's hands: asked directly before a request that costs money.

    It waited for its turn and its picture, and the process or the whole machine may have stood still meanwhile.
    The database is asked because the clock of a paused machine is paused as well; our own clock, since we may
    stand still again while it answers.
    """
    asked_at = timing.clock()
    if not await db(lifecycle.renew_lease, video) or timing.clock() - asked_at >= timing.LEASE:
        raise NoOrder("its lease ended before the request left")


class NoOrder(NotSent):
    """Nothing has left, and the provider has nothing to do with it."""


async def _accept_surely(db: Database, video: Video, job: JobState) -> None:
    """Write down whose job this is, also across a restart of the database: it may be paid for.

    Each try moves a copy, since a commit that fails leaves a moved object behind and an unmoved row.
    """
    for seconds in (0.5, 1, 2, 4):
        try:
            await db(lifecycle.accept, copy(video), job)
        except DatabaseError:
            log.exception("%s: job %s is not written yet", video.public_id, job.ref)
            await asyncio.sleep(seconds)
        else:
            return
    await db(lifecycle.accept, copy(video), job)


def _part(video: Video) -> Path:
    """A new place for bytes on their way."""
    return settings.DATA_DIR / "parts" / f"{video.pk}-{uuid.uuid4().hex}.part"
