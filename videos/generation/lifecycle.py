"""Every state change of a video: submit → accept → finish → complete | fail | cancel.

Pages, API, admin and worker all call these functions. Each changes the state by `move_to` and does what
follows from it, such as a refund, in the same transaction; each is safe to run twice, concurrently, on
any machine. What the dispatcher does at a provider between two of them is in `worker.steps`.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import credits, fast_sql, locks
from accounts.models import User
from videos import event_log, queue, timing
from videos.catalogue import routing
from videos.media import sprite_sheets, storage
from videos.models import LIVE, REFUNDED_BY_STAFF, REFUSED_BY, Offer, Status, Video, VideoEvent
from videos.providers.base import Busy, Found, JobState, NotSent
from videos.webhooks import outbox

log = logging.getLogger(__name__)

ADOPTED, ABSENT = "adopted", "not in the provider's list"
LATE_WATCH = timedelta(hours=6)  # after the deadline; providers rarely keep files longer
LOCK_WAIT = 0.05  # seconds for one account among many, as short as worker.write_queue's
MAX_BAD_FILES = 6  # then the provider's "completed" is no longer trusted
LAST_TRIES = 5  # attempts after the deadline, so that one hiccup does not lose a job that was done in time


def mark_submitting(video: Video) -> bool:
    """queued | unconfirmed → submitting: from here on a request may be in flight (see also `admission.admit`).

    `posted_at` is the time of the earliest request whose outcome is unknown.
    """
    posted_at = video.posted_at if video.status == Status.UNCONFIRMED else timezone.now()
    return video.move_to(
        Status.SUBMITTING, posted_at=posted_at, next_attempt_at=_seconds_from_now(timing.LEASE)
    )


@transaction.atomic(savepoint=False)
def renew_leases(requests: list[tuple[Video, Status]]) -> list[bool]:
    """Renew the leases of submitting videos right before their requests; with each, the state from which it came.

    False for a video whose lease has expired, or that has changed state or holder. It may have waited since it was
    admitted, so the request counts as posted now, unless an earlier one is still unknown. Takes many videos per call,
    because this stands between every order and its request.
    """
    now, posted_at = timing.database_now(), timezone.now()
    until = now + timedelta(seconds=timing.LEASE)
    leased = Video.objects.filter(
        pk__in=[video.pk for video, _ in requests], status=Status.SUBMITTING, next_attempt_at__gt=now
    )
    # Its keys do not change, so events that refer to it may be written meanwhile.
    leased = leased.select_for_update(no_key=connection.features.has_select_for_no_key_update)
    found = leased.values_list("pk", "version", "held_by")
    rows = {pk: (version, holder) for pk, version, holder in found}
    renewed = [rows.get(video.pk) == (video.version, video.held_by) for video, _ in requests]
    ours = [request for request, is_ours in zip(requests, renewed, strict=True) if is_ours]
    repeated = [video.pk for video, came_from in ours if came_from == Status.UNCONFIRMED]
    first_requests = [video for video, came_from in ours if came_from != Status.UNCONFIRMED]
    Video.objects.filter(pk__in=repeated).update(next_attempt_at=until)
    Video.objects.filter(pk__in=[video.pk for video in first_requests]).update(
        next_attempt_at=until, posted_at=posted_at
    )
    for video in first_requests:
        video.posted_at = posted_at
    return renewed


renew_leases.for_many = True  # type: ignore[attr-defined]  # read by worker.write_queue


def postpone(video: Video, back_to: Status, error: NotSent | Busy) -> bool:
    """submitting → `back_to`: the provider accepted nothing, so a retry after a backoff is safe.

    `back_to` is queued, or unconfirmed if the outcome of an earlier request is still unknown.
    """
    if timezone.now() > video.deadline_in(back_to):
        code = "not_started" if back_to == Status.QUEUED else "timed_out"
        return fail(video, code, str(error))
    delay = timing.backoff(video, error.after if isinstance(error, Busy) else None)
    return video.move_to(
        back_to, str(error), attempts=video.attempts + 1, next_attempt_at=_seconds_from_now(delay)
    )


def reroute_or_postpone(video: Video, back_to: Status, error: NotSent | Busy) -> bool:
    """submitting → queued at another channel of the model if one is available now; otherwise `postpone`."""
    is_late = timezone.now() > video.deadline_in(back_to)
    if back_to == Status.QUEUED and not is_late and (offer := routing.next_after(video)):
        return reroute(video, offer, str(error))
    return postpone(video, back_to, error)


def reroute(video: Video, offer: Offer, reason: str) -> bool:
    """submitting → queued at another channel, due at once. Only if its channel definitely did not accept it."""
    rerouted = video.move_to(
        Status.QUEUED,
        reason,
        channel_id=offer.channel_id,
        provider_model=offer.provider_model,
        attempts=video.attempts + 1,
        next_attempt_at=_seconds_from_now(0),
    )
    if rerouted:
        event_log.went_on(video, offer.channel, reason)
    return rerouted


def reject(video: Video, code: str, reason: str) -> bool:
    """submitting → failed: its provider will never accept it. If it refused us (bad key, no balance), try another channel."""
    if code == "provider_refused" and (offer := routing.next_after(video)):
        log.error("%s refused %s: %s", video.channel, video.public_id, reason)
        return reroute(video, offer, f"{REFUSED_BY}{video.channel}: {reason}")
    return fail(video, code, reason)


def mark_unconfirmed(video: Video, reason: str) -> bool:
    """submitting → unconfirmed: the request may have arrived, or not."""
    return video.move_to(
        Status.UNCONFIRMED,
        reason,
        attempts=video.attempts + 1,
        next_attempt_at=_seconds_from_now(timing.backoff(video)),
    )


def requeue(video: Video) -> bool:
    """unconfirmed → queued: the provider's job list shows that the request never arrived."""
    return video.move_to(Status.QUEUED, ABSENT, attempts=0, next_attempt_at=_seconds_from_now(0))


def accept(video: Video, job: JobState) -> bool:
    """submitting → in_progress with the job that the provider returned for this video's own request.

    The reply is accepted whoever holds the row by now: another dispatcher may have considered the request lost
    and even decided to resend it. False if the video can no longer take the job, which is then paid for but orphaned.
    """
    if _own_job(video, job):
        return True
    current = Video.objects.get(pk=video.pk)
    if current.ref == job.ref:  # an earlier call was committed although it seemed to fail
        return True
    if current.ref is None and current.channel_id == video.channel_id and _own_job(current, job):
        return True
    log.error(
        "%s: job %s was bought at channel %s but has no video: the video is %s.",
        video.public_id,
        job.ref,
        video.channel_id,
        current.status,
    )
    return False


def _own_job(video: Video, job: JobState) -> bool:
    """queued | submitting | unconfirmed → in_progress with this job. False if it is another video's."""
    # Concurrent claims of one job hit the unique constraint; the loser retries and finds the winner here.
    others = "SELECT id FROM videos_video WHERE channel_id = %s AND ref = %s AND id <> %s"
    if fast_sql.first(Video, others, [video.channel_id, job.ref, fast_sql.raw_key(Video, video.pk)]):
        return False
    with transaction.atomic(savepoint=False):
        if not video.move_to(
            Status.IN_PROGRESS,
            ref=job.ref,
            attempts=0,
            accepted_at=timezone.now(),
            progress=job.progress or 0,
            next_attempt_at=_seconds_from_now(timing.FIRST_POLL),
        ):
            return False
        _announce_start(video)
    return True


def _announce_start(video: Video) -> None:
    """Announce that the video has started. The job is bought: an event that fails must not roll back its record."""
    if not video.api_key_id:
        return
    try:
        with transaction.atomic():
            outbox.announce(video)
    except Exception:
        if transaction.get_rollback():  # the connection is broken, and with it the record of the job
            raise
        log.exception("%s: the event that it has started could not be written", video.public_id)


def adopt(video: Video, found: Found) -> str:
    """unconfirmed → in_progress with the job from the provider's list that is this video's. Returns ADOPTED.

    Returns ABSENT if the list proves that there is no such job, otherwise the reason why it is inconclusive. A list
    does not show pictures or seeds, so orders that differ only in those could be given each other's job.
    """
    refs = [job.ref for job in found.jobs]
    owned = set(Video.objects.filter(channel=video.channel, ref__in=refs).values_list("ref", flat=True))
    free = [job for job in found.jobs if job.ref not in owned]
    if not free:
        return found.doubt or ABSENT
    rivals = Video.objects.filter(
        channel=video.channel,
        prompt=video.prompt,
        size=video.size,
        seconds=video.seconds,
        status__in=[Status.SUBMITTING, Status.UNCONFIRMED],
    ).exclude(preset=video.preset, upload=video.upload, last_frame=video.last_frame, extras=video.extras)
    if rivals.exclude(pk=video.pk).exists():
        return "another order differs from this one only in what a list does not show"
    if any(job.is_sure and _own_job(video, job) for job in free):
        return ADOPTED
    return "a job in the provider's list may be this one"


def retry_later(video: Video, reason: str) -> None:
    """Retry the same step after a backoff; fail after LAST_TRIES attempts in a row once past the deadline."""
    if video.status == Status.FAILED:
        watch_late_job(video)
        return
    if video.status in LIVE and video.is_late and video.attempts >= LAST_TRIES:
        fail(video, "timed_out", reason)
        return
    log.info("%s (%s) will retry: %s", video.public_id, video.status, reason)
    changes: dict[str, int | datetime | None] = {"attempts": video.attempts + 1}
    changes["next_attempt_at"] = _seconds_from_now(timing.backoff(video)) if video.status in LIVE else None
    now = timezone.now()
    if video.posted_at and video.posted_at > now:
        # The clock was set back since; waits counted from posted_at would take that much longer.
        changes["posted_at"] = now
    Video.objects.filter(pk=video.pk, version=video.version).update(**changes)


def finish(video: Video, cost: Decimal | None = None) -> bool:
    """in_progress → saving: the provider is done. failed → saving if it finished after the timeout and its refund.

    `cost` is what the provider reports, in US dollars; if None, it is computed from the catalog's cost per second.
    """
    is_free = video.status == Status.FAILED
    return video.move_to(
        Status.SAVING,
        "finished after the deadline" if is_free else "",
        progress=99,
        attempts=0,
        bad_files=0,
        next_attempt_at=_seconds_from_now(timing.LEASE),
        is_free=is_free,
        ended_at=None,
        error_code="",
        cost=_cost(video) if cost is None else cost,
    )


def refuse_file(video: Video, reason: str) -> None:
    """saving: the provider has no file, or it is no video. Fail after MAX_BAD_FILES, else download it again later.

    Only answers about the file count. A provider that is away, or a decoder that dies, says nothing about it.
    """
    if video.bad_files + 1 >= MAX_BAD_FILES:
        fail(video, "no_file", reason)
        return
    refused = Video.objects.filter(pk=video.pk, version=video.version).update(bad_files=F("bad_files") + 1)
    if refused:
        retry_later(video, reason)


def complete(video: Video, result: storage.Stored) -> bool:
    """saving → completed, with the stored file and its facts. On False, the caller discards the file.

    Also True if the video already has this very file: an earlier call was committed although it seemed to fail.
    """
    with transaction.atomic(savepoint=False):
        if video.move_to(
            Status.COMPLETED,
            progress=100,
            attempts=0,
            ended_at=timezone.now(),
            next_attempt_at=None,
            **result,
        ):
            outbox.announce(video)
            return True
    return Video.objects.filter(pk=video.pk, file=result["file"]).exists()


def fail(video: Video, code: str, detail: str = "", note: str = "") -> bool:
    """Any unfinished state → failed, with a refund. True for exactly one caller.

    `detail` is for staff; `note` is shown to the owner with the refund. A job that timed out at its provider is
    polled for another LATE_WATCH: see `finish`.
    """
    return video.status in LIVE and _fail(video, code, detail, note)


def fail_unplayable(video: Video, detail: str) -> bool:
    """completed → failed, with a refund: the delivered file does not play."""
    return video.status == Status.COMPLETED and _fail(video, "no_file", detail)


def refund_completed(video: Video, note: str = "") -> bool:
    """Refund a completed video, at the discretion of staff; it stays completed. True for exactly one caller.

    `note` is shown to the owner with the refund.
    """
    with transaction.atomic():
        if not Video.objects.paid_for().filter(pk=video.pk).update(is_free=True, version=F("version") + 1):
            return False
        VideoEvent.objects.create(
            video=video, came_from=Status.COMPLETED, went_to=Status.COMPLETED, reason=REFUNDED_BY_STAFF
        )
        credits.refund(video.user, video.credits, reference=video.reference, note=note)
    return True


def retry_now(video: Video) -> bool:
    """Make a waiting video due now; one that timed out is polled once more. False if nothing is waiting.

    Submitting videos are left alone: such a row must come due only by an expired lease.
    """
    with transaction.atomic():
        if (
            not Video.objects.waiting()
            .filter(pk=video.pk)
            .update(next_attempt_at=_seconds_from_now(0), attempts=0)
        ):
            return False
        queue.wake_worker(video)()
    return True


def _fail(video: Video, code: str, detail: str, note: str = "") -> bool:
    is_watched = code == "timed_out" and video.ref is not None
    with transaction.atomic(savepoint=False):
        if not video.move_to(
            Status.FAILED,
            code,
            error_code=code,
            error_detail=detail[:2000],
            ended_at=timezone.now(),
            next_attempt_at=_seconds_from_now(timing.LONGEST_WAIT) if is_watched else None,
            is_free=False,
        ):
            return False
        credits.refund(video.user, video.credits, reference=video.reference, note=note)
        outbox.announce(video)
        if code == "stopped":
            queue.cancel_later(video)
    return True


def watch_late_job(video: Video) -> None:
    """Schedule another poll of a job that timed out, unless LATE_WATCH is over or its owner deleted the video.

    A video that failed for another reason has nothing to poll; it gets here if a step broke right after it failed.
    """
    is_watched = video.error_code == "timed_out" and video.ref is not None
    is_over = timezone.now() > video.deadline + LATE_WATCH or video.deleted_at is not None
    Video.objects.filter(pk=video.pk, version=video.version).update(
        next_attempt_at=_seconds_from_now(timing.LONGEST_WAIT) if is_watched and not is_over else None
    )
    if is_watched and is_over:
        queue.cancel_later(video)


def stop_watching(video: Video) -> None:
    """Stop polling a job that timed out: its provider reported that it failed."""
    Video.objects.filter(pk=video.pk, version=video.version).update(next_attempt_at=None)


def attach_poster(video: Video, poster: str) -> bool:
    """Record the stored poster of a completed video. False if the video is deleted or has another poster."""
    wanting = Video.objects.filter(
        pk=video.pk, version=video.version, deleted_at=None, poster__in=["", poster]
    )
    return bool(wanting.update(poster=poster))


def time_out_overdue(limit: int = 100) -> None:
    """Fail videos that have waited in the queue for too long, and cancel those whose owner has a debt."""
    late = Video.objects.live().late().filter(status=Status.QUEUED)
    _for_each_unlocked(late[:limit], lambda video: fail(video, "not_started"))
    debtors = User.objects.filter(debt__gt=0)
    waiting = Video.objects.filter(status=Status.QUEUED, ended_at=None, user__in=debtors)
    _for_each_unlocked(waiting[:limit], partial(cancel, by_owner=False))


def cancel(video: Video, *, by_owner: bool = True) -> bool:
    """queued → canceled, with a refund. False once it is being submitted.

    What its owner cancels returns credits that keep their expiry: see `credits.refund`.
    """
    with transaction.atomic():
        if not video.move_to(Status.CANCELED, ended_at=timezone.now(), next_attempt_at=None):
            return False
        credits.refund(video.user, video.credits, reference=video.reference, is_canceled=by_owner)
        outbox.announce(video)
    return True


def delete(video: Video) -> bool:
    """Delete a finished video: hide it from its owner, and erase its files and texts for good.

    The emptied row stays because the ledger refers to it. Deleting refunds nothing. False if the video is
    unfinished or already deleted.
    """
    with transaction.atomic():
        files = [str(file.name) for file in (video.file, video.poster) if file]
        if video.file:
            files.append(sprite_sheets.name_of(str(video.file.name)))
        deletable = Video.objects.filter(pk=video.pk, deleted_at=None).exclude(status__in=LIVE)
        if not deletable.update(
            deleted_at=timezone.now(),
            prompt="",
            extras={},
            metadata={},
            webhook_url="",
            file="",
            poster="",
            upload=None,
            last_frame=None,
            next_attempt_at=None,
            version=F("version") + 1,
        ):
            return False
        for picture in {video.upload, video.last_frame}:
            if not picture or picture.is_file:
                continue
            if not picture.videos.exists() and not picture.ended_videos.exists():
                files.append(str(picture.file.name))
                picture.delete()
        outbox.redact_video(video)
        if video.next_attempt_at is not None:  # only a job that timed out is still polled after its end
            queue.cancel_later(video)
        transaction.on_commit(lambda: storage.discard(*files))
    return True


# --- Small parts ----------------------------------------------------------------------------------


def _for_each_unlocked(videos: Iterable[Video], end: Callable[[Video], bool]) -> None:
    """End each video, but those of accounts that another session has locked, which come later."""
    locked: set[int] = set()
    for video in videos:
        if video.user_id not in locked and not locks.attempt(partial(end, video), LOCK_WAIT):
            locked.add(video.user_id)


def _cost(video: Video) -> Decimal | None:
    sql = "SELECT id, cost_a_second FROM videos_offer WHERE model_id = %s AND channel_id = %s"
    offer = fast_sql.first(Offer, sql, [video.model_id, video.channel_id])
    return offer.cost_of(video.seconds) if offer else None


def _seconds_from_now(seconds: float) -> datetime:
    """A time `seconds` from now by the database's clock, which all dispatchers share."""
    return timing.database_now() + timedelta(seconds=seconds)
