"""The steps of a video at its provider: submit → check → save, all asynchronous.

A step neither reads nor writes rows. It talks to the provider and passes the outcome through `db` to a
function of `lifecycle`, which runs in the dispatcher's write queue and makes the change.
"""

import asyncio
import errno
import logging
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
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
    JobRequest,
    JobState,
    NoFile,
    NotSent,
    OutcomeUnknown,
    Provider,
    Rejected,
    Unavailable,
)
from videos.worker.polling import Polling

log = logging.getLogger(__name__)

# Seconds. GRACE runs from a lost reply; it exceeds the longest request plus the lag of a provider's job list.
GRACE = 90
LONGEST_SUBMIT = 60
LONGEST_DOWNLOAD = 150
MAX_CLOCK_SKEW = timedelta(minutes=10)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MAX_POSTS = 50  # each holds its pictures in memory
MAX_DOWNLOADS = 8

Database = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Slots:
    """How many submits and downloads of one channel may be under way: its own, so that one that hangs delays no other."""

    submits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_POSTS))
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_DOWNLOADS))


@dataclass(frozen=True)
class Tools:
    """What steps share: the write queue, the decoder, the next polls, and the slots of each channel, by its primary key."""

    db: Database
    decoder: Decoder
    polling: Polling
    slots: dict[int, Slots] = field(default_factory=lambda: defaultdict(Slots))


async def step(video: Video, provider: Provider, tools: Tools) -> None:
    """Run the next step of a due video. Queued videos are not due; they are admitted (see `admission`)."""
    if video.status == Status.SUBMITTING:
        # Its lease expired while submitting: the worker crashed before it recorded the outcome.
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
    """Submit a video once. Its intent is already committed (it is in state submitting)."""
    db, channel = tools.db, video.channel  # rerouting changes video.channel
    event_log.submitting(video)
    try:
        async with tools.slots[channel.pk].submits:
            order = await _prepare_job_request(video)
            await _confirm_lease(video, db, came_from)
            sent_at = timezone.now()
            async with asyncio.timeout(LONGEST_SUBMIT):
                job = await provider.submit(order, key=video.pk.hex)
    except NotPrepared as error:
        await db(lifecycle.postpone, video, came_from, error)
    except NotSent as error:
        await db(lifecycle.reroute_or_postpone, video, came_from, error)
        await db(breaker.record_failure, channel, sent_at)
    except Busy as error:
        await db(lifecycle.reroute_or_postpone, video, came_from, error)
        await db(breaker.pause, channel, timing.backoff(video, error.after))
    except Rejected as error:
        if came_from == Status.UNCONFIRMED and error.code == "provider_refused":
            # Refusing this request says nothing about the earlier one.
            await db(lifecycle.mark_unconfirmed, video, str(error))
        else:
            await db(lifecycle.reject, video, error.code, str(error))
        await db(breaker.record_success, channel)
    except (OutcomeUnknown, TimeoutError) as error:
        await db(lifecycle.mark_unconfirmed, video, str(error) or "no whole answer in time")
        await db(breaker.record_failure, channel, sent_at)
    else:
        await _accept_surely(db, video, job)
        if channel.failures or channel.resumes_at:
            await db(breaker.record_success, channel)


async def reconcile(video: Video, provider: Provider, tools: Tools) -> None:
    """Find out whether a request whose reply was lost was accepted; never resubmit on a guess."""
    db = tools.db
    if video.channel.honours_idempotency_key:
        if video.is_late:
            await db(lifecycle.fail, video, "unconfirmed", "no answer until the deadline")
        elif await db(lifecycle.mark_submitting, video):
            # Same idempotency key (the video's id), same body: returns the first job or creates it now.
            await submit(video, provider, tools, Status.UNCONFIRMED)
        return
    assert video.posted_at is not None
    order = await asyncio.to_thread(job_request, video)
    try:
        # Clocks differ and may be set back. Looking too far back is harmless: jobs with an owner are skipped.
        since = min(video.posted_at, video.created_at) - MAX_CLOCK_SKEW
        found = await provider.find(order, since=since)
        result = await db(lifecycle.adopt, video, found)
    except Unavailable as error:
        result = str(error)
    if result == lifecycle.ADOPTED:
        return
    waited = (timezone.now() - video.posted_at).total_seconds()
    if waited <= GRACE:
        await db(lifecycle.retry_later, video, result)
    elif result == lifecycle.ABSENT:
        await db(lifecycle.requeue, video)
    else:
        await db(lifecycle.fail, video, "unconfirmed", result)


async def check(video: Video, provider: Provider, tools: Tools) -> None:
    """Poll a job, including one that timed out here. Only a definite answer changes the video's state."""
    db = tools.db
    assert video.ref is not None
    try:
        job = await provider.check(video.ref)
    except Unavailable as error:
        await db(lifecycle.retry_later, video, str(error))
        return
    if job.status == "completed":
        if await db(lifecycle.finish, video, job.cost):
            await save(video, provider, tools)
    elif job.status != "failed":
        await tools.polling.record(video, job)
    elif video.status == Status.FAILED:
        await db(lifecycle.stop_watching, video)
    else:
        await db(lifecycle.fail, video, job.code, job.message)


async def save(video: Video, provider: Provider, tools: Tools) -> None:
    """Download, check and store the file before the provider's copy expires.

    When many videos finish at once, the decoder cannot look at each right away. The file's index is then
    trusted, and its poster, which also proves that the file plays, is made later (see `make_poster`).
    """
    db = tools.db
    assert video.ref is not None
    part = _part(video)
    try:
        async with tools.slots[video.channel_id].downloads:
            async with asyncio.timeout(LONGEST_DOWNLOAD):
                await storage.download(provider, video.ref, part)
        facts, poster = await _look(part, tools.decoder)
        result = await asyncio.to_thread(storage.store, part, facts, poster)
    except (NoFile, NotAVideo) as error:
        await db(lifecycle.refuse_file, video, str(error))
    except (Unavailable, TimeoutError, Died) as error:
        await db(lifecycle.retry_later, video, str(error) or "the download took too long")
    else:
        if not await db(lifecycle.complete, video, result):
            await asyncio.to_thread(storage.discard, *filter(None, [result["file"], result["poster"]]))
    finally:
        part.unlink(missing_ok=True)


async def make_poster(video: Video, tools: Tools) -> bool:
    """Make the poster of a completed video; fail the video if its file turns out not to play.

    False if something went wrong; the caller should back off before making other posters. A full disk
    does not count as one of the video's attempts.
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
    """Facts about the file, and its poster, which is empty if the decoder is busy or dies and the index says enough."""
    if not decoder.is_free:
        with suppress(mp4.Unclear):
            return await asyncio.to_thread(mp4.measure, part), b""
    try:
        return await decoder.look(part)
    except Died:
        # A dead decoder proves nothing against a file that was paid for; its index is evidence enough.
        log.exception("The decoder died on %s; trusting the file's index instead.", part.name)
        try:
            return await asyncio.to_thread(mp4.measure, part), b""
        except mp4.Unclear as unclear:
            raise Died(f"and its index does not say enough: {unclear}") from unclear


# --- Small parts ----------------------------------------------------------------------------------


def job_request(video: Video) -> JobRequest:
    """What to submit. Deterministic, since a repeat under the same idempotency key must send the same body."""
    width, height = video.wanted_size
    image = None
    if video.upload:
        image = images.fit(_bytes_of(video.upload), width, height)
    elif video.preset:
        image = images.fit(presets.presets()[video.preset].file.read_bytes(), width, height)
    last = images.fit(_bytes_of(video.last_frame), width, height) if video.last_frame else None
    return JobRequest(
        video.provider_model, video.prompt, width, height, video.seconds, image, video.extras, last
    )


def _bytes_of(upload: Upload) -> bytes:
    with upload.file.open("rb") as file:
        content: bytes = file.read()
    return content


async def _prepare_job_request(video: Video) -> JobRequest:
    """What to submit. Raises NotPrepared for any error, such as a missing picture or an unavailable storage."""
    if not video.upload_id and not video.last_frame_id and not video.preset:
        return job_request(video)
    try:
        return await asyncio.to_thread(job_request, video)
    except Exception as error:
        log.exception("%s: cannot prepare the request", video.public_id)
        raise NotPrepared(repr(error)) from error


async def _confirm_lease(video: Video, db: Database, came_from: Status) -> None:
    """Raise NotPrepared unless this dispatcher still holds the video's lease. Called right before a request that costs money.

    The video waited for the semaphore and its picture, and the process or the machine may have been suspended
    meanwhile. The lease is checked by the database, since a suspended machine's own clock may have stopped, and the
    check is timed by our own clock, since we may be suspended again while waiting for the answer.
    """
    asked_at = timing.clock()
    # One call for many videos: see WriteQueue.
    if not await db(lifecycle.renew_leases, video, came_from) or timing.clock() - asked_at >= timing.LEASE:
        raise NotPrepared("its lease ended before the request left")


class NotPrepared(NotSent):
    """Nothing was sent, for a reason that has nothing to do with the provider."""


async def _accept_surely(db: Database, video: Video, job: JobState) -> None:
    """Record which job belongs to the video, retrying across a database restart: the job may be paid for.

    Each attempt works on a copy, since a failed commit leaves the object changed but not the row.
    """
    for seconds in (0.5, 1, 2, 4):
        try:
            await db(lifecycle.accept, copy(video), job)
        except DatabaseError:
            log.exception("%s: job %s is not recorded yet", video.public_id, job.ref)
            await asyncio.sleep(seconds)
        else:
            return
    await db(lifecycle.accept, copy(video), job)


def _part(video: Video) -> Path:
    """A new temporary path for a download."""
    return settings.DATA_DIR / "parts" / f"{video.pk}-{uuid.uuid4().hex}.part"
