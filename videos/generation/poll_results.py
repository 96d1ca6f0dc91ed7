"""What a poll of an unfinished job says, and until when its dispatcher holds it."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from accounts import fast_sql
from videos import event_log, timing
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.providers.base import JobState

# A claim may have read the row before an earlier answer was recorded.
FORWARD = "progress = CASE WHEN progress > %s THEN progress ELSE %s END"


def record(updates: list[tuple[Video, JobState]]) -> list[None]:
    """Record the progress of running jobs and until when they are held; fail those past their deadline.

    A job that a dispatcher holds is polled by the dispatcher's own schedule, so its row stays leased for HOLD seconds. If
    it is not held any more, since its state has changed or somebody has made it due, `held_by` of the object is emptied.
    Takes many videos per call, because this is the dispatcher's most frequent write.
    """
    began, now, database_now = timing.clock(), timezone.now(), timing.database_now()
    adapt = connection.ops.adapt_datetimefield_value
    renewed, progressed, running, tenths = [], [], [], []
    for video, job in updates:
        if _settle_if_over(video, job):
            continue
        before, video.progress = video.progress, progress_after(video, job)
        if video.progress // 10 > before // 10:
            tenths.append((video, video.progress // 10 * 10))
        row = (fast_sql.raw_key(Video, video.pk), video.version, video.held_by)
        delay = timing.next_poll(video, now)
        if timing.is_held_beyond(video, delay) and not video.attempts:
            progressed.append((video.progress, video.progress, *row))
        else:
            lease = timing.HOLD if video.held_by else delay
            video.attempts, video.held_until = 0, began + lease
            until = database_now + timedelta(seconds=lease)
            renewed.append((video.progress, video.progress, adapt(database_now), adapt(until), *row))
        running.append(video)
    with connection.cursor() as cursor:
        # A leased video that is due again got a webhook meanwhile, and this answer may be older: keep it due.
        cursor.executemany(
            f"UPDATE videos_video SET {FORWARD}, attempts = 0,"
            " next_at = CASE WHEN next_at > %s THEN %s ELSE next_at END"
            " WHERE id = %s AND moves = %s AND held_by = %s",
            renewed,
        )
        # No index has the progress, so PostgreSQL leaves the indexes alone.
        cursor.executemany(
            f"UPDATE videos_video SET {FORWARD} WHERE id = %s AND moves = %s AND held_by = %s", progressed
        )
    _forget_lost([video for video in running if video.held_by], database_now)
    event_log.progressed(tenths)
    return [None] * len(updates)


record.for_many = True  # type: ignore[attr-defined]  # read by worker.write_queue


def progress_after(video: Video, job: JobState) -> int:
    """The progress to show, in per cent: it never goes back, and is not 100 before the end."""
    return max(video.progress, min(job.progress or 0, 99))


def _settle_if_over(video: Video, job: JobState) -> bool:
    """Do what follows if nobody waits for this job any more, or only its late result counts; whether that is so."""
    if video.status == Status.FAILED:
        lifecycle.watch_late_job(video)
        return True
    if video.is_late:
        if not lifecycle.fail(video, "timed_out", f"still {job.status}"):
            video.held_by = ""  # it has changed
        return True
    return False


def _forget_lost(videos: list[Video], now: datetime) -> None:
    """Empty `held_by` of those that are due, changed or held by another dispatcher by now."""
    if not videos:
        return
    leased = Video.objects.filter(pk__in=[video.pk for video in videos], next_attempt_at__gt=now)
    rows = {pk: (version, holder) for pk, version, holder in leased.values_list("pk", "version", "held_by")}
    for video in videos:
        if rows.get(video.pk) != (video.version, video.held_by):
            video.held_by = ""
