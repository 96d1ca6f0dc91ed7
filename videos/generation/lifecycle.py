"""The story of a video: start → intend → accept → finish → complete | fail | cancel.

Page, API, admin and worker all call these verbs. Each moves a row by `move_to` and does what follows
from it in the same transaction; each may run twice, at any time, on any machine. What a pump does at
a provider between two verbs is in `steps`.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import credits
from accounts.models import User
from videos import event_log, queue, timing
from videos.catalogue import routing
from videos.media import sprite_sheets, storage
from videos.models import FORGIVEN, LIVE, REFUSED_BY, Offer, Status, Video, VideoEvent
from videos.providers.base import Busy, Found, JobState, NotSent
from videos.webhooks import outbox

log = logging.getLogger(__name__)

ADOPTED, ABSENT = "adopted", "not in the provider's list"
LATE_WATCH = timedelta(hours=6)  # after the deadline; files of finished jobs rarely live longer
LAST_TRIES = 5  # a job that was done in time is not lost to one hiccup after the deadline


def mark_submitting(video: Video) -> bool:
    """queued | unconfirmed → submitting: from here on a request may be under way (see limits.admit as well).

    `posted_at` is the time of the earliest request whose fate is open.
    """
    posted_at = video.posted_at if video.status == Status.UNCONFIRMED else timezone.now()
    return video.move_to(
        Status.SUBMITTING, posted_at=posted_at, next_attempt_at=_seconds_from_now(timing.LEASE)
    )


def renew_lease(video: Video) -> bool:
    """Prolong the lease of a video that is submitting. False if it has ended, or somebody else moved the video on."""
    now = timing.database_now()
    held = Video.objects.filter(
        pk=video.pk, version=video.version, status=Status.SUBMITTING, next_attempt_at__gt=now
    )
    return bool(held.update(next_attempt_at=now + timedelta(seconds=timing.LEASE)))


def postpone(video: Video, back_to: Status, error: NotSent | Busy) -> bool:
    """submitting → where it came from: nothing was taken now, so asking again later costs nothing.

    `back_to` is queued, or unconfirmed while the fate of an earlier request is still open.
    """
    if video.is_late:
        return fail(video, "timed_out", str(error))
    delay = timing.backoff(video, error.after if isinstance(error, Busy) else None)
    return video.move_to(
        back_to, str(error), attempts=video.attempts + 1, next_attempt_at=_seconds_from_now(delay)
    )


def reroute_or_postpone(video: Video, back_to: Status, error: NotSent | Busy) -> bool:
    """submitting → queued at another channel of the model, where one takes it now; else it waits, as in `postpone`."""
    if back_to == Status.QUEUED and not video.is_late and (offer := routing.next_after(video)):
        return reroute(video, offer, str(error))
    return postpone(video, back_to, error)


def reroute(video: Video, offer: Offer, why: str) -> bool:
    """submitting → queued at another channel, which is asked at once: this one surely took nothing."""
    went_on = video.move_to(
        Status.QUEUED,
        why,
        channel_id=offer.channel_id,
        provider_model=offer.provider_model,
        attempts=video.attempts + 1,
        next_attempt_at=_seconds_from_now(0),
    )
    if went_on:
        event_log.went_on(video, offer.channel, why)
    return went_on


def reject(video: Video, code: str, why: str) -> bool:
    """submitting → failed, since its provider will never make it; or → queued where another channel lets us in."""
    if code == "provider_refused" and (offer := routing.next_after(video)):
        log.error("%s refused %s: %s", video.channel, video.public_id, why)
        return reroute(video, offer, f"{REFUSED_BY}{video.channel}: {why}")
    return fail(video, code, why)


def mark_unconfirmed(video: Video, why: str) -> bool:
    """submitting → unconfirmed: the request may have arrived, or not."""
    return video.move_to(
        Status.UNCONFIRMED,
        why,
        attempts=video.attempts + 1,
        next_attempt_at=_seconds_from_now(timing.backoff(video)),
    )


def requeue(video: Video) -> bool:
    """unconfirmed → queued: the provider's list shows that the request never arrived."""
    return video.move_to(Status.QUEUED, ABSENT, attempts=0, next_attempt_at=_seconds_from_now(0))


def accept(video: Video, job: JobState) -> bool:
    """submitting → in_progress, owning the job that the provider answered this video's own request with.

    The answer counts whoever holds the row by now: another pump may have taken the request for lost meanwhile,
    and even decided to send it again. False for a job that the video can no longer have: it is paid, and nobody's.
    """
    if _own_job(video, job):
        return True
    now = Video.objects.get(pk=video.pk)
    if now.ref == job.ref:  # an earlier call was committed although its caller saw it fail
        return True
    if now.ref is None and now.channel_id == video.channel_id and _own_job(now, job):
        return True
    log.error(
        "%s: job %s was bought at %s and is nobody's: the video is %s.",
        video.public_id,
        job.ref,
        video.channel_id,
        now.status,
    )
    return False


def _own_job(video: Video, job: JobState) -> bool:
    """queued | submitting | unconfirmed → in_progress with this job. False if it is another video's."""
    # Two at once meet the constraint; the loser is asked again, and finds the winner here.
    if Video.objects.filter(channel=video.channel, ref=job.ref).exclude(pk=video.pk).exists():
        return False
    return video.move_to(
        Status.IN_PROGRESS,
        ref=job.ref,
        attempts=0,
        accepted_at=timezone.now(),
        progress=job.progress or 0,
        next_attempt_at=_seconds_from_now(timing.FIRST_POLL),
    )


def adopt(video: Video, found: Found) -> str:
    """unconfirmed → in_progress with the listed job that is this video's: ADOPTED.

    ABSENT if the list shows that there is none; otherwise the reason why nobody can tell. A list does
    not show pictures or seeds, so two orders that differ in nothing else could get each other's video.
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


def record_progress(news: list[tuple[Video, JobState]]) -> None:
    """Note the progress of running jobs, and when to ask next; past the deadline, give up.

    For many at a time, because this is what a pump does most.
    """
    now, database_now = timezone.now(), timing.database_now()
    adapt = connection.ops.adapt_datetimefield_value
    rows, tenths = [], []
    for video, job in news:
        if video.status == Status.FAILED:
            _watch_late_job(video)
        elif video.is_late:
            fail(video, "timed_out", f"still {job.word}")
        else:
            before, video.progress = video.progress, max(video.progress, min(job.progress or 0, 99))
            if video.progress // 10 > before // 10:
                tenths.append((video, video.progress // 10 * 10))
            next_attempt_at = database_now + timedelta(seconds=timing.next_poll(video, now))
            rows.append(
                (video.progress, adapt(database_now), adapt(next_attempt_at), _key(video), video.version)
            )
    with connection.cursor() as cursor:
        # Who is due although a pump has it, had a webhook meanwhile: this answer may be older than that.
        cursor.executemany(
            "UPDATE videos_video SET progress = %s, attempts = 0,"
            " next_at = CASE WHEN next_at > %s THEN %s ELSE next_at END WHERE id = %s AND moves = %s",
            rows,
        )
    event_log.progressed(tenths)


record_progress.for_many = True  # type: ignore[attr-defined]


def retry_later(video: Video, why: str) -> None:
    """Try the same step again later; past the deadline and after some tries in a row, give up."""
    if video.status == Status.FAILED:
        _watch_late_job(video)
        return
    if video.status in LIVE and video.is_late and video.attempts >= LAST_TRIES:
        fail(video, "timed_out", why)
        return
    log.info("%s (%s) waits: %s", video.public_id, video.status, why)
    changes: dict[str, Any] = {"attempts": video.attempts + 1}
    changes["next_attempt_at"] = _seconds_from_now(timing.backoff(video)) if video.status in LIVE else None
    now = timezone.now()
    if video.posted_at and video.posted_at > now:
        # Under a clock that has been set back since: what is counted from it would take as much longer.
        changes["posted_at"] = now
    Video.objects.filter(pk=video.pk, version=video.version).update(**changes)


def finish(video: Video, cost: Decimal | None = None) -> bool:
    """in_progress → saving: the provider is done. Failed → saving, when it finished after the deadline's refund.

    `cost` is what the provider says it took, in US dollars; else what staff noted is reckoned with.
    """
    is_free = video.status == Status.FAILED
    return video.move_to(
        Status.SAVING,
        "finished after the deadline" if is_free else "",
        progress=99,
        attempts=0,
        next_attempt_at=_seconds_from_now(timing.LEASE),
        is_free=is_free,
        ended_at=None,
        error_code="",
        cost=_cost(video) if cost is None else cost,
    )


def complete(video: Video, result: dict[str, Any]) -> bool:
    """saving → completed, with the stored file and its facts.

    True as well when this very file is the video's already: an earlier call was committed although its
    caller saw it fail. Who hears False throws the file away.
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
    """Any unfinished state → failed, and the credits go back. True for exactly one caller.

    `detail` is for staff; its owner reads `note` beside the credits. A job that timed out at its provider
    is looked after for some time more: see `finish`.
    """
    return video.status in LIVE and _fail(video, code, detail, note)


def fail_unplayable(video: Video, detail: str) -> bool:
    """completed → failed, and the credits go back: the file that was delivered does not play."""
    return video.status == Status.COMPLETED and _fail(video, "no_file", detail)


def refund_completed(video: Video, note: str = "") -> bool:
    """completed stays so, and its credits go back: staff find that it was not worth them. True for one caller.

    Its owner reads `note` beside the credits.
    """
    with transaction.atomic():
        if not Video.objects.paid_for().filter(pk=video.pk).update(is_free=True, version=F("version") + 1):
            return False
        VideoEvent.objects.create(
            video=video, came_from=Status.COMPLETED, went_to=Status.COMPLETED, reason=FORGIVEN
        )
        credits.refund(video.user, video.credits, reference=video.reference, note=note)
    return True


def retry_now(video: Video) -> bool:
    """Make a waiting video due now; of one that timed out, its provider is asked once more. False where nothing waits.

    Who is submitting is left alone: that row is due only when somebody died.
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
    watched = code == "timed_out" and video.ref is not None
    with transaction.atomic(savepoint=False):
        if not video.move_to(
            Status.FAILED,
            code,
            error_code=code,
            error_detail=detail[:2000],
            ended_at=timezone.now(),
            next_attempt_at=_seconds_from_now(timing.LONGEST_WAIT) if watched else None,
            is_free=False,
        ):
            return False
        credits.refund(video.user, video.credits, reference=video.reference, note=note)
        outbox.announce(video)
        if code == "stopped":
            queue.cancel_later(video)
    return True


def _watch_late_job(video: Video) -> None:
    """Ask about a job that timed out once more, unless it is too long ago or its owner deleted it.

    A video that failed otherwise has nothing to be asked about: it comes here when something broke right after its end.
    """
    is_watched = video.error_code == "timed_out" and video.ref is not None
    over = timezone.now() > video.deadline + LATE_WATCH or video.deleted_at is not None
    Video.objects.filter(pk=video.pk, version=video.version).update(
        next_attempt_at=_seconds_from_now(timing.LONGEST_WAIT) if is_watched and not over else None
    )
    if is_watched and over:
        queue.cancel_later(video)


def stop_watching(video: Video) -> None:
    """Stop watching a job that timed out: its provider says that it failed."""
    Video.objects.filter(pk=video.pk, version=video.version).update(next_attempt_at=None)


def attach_poster(video: Video, poster: str) -> bool:
    """Note the stored poster of a completed video. False if it is deleted, or has another one."""
    shown = Video.objects.filter(pk=video.pk, version=video.version, deleted_at=None, poster__in=["", poster])
    return bool(shown.update(poster=poster))


def time_out_overdue(limit: int = 100) -> None:
    """Give up videos whose turn never came before their deadline, and those whose owner owes credits."""
    for video in Video.objects.live().late().filter(status=Status.QUEUED)[:limit]:
        fail(video, "timed_out", "its turn never came")
    debtors = User.objects.filter(debt__gt=0)
    for video in Video.objects.filter(status=Status.QUEUED, ended_at=None, user__in=debtors)[:limit]:
        cancel(video)


def cancel(video: Video) -> bool:
    """queued → canceled, and the credits go back. False once it is on its way to a provider."""
    with transaction.atomic():
        if not video.move_to(Status.CANCELED, ended_at=timezone.now(), next_attempt_at=None):
            return False
        credits.refund(video.user, video.credits, reference=video.reference)
        outbox.announce(video)
    return True


def delete(video: Video) -> bool:
    """Remove a finished video from its owner's sight, and its files and words for good.

    The row stays, emptied, because the ledger refers to it; deleting returns no credits. False
    while the video is still being made.
    """
    with transaction.atomic():
        files = [str(file.name) for file in (video.file, video.poster) if file]
        if video.file:
            files.append(sprite_sheets.name_of(str(video.file.name)))
        gone = Video.objects.filter(pk=video.pk, deleted_at=None).exclude(status__in=LIVE)
        if not gone.update(
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
            if picture and not picture.videos.exists() and not picture.ended_videos.exists():
                files.append(str(picture.file.name))
                picture.delete()
        outbox.redact_video(video)
        if video.next_attempt_at is not None:  # of what has ended, only a job that timed out is still watched
            queue.cancel_later(video)
        transaction.on_commit(lambda: storage.discard(*files))
    return True


# --- Small parts ----------------------------------------------------------------------------------


def _cost(video: Video) -> Decimal | None:
    offer = Offer.objects.filter(model=video.model_id, channel=video.channel_id).first()
    return offer.cost_of(video.seconds) if offer else None


def _key(video: Video) -> Any:
    """The primary key as raw SQL takes it."""
    return Video._meta.pk.get_db_prep_value(video.pk, connection)


def _seconds_from_now(seconds: float) -> datetime:
    """That many seconds from now by the database's clock, the one that all pumps share."""
    return timing.database_now() + timedelta(seconds=seconds)
