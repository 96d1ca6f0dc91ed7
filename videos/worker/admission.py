"""Admission: which queued videos may be submitted now.

A queued video waits until its channel has capacity: fewer running jobs than allowed, fewer submits in
the past minute, credits left in the daily budget, and a closed circuit breaker. The order is fair
between users: every user's first video goes before anybody's second one.
"""

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from django.conf import settings
from django.db import connection, models
from django.db.models import Exists, F, OuterRef, Sum
from django.db.models.functions import Now
from django.utils import timezone

from accounts import utc_days
from videos import timing
from videos.catalogue import breaker
from videos.catalogue.breaker import BREAKS_AFTER
from videos.catalogue.waiting import AT_PROVIDER
from videos.models import Channel, Status, Video, VideoEvent
from videos.moderation import costly_blocks

log = logging.getLogger(__name__)

PLACES_FRESH = 2.0  # seconds
_places: dict[int, tuple[float, dict[UUID, int]]] = {}

# The queue of one channel. A user's running videos there occupy the first turns, so that one number, `turn`,
# implements both the limit per user and the fairness between users. Those at another channel, whose provider may
# hang, hold up nothing here. Each user's are counted by index and no further than to the limit per user, or the choice
# would take longer the more videos run. The places of whoever runs more than that are approximate.
QUEUE = """
    WITH waiters AS MATERIALIZED (
        SELECT DISTINCT user_id AS waiter FROM videos_video
        WHERE ended_at IS NULL AND status = 'queued' AND channel_id = %s
    ), occupied AS MATERIALIZED (
        SELECT waiter, (
            SELECT count(*) FROM (
                SELECT 1 FROM videos_video WHERE ended_at IS NULL AND user_id = waiter AND channel_id = %s
                    AND status IN ('submitting', 'unconfirmed', 'in_progress', 'saving')
                LIMIT %s
            ) AS counted
        ) AS turns FROM waiters
    )
    SELECT id, queued_at, attempts, credits,
        row_number() OVER (PARTITION BY user_id ORDER BY attempts, queued_at, id) + turns AS turn
    FROM videos_video JOIN occupied ON waiter = user_id
    WHERE ended_at IS NULL AND status = 'queued' AND channel_id = %s AND queued_at IS NOT NULL
"""
# Excludes videos that are backing off or have waited for too long.
READY = "AND next_at <= %s AND queued_at > %s"
IN_ORDER = "ORDER BY turn, attempts, queued_at, id"


class Pace:
    """Keeps a dispatcher from spending more than SHARE of its time on the choice among the videos of a long queue."""

    SHARE = 0.05
    LONGEST = 2.0  # seconds between two choices

    def __init__(self) -> None:
        self.not_before: dict[int, float] = {}  # by channel, in monotonic seconds

    def is_time(self, channel_id: int) -> bool:
        return time.monotonic() >= self.not_before.get(channel_id, 0.0)

    def note(self, channel_id: int, began: float) -> None:
        """A choice has been made, which began then."""
        now = time.monotonic()
        self.not_before[channel_id] = now + min((now - began) / self.SHARE, self.LONGEST)


def admit(
    room: int, submitting: Mapping[int, int] = MappingProxyType({}), pace: Pace | None = None
) -> list[Video]:
    """Move queued videos to submitting, in fair order, and return them.

    Each channel has its own `room`, of which it already uses as much as `submitting` says, by primary key. A channel
    for which it is too early by the `pace` has to wait.

    This records the intent to submit and must be committed before the request is sent; if the worker
    crashes after that, the row comes due again after timing.LEASE seconds. Call it in a transaction: it
    locks the channel's row so that concurrent dispatchers cannot exceed the channel's limits together.
    """
    admitted: list[Video] = []
    pace = pace or Pace()
    waiting = Video.objects.filter(status=Status.QUEUED, ended_at=None, channel=OuterRef("pk"))
    for channel_id in Channel.objects.filter(Exists(waiting)).order_by().values_list("pk", flat=True):
        if not pace.is_time(channel_id):
            continue
        # If the row is locked, another dispatcher is admitting videos for this channel.
        unlocked = Channel.objects.select_for_update(skip_locked=_can_skip(), no_key=_can_skip())
        channel = unlocked.filter(pk=channel_id).first()
        if channel is None:
            continue
        began = time.monotonic()
        ids = _choose(channel, room - submitting.get(channel.pk, 0))
        pace.note(channel.pk, began)
        if not ids:
            continue
        _note_submits(channel, len(ids))
        admitted += _take(ids)
    return admitted


def place(video: Video) -> int | None:
    """The position of a queued video in its channel's queue, counted from 1; None if it is not queued.

    All positions of a channel are computed at once and cached for PLACES_FRESH seconds.
    """
    if video.status != Status.QUEUED:
        return None
    expires_at, places = _places.get(video.channel_id, (0.0, {}))
    if time.monotonic() >= expires_at:
        places = _count_places(video.channel_id)
        _places[video.channel_id] = (time.monotonic() + PLACES_FRESH, places)
    return places.get(video.pk)


def room_of(channel: Channel, now: datetime) -> int | None:
    """How many more jobs the channel takes now, by all limits but the daily budget; None if unlimited."""
    if breaker.is_paused(channel, now):
        return 0
    running = Video.objects.filter(channel=channel, ended_at=None).order_by()
    limits: list[int] = []
    if channel.failures >= BREAKS_AFTER:
        # The circuit breaker is half-open: one probe at a time. What was posted before the pause ended is none.
        probes = running.filter(status=Status.SUBMITTING)
        if channel.resumes_at and channel.resumes_at <= now:
            probes = probes.filter(posted_at__gte=channel.resumes_at)
        limits.append(1 - probes.count())
    if channel.max_running is not None:
        limits.append(channel.max_running - running.filter(status__in=AT_PROVIDER).count())
    if channel.max_submits_per_minute is not None:
        limits.append(channel.max_submits_per_minute - len(_past_minute(channel, now)))
    return max(0, min(limits)) if limits else None


def credits_left_today(channel: Channel) -> int | None:
    """Credits left in the channel's budget for today (UTC): budget minus accepted and unsettled videos; None if unlimited."""
    if channel.max_credits_per_day is None:
        return None
    midnight = utc_days.start_of(utc_days.today())
    videos = Video.objects.filter(channel=channel).order_by()
    total = models.functions.Coalesce(Sum("credits"), 0)
    accepted: int = videos.filter(accepted_at__gte=midnight).aggregate(n=total)["n"]
    unsettled = videos.filter(ended_at=None, status__in=[Status.SUBMITTING, Status.UNCONFIRMED])
    reserved: int = unsettled.aggregate(n=total)["n"]
    return channel.max_credits_per_day - accepted - reserved


def _count_places(channel_id: int) -> dict[UUID, int]:
    """The position of every queued video of a channel, counted from 1, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, row_number() OVER ({IN_ORDER}) FROM ({QUEUE}) AS queue", _of_queue(channel_id)
        )
        return {_uuid(pk): place for pk, place in cursor.fetchall()}


def _of_queue(channel_id: int) -> list[int]:
    """The parameters of QUEUE."""
    return [channel_id, channel_id, settings.USER_RUNNING_VIDEOS, channel_id]


def _choose(channel: Channel, room: int) -> list[UUID]:
    now = timezone.now()
    allowed = room_of(channel, now)
    room = room if allowed is None else min(room, allowed)
    if room <= 0:
        return []
    paused = list(costly_blocks.pauses(channel))
    others = f"AND user_id NOT IN ({', '.join(['%s'] * len(paused))})" if paused else ""
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, credits FROM ({QUEUE} {READY} {others}) AS queue WHERE turn <= %s {IN_ORDER} LIMIT %s",
            [
                *_of_queue(channel.pk),
                adapt(timing.database_now()),
                adapt(now - timedelta(seconds=settings.QUEUE_PATIENCE_SECONDS)),
                *paused,
                settings.USER_RUNNING_VIDEOS,
                room,
            ],
        )
        rows = cursor.fetchall()
    left = credits_left_today(channel)
    if left is None:
        return [_uuid(pk) for pk, _credits in rows]
    chosen = []
    for pk, credits in rows:
        left -= credits
        if left < 0:
            break
        chosen.append(_uuid(pk))
    return chosen


def _take(ids: list[UUID]) -> list[Video]:
    now = timezone.now()
    # The UPDATE names the state, so a video that is canceled concurrently is not admitted as well. One that another
    # session has locked keeps its place.
    unlocked = Video.objects.filter(pk__in=ids).select_for_update(skip_locked=_can_skip()).values("pk")
    Video.objects.filter(pk__in=unlocked, status=Status.QUEUED).update(
        status=Status.SUBMITTING,
        version=F("version") + 1,
        posted_at=now,
        next_attempt_at=Now() + timedelta(seconds=timing.LEASE),
    )
    taken = Video.objects.filter(pk__in=ids, status=Status.SUBMITTING, posted_at=now)
    videos = list(taken.select_related("model", "channel", "upload", "last_frame"))
    videos.sort(key=lambda video: ids.index(video.pk))
    VideoEvent.objects.bulk_create(
        VideoEvent(video=video, came_from=Status.QUEUED, went_to=Status.SUBMITTING) for video in videos
    )
    return videos


def _note_submits(channel: Channel, count: int) -> None:
    if channel.max_submits_per_minute is not None:
        now = timezone.now()
        channel.recent_submits = _past_minute(channel, now) + [now.timestamp()] * count
        channel.save(update_fields=["recent_submits"])


def _past_minute(channel: Channel, now: datetime) -> list[float]:
    return [at for at in channel.recent_submits if 0 <= now.timestamp() - at < 60]


def _can_skip() -> bool:
    return connection.features.has_select_for_update_skip_locked


def _uuid(value: UUID | str) -> UUID:
    """SQLite stores UUIDs as text."""
    return value if isinstance(value, UUID) else UUID(value)
