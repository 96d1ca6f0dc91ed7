"""Leases: which worker runs a dispatcher, and which videos that dispatcher holds."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from videos import timing
from videos.models import PumpSlot, Status, Video

CLAIM = 500  # videos at a time: what they bring is written before the leases of their dispatcher have to be renewed
FREE = 20_000  # videos of a dispatcher that is gone, at a time
# Dispatchers of one worker; of all workers together on SQLite, where two would only wait for each other's locks.
SLOTS = 1 if connection.vendor == "sqlite" else 2
ACQUIRING = 3_141_592_653  # names the advisory lock of PostgreSQL under which slots are acquired


def worker_name() -> str:
    """The name under which this worker's dispatchers own their slots: set by the supervisor in AIVIDEO_WORKER."""
    return os.environ.get("AIVIDEO_WORKER") or f"{socket.gethostname()}:{os.getpid()}"


def acquire_slot() -> PumpSlot | None:
    """Lease a slot; None if this worker has its SLOTS dispatchers already."""
    if _slots_of_this_worker() >= SLOTS:
        return None
    owner = f"{worker_name()}/{uuid4().hex[:8]}"
    until = Now() + timedelta(seconds=timing.LEASE)
    with transaction.atomic():
        _take_turns()
        if _slots_of_this_worker() >= SLOTS:
            return None
        free = PumpSlot.objects.exclude(_is_live()).order_by("number")
        for number in free.values_list("number", flat=True):
            # Workers of the version before take slots 0 and 1 without waiting for their turn.
            if free.filter(pk=number).order_by().update(owner=owner, until=until):
                return PumpSlot(number=number, owner=owner)
        last = PumpSlot.objects.aggregate(last=Max("number"))["last"]
        slot = PumpSlot(number=0 if last is None else last + 1, owner=owner)
        PumpSlot.objects.create(number=slot.number, owner=owner, until=until)
        return slot


def _slots_of_this_worker() -> int:
    """How many live dispatchers count for SLOTS."""
    live = live_slots()
    if connection.vendor != "sqlite":
        live = live.filter(owner__startswith=f"{worker_name()}/")
    return live.count()


def _take_turns() -> None:
    """Until the end of the transaction, no other process acquires a slot. SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ACQUIRING])


def live_slots(silence: timedelta = timedelta()) -> QuerySet[PumpSlot]:
    """The slots that a dispatcher leases now, or has leased within the time of `silence`."""
    return PumpSlot.objects.filter(_is_live(silence))


def _is_live(silence: timedelta = timedelta()) -> Q:
    # A lease further in the future than any lease can be was written before the clock was set back.
    return Q(until__gt=Now() - silence, until__lte=Now() + timedelta(seconds=2 * timing.LEASE))


def is_leader(slot: PumpSlot) -> bool:
    """Whether no live dispatcher has a lower number. The leader does what one dispatcher alone should do."""
    return not live_slots().filter(number__lt=slot.number).exists()


def release(slot: PumpSlot) -> None:
    """Give a slot back, and with it running jobs that its dispatcher held: up to FREE, and `free_orphans` does the rest."""
    a_moment_ago = Now() - timedelta(seconds=1)  # SQLite's clock has a resolution of milliseconds
    PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(owner="", until=a_moment_ago)
    _make_due(slot.owner)


def forget_old_slots() -> None:
    """Delete slots of which nobody has heard for a day, such as those of machines that are gone."""
    # Workers of the version before make no slots, and need the first two.
    PumpSlot.objects.filter(number__gte=2, until__lt=Now() - timedelta(days=1)).delete()


def free_orphans() -> None:
    """Make running jobs due that are held by dispatchers that are gone, up to FREE of each at a time."""
    live = set(live_slots().values_list("owner", flat=True))
    holder = _next_holder("")
    while holder:
        if holder not in live:
            _make_due(holder)
        holder = _next_holder(holder)


def _next_holder(last: str) -> str | None:
    """By index, past all that the last one holds."""
    later = _held().filter(held_by__gt=last).order_by("held_by")
    return later.values_list("held_by", flat=True).first()


def _held() -> QuerySet[Video]:
    # Worded exactly like the partial index `held`, or SQLite does not use it.
    return Video.objects.extra(where=["ended_at IS NULL AND NOT (held_by = '')"])


def _make_due(owner: str) -> None:
    # Only running jobs are held for longer than LEASE. A row that another session has locked comes later.
    running = _held().filter(held_by=owner, status=Status.IN_PROGRESS).order_by()
    with transaction.atomic(savepoint=False):
        unlocked = running.select_for_update(skip_locked=_can_skip()).values("pk")[:FREE]
        Video.objects.filter(pk__in=unlocked).update(next_attempt_at=Now(), held_by="")


def _can_skip() -> bool:
    return connection.features.has_select_for_update_skip_locked


def revoke_slots(worker: str) -> None:
    """Revoke the slots of a worker's dispatchers: each finishes or cancels its running steps, then stops."""
    PumpSlot.objects.filter(owner__startswith=f"{worker}/").update(owner="", until=timezone.now())


def claim(limit: int, except_of: Sequence[int] = (), holder: str = "") -> list[Video]:
    """Lease up to `limit` due videos to the `holder` and return them, but those `except_of` these channels.

    For LEASE seconds, but running jobs for HOLD, since `free_orphans` makes them due when their holder is gone. Only
    the CLAIMED fields are loaded, which is what polling needs; unconfirmed videos are loaded in full. Queued videos
    are not claimed but admitted (see `admission`).
    """
    skip_locked = "FOR UPDATE SKIP LOCKED" if _can_skip() else ""
    narrowed = f"AND channel_id NOT IN ({', '.join(['%s'] * len(except_of))})" if except_of else ""
    began, now = timing.clock(), timing.database_now()
    hold = timing.HOLD if holder else timing.LEASE
    adapt = connection.ops.adapt_datetimefield_value
    claim = Video.objects.raw(
        f"UPDATE videos_video SET held_by = %s, next_at = CASE WHEN status = '{Status.IN_PROGRESS}' THEN %s ELSE %s END"
        " WHERE id IN (SELECT id FROM videos_video"
        # Worded like the partial index `due`, or SQLite does not use it.
        f" WHERE NOT (status = 'queued') AND next_at <= %s {narrowed}"
        f" ORDER BY next_at LIMIT %s {skip_locked}) RETURNING {CLAIMED}",
        [
            holder,
            *(adapt(now + timedelta(seconds=lease)) for lease in (hold, timing.LEASE)),
            adapt(now),
            *except_of,
            limit,
        ],
    )
    videos = list(claim)
    for video in videos:
        video.held_until = began + hold  # of running jobs
    unconfirmed = [video.pk for video in videos if video.status == Status.UNCONFIRMED]
    if unconfirmed:
        complete = Video.objects.filter(pk__in=unconfirmed).select_related(
            "model", "channel", "upload", "last_frame"
        )
        videos = [video for video in videos if video.status != Status.UNCONFIRMED] + list(complete)
    return videos


CLAIMED = (
    "id, user_id, channel_id, model_id, status, moves, next_at, held_by, ref, attempts, progress, credits, seconds,"
    " created_at, posted_at, accepted_at, deleted_at, error_code, api_key_id, bad_files"
)


def reset_unreachable() -> None:
    """Make videos due now whose next_attempt_at is further away than any backoff: the clock was set back since."""
    too_far = Now() + timedelta(seconds=2 * timing.LONGEST_WAIT + 30)
    Video.objects.live().filter(next_attempt_at__gt=too_far).update(next_attempt_at=Now())


def renew(slot: PumpSlot, video_ids: list[UUID]) -> bool:
    """Renew the lease of a slot and of these videos. False if the slot has been lost."""
    until = Now() + timedelta(seconds=timing.LEASE)
    if not PumpSlot.objects.filter(pk=slot.pk, owner=slot.owner).update(until=until):
        return False
    renew_videos(video_ids)
    return True


def renew_videos(video_ids: list[UUID]) -> None:
    """Renew the leases of these videos."""
    until = Now() + timedelta(seconds=timing.LEASE)
    for start in range(0, len(video_ids), CLAIM):
        held = Video.objects.filter(pk__in=video_ids[start : start + CLAIM])
        with transaction.atomic(savepoint=False):
            unlocked = held.select_for_update(skip_locked=_can_skip()).values("pk")
            # A running job may be leased for longer than a step.
            Video.objects.live().filter(pk__in=unlocked, next_attempt_at__lt=until).update(
                next_attempt_at=until
            )
