"""The story of a video: start → submit → check → save → complete | fail.

Page, API, admin and worker all call these verbs. The first half is the story as it is told to a
provider: asynchronous, driven by the pump, no database but through `db`, which runs one of the
verbs of the second half in the pump's batch. Each of those moves a row by `move_to` and does what
follows in the same transaction; each may run twice, at any time, on any machine.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from copy import copy
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from accounts import credits
from accounts.models import User
from videos import catalogue, images, media, pace, presets, results
from videos.models import LIVE, Status, Upload, Video, VideoEvent, VideoModel
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

Database = Callable[..., Awaitable[Any]]

# Seconds after a lost reply: longer than a request can take, plus the time a listing may lag behind.
GRACE = 90
LONGEST_SUBMIT = 60
LONGEST_DOWNLOAD = 150
CLOCKS_DIFFER = timedelta(minutes=10)
ADOPTED, ABSENT = "adopted", "not in the provider's list"
LAST_TRIES = 5  # a job that was done in time is not lost to one hiccup after the deadline
MOST_BAD_FILES = 6  # about a minute of tries, then the provider's "completed" is not believed


def start(
    user: User,
    *,
    model: VideoModel,
    prompt: str,
    size: str,
    seconds: int,
    preset: str = "",
    upload: Upload | None = None,
    client_key: str | None = None,
) -> Video:
    """Order a video: charge its price, create its row, ring the worker, all or nothing.

    The same `client_key` gives the same video, whatever else is said. Raises ValidationError (by
    field) for what the model cannot make, InsufficientCredits, and nothing is left behind then.
    """
    catalogue.check_order(model, prompt, size, seconds)
    if client_key and (video := user.videos.filter(client_key=client_key).first()):
        return video

    video = Video(
        user=user,
        model=model,
        channel=catalogue.channel_for(model),
        prompt=prompt,
        size=size,
        seconds=seconds,
        preset=preset,
        upload=upload,
        client_key=client_key,
        credits=model.price,
    )
    try:
        with transaction.atomic():
            # First, because this row's lock is what other clicks of the same user wait for.
            credits.charge(user, video.credits, reference=video.reference)
            video.save(force_insert=True)
            VideoEvent.objects.create(video=video, went_to=Status.QUEUED)
            ring(video)
    except (IntegrityError, credits.InsufficientCredits):
        # The other half of a double click was quicker, perhaps with the last credits; this half is undone.
        if client_key and (video_of_twin := user.videos.filter(client_key=client_key).first()):
            return video_of_twin
        raise
    return video


def ring(video: Video) -> None:
    """Tell a worker that there is something to do: inside the present transaction or, with Redis, after it."""
    if settings.REDIS_URL:
        transaction.on_commit(lambda: async_task("videos.tasks.generate", str(video.pk)), robust=True)
    else:
        async_task("videos.tasks.generate", str(video.pk))


async def step(video: Video, provider: Provider, db: Database, downloads: asyncio.Semaphore) -> None:
    """Do what is next for a video that is due, until it has to wait again. `downloads` bounds how many run at once."""
    if video.status == Status.QUEUED and video.is_late:
        await db(fail, video, "timed_out", "never taken")
    elif video.status == Status.QUEUED:
        await submit(video, provider, db)
    elif video.status == Status.SUBMITTING:
        # Due although somebody is submitting: that somebody died before the outcome was written.
        await db(lose_sight, video, "the worker stopped in mid-request")
    elif video.status == Status.UNCONFIRMED:
        await reconcile(video, provider, db)
    elif video.status == Status.IN_PROGRESS:
        await check(video, provider, db, downloads)
    elif video.status == Status.SAVING:
        await save(video, provider, db, downloads)


async def submit(video: Video, provider: Provider, db: Database) -> None:
    """Send the order, once. The intent is committed before the request leaves."""
    order = await asyncio.to_thread(order_of, video)
    came_from = Status(video.status)
    if not await db(intend, video):
        return
    try:
        async with asyncio.timeout(LONGEST_SUBMIT):
            job = await provider.submit(order, key=video.pk.hex)
    except (NotSent, Busy) as error:
        await db(postpone, video, came_from, error)
    except Rejected as error:
        if came_from == Status.UNCONFIRMED and error.code == "provider_refused":
            # Whoever refused this request says nothing of the earlier one.
            await db(lose_sight, video, str(error))
        else:
            await db(fail, video, error.code, str(error))
    except (MaybeSent, TimeoutError) as error:
        await db(lose_sight, video, str(error) or "no whole answer in time")
    else:
        await _accept_surely(db, video, job)


async def reconcile(video: Video, provider: Provider, db: Database) -> None:
    """Find out whether a request whose answer was lost had arrived; never send again on a guess."""
    if video.channel.honours_idempotency_key:
        if video.is_late:
            await db(fail, video, "unconfirmed", "no answer until the deadline")
        else:
            # The same key (the video's id) and body again: the first job comes back, or this makes it.
            await submit(video, provider, db)
        return
    assert video.posted_at is not None
    waited = (timezone.now() - video.posted_at).total_seconds()
    order = await asyncio.to_thread(order_of, video)
    try:
        # Clocks differ; what is older and somebody's already is not taken anyway.
        found = await provider.find(order, since=video.posted_at - CLOCKS_DIFFER)
        answer = await db(adopt, video, found)
    except Unavailable as error:
        answer = str(error)
    if answer == ADOPTED:
        return
    if waited <= GRACE:
        await db(wait, video, answer)
    elif answer == ABSENT:
        await db(resend, video)
    else:
        await db(fail, video, "unconfirmed", answer)


async def check(video: Video, provider: Provider, db: Database, downloads: asyncio.Semaphore) -> None:
    """Ask how the job stands. Only a definite word of the provider changes anything."""
    assert video.ref is not None
    try:
        job = await provider.check(video.ref)
    except Unavailable as error:
        await db(wait, video, str(error))
        return
    if job.word == "failed":
        await db(fail, video, job.code, job.message)
    elif job.word == "completed":
        if await db(finish, video):
            await save(video, provider, db, downloads)
    else:
        await db(keep_waiting, video, job)


async def save(video: Video, provider: Provider, db: Database, downloads: asyncio.Semaphore) -> None:
    """Bring the file home before the provider's copy expires: stream, check, make a poster, store."""
    assert video.ref is not None
    part = settings.DATA_DIR / "parts" / f"{video.pk}-{uuid.uuid4().hex}.part"
    try:
        async with downloads:
            async with asyncio.timeout(LONGEST_DOWNLOAD):
                await results.download(provider, video.ref, part)
            result = await asyncio.to_thread(results.store, part)
    except (NoFile, media.NotAVideo) as error:
        if video.attempts + 1 >= MOST_BAD_FILES:
            await db(fail, video, "no_file", str(error))
        else:
            await db(wait, video, str(error))
    except (Unavailable, TimeoutError) as error:
        await db(wait, video, str(error) or "the download took too long")
    else:
        if not await db(complete, video, result):
            await asyncio.to_thread(results.discard, result["file"], result["poster"])
    finally:
        part.unlink(missing_ok=True)


# --- The verbs: each one is a move of the row and what follows from it, in one transaction ---------


def intend(video: Video) -> bool:
    """queued | unconfirmed → submitting: from here on a request may be under way.

    `posted_at` is the time of the earliest request whose fate is open.
    """
    posted_at = video.posted_at if video.status == Status.UNCONFIRMED else timezone.now()
    return video.move_to(Status.SUBMITTING, posted_at=posted_at)


def postpone(video: Video, back_to: Status, error: NotSent | Busy) -> bool:
    """submitting → where it came from: nothing was taken now, so asking again later costs nothing.

    `back_to` is queued, or unconfirmed while the fate of an earlier request is still open.
    """
    if video.is_late:
        return fail(video, "timed_out", str(error))
    delay = min(getattr(error, "after", None) or pace.backoff(video), 2 * pace.LONGEST_WAIT)
    return video.move_to(back_to, str(error), attempts=video.attempts + 1, next_at=_in(delay))


def lose_sight(video: Video, why: str) -> bool:
    """submitting → unconfirmed: the request may have arrived, or not."""
    log.warning("%s is unconfirmed: %s", video.pk, why)
    return video.move_to(
        Status.UNCONFIRMED, why, attempts=video.attempts + 1, next_at=_in(pace.backoff(video))
    )


def resend(video: Video) -> bool:
    """unconfirmed → queued: the provider's list shows that the request never arrived."""
    return video.move_to(Status.QUEUED, ABSENT, attempts=0, next_at=Now())


def accept(video: Video, job: JobState) -> bool:
    """submitting | unconfirmed → in_progress, owning the provider's job. False if it is another video's."""
    try:
        return video.move_to(
            Status.IN_PROGRESS,
            ref=job.ref,
            attempts=0,
            accepted_at=timezone.now(),
            progress=job.progress or 0,
            next_at=_in(pace.FIRST_POLL),
        )
    except IntegrityError:
        if Video.objects.filter(channel=video.channel, ref=job.ref).exists():
            return False
        raise


def adopt(video: Video, found: list[JobState]) -> str:
    """unconfirmed → in_progress with the listed job that is this video's: ADOPTED.

    ABSENT if the list shows that there is none; otherwise the reason why nobody can tell. A list does
    not show pictures, so two orders that differ in nothing else could get each other's video.
    """
    owned = set(
        Video.objects.filter(channel=video.channel, ref__in=[job.ref for job in found]).values_list(
            "ref", flat=True
        )
    )
    free = [job for job in found if job.ref not in owned]
    if not free:
        return ABSENT
    rivals = Video.objects.filter(
        channel=video.channel,
        prompt=video.prompt,
        size=video.size,
        seconds=video.seconds,
        status__in=[Status.SUBMITTING, Status.UNCONFIRMED],
    ).exclude(preset=video.preset, upload=video.upload)
    if rivals.exclude(pk=video.pk).exists():
        return "another order differs from this one only in its picture"
    if any(job.is_sure and accept(video, job) for job in free):
        return ADOPTED
    return "a job in the provider's list may be this one"


def keep_waiting(video: Video, job: JobState) -> None:
    """Note the progress, and when to ask next; past the deadline, give up."""
    if video.is_late:
        fail(video, "timed_out", f"still {job.word}")
        return
    progress = max(video.progress, min(job.progress or 0, 99))
    video.progress = progress
    Video.objects.filter(pk=video.pk, moves=video.moves).update(
        progress=progress, attempts=0, next_at=_in(pace.next_poll(video, timezone.now()))
    )


def wait(video: Video, why: str) -> None:
    """Try the same step again later; past the deadline and after some tries in a row, give up."""
    if video.is_late and video.attempts >= LAST_TRIES:
        fail(video, "timed_out", why)
        return
    log.info("%s (%s) waits: %s", video.pk, video.status, why)
    Video.objects.filter(pk=video.pk, moves=video.moves).update(
        attempts=video.attempts + 1, next_at=_in(pace.backoff(video))
    )


def finish(video: Video) -> bool:
    """in_progress → saving: the provider is done."""
    return video.move_to(Status.SAVING, progress=99, attempts=0)


def complete(video: Video, result: dict[str, Any]) -> bool:
    """saving → completed, with the stored file and its facts."""
    return video.move_to(Status.COMPLETED, progress=100, ended_at=timezone.now(), **result)


def fail(video: Video, code: str, detail: str = "") -> bool:
    """Any unfinished state → failed, and the credits go back. True for exactly one caller."""
    with transaction.atomic():
        if not video.move_to(
            Status.FAILED, code, error_code=code, error_detail=detail[:2000], ended_at=timezone.now()
        ):
            return False
        credits.refund(video.user, video.credits, reference=video.reference)
    level = logging.ERROR if code in ("provider_refused", "unconfirmed") else logging.INFO
    log.log(level, "%s failed (%s): %s", video.pk, code, detail)
    return True


def delete(video: Video) -> bool:
    """Remove a finished video from its owner's sight, and its files and words for good.

    The row stays, emptied, because the ledger refers to it; deleting returns no credits. False
    while the video is still being made.
    """
    with transaction.atomic():
        files = [str(file.name) for file in (video.file, video.poster) if file]
        gone = Video.objects.filter(pk=video.pk, deleted_at=None).exclude(status__in=LIVE)
        if not gone.update(deleted_at=timezone.now(), prompt="", file="", poster="", upload=None):
            return False
        if video.upload and not video.upload.videos.exists():
            files.append(str(video.upload.file.name))
            video.upload.delete()
        transaction.on_commit(lambda: results.discard(*files))
    return True


# --- Small parts ----------------------------------------------------------------------------------


def order_of(video: Video) -> Order:
    """What to send: always the same bytes for the same video, since a repeat must be recognisable."""
    width, height = video.wanted_size
    image = None
    if video.upload:
        with video.upload.file.open("rb") as file:
            image = images.fit(file.read(), width, height)
    elif video.preset:
        image = images.fit(presets.presets()[video.preset].file.read_bytes(), width, height)
    return Order(video.model.provider_model, video.prompt, width, height, video.seconds, image)


async def _accept_surely(db: Database, video: Video, job: JobState) -> None:
    """Write down whose job this is, also across a restart of the database: it may be paid for.

    Each try moves a copy, since a commit that fails leaves a moved object behind and an unmoved row.
    """
    for seconds in (0.5, 1, 2, 4):
        try:
            await db(accept, copy(video), job)
        except DatabaseError:
            log.exception("%s: job %s is not written yet", video.pk, job.ref)
            await asyncio.sleep(seconds)
        else:
            return
    await db(accept, copy(video), job)


def _in(seconds: float) -> Any:
    """That many seconds from now by the database's clock, the one that all pumps share."""
    return Now() + timedelta(seconds=seconds)
