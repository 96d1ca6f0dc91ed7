"""Leases: which worker runs a dispatcher, and which videos that dispatcher holds."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from videos import timing
from videos.models import PumpSlot, Status, Video

CLAIM = 2000  # videos at a time
# Two dispatchers on one SQLite file would only wait for each other's locks.
SLOTS = 1 if connection.vendor == "sqlite" else 2


def worker_name() -> str:
    """The name under which this worker's dispatchers own their slots: set by the supervisor in AIVIDEO_WORKER."""
    return os.environ.get("AIVIDEO_WORKER") or f"{socket.gethostname()}:{os.getpid()}"


def acquire_slot() -> PumpSlot | None:
    """Lease a free slot; None if live dispatchers hold them all."""
    owner = f"{worker_name()}/{uuid4().hex[:8]}"
    free = timezone.now() - timedelta(seconds=1)  # SQLite's clock has millisecond resolution only
    PumpSlot.objects.bulk_create(
        [PumpSlot(number=n, until=free) for n in range(SLOTS)], ignore_conflicts=True
    )
    # A lease further in the future than any lease can be was written before the clock was set back.
    expired = Q(until__lte=Now()) | Q(until__gt=Now() + timedelta(seconds=2 * timing.LEASE))
    for number in range(SLOTS):
        if PumpSlot.objects.filter(expired, number=number).update(
            owner=owner, until=Now() + timedelta(seconds=timing.LEASE)
        ):
            return PumpSlot.objects.get(number=number)
    return None


def revoke_slots(worker: str) -> None:
    """Revoke the slots of a worker's dispatchers: each finishes or cancels its running steps, then stops."""
    PumpSlot.objects.filter(owner__startswith=f"{worker}/").update(owner="", until=timezone.now())


def claim(limit: int, except_of: Sequence[int] = ()) -> list[Video]:
    """Lease up to `limit` due videos for LEASE seconds and return them, but those `except_of` these channels.

    Only the CLAIMED fields are loaded, which is what polling needs; unconfirmed videos are loaded in full. Queued
    videos are not claimed but admitted (see `admission`).
    """
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    narrowed = f"AND channel_id NOT IN ({', '.join(['%s'] * len(except_of))})" if except_of else ""
    now = timing.database_now()
    adapt = connection.ops.adapt_datetimefield_value
    claim = Video.objects.raw(
        "UPDATE videos_video SET next_at = %s WHERE id IN (SELECT id FROM videos_video"
        # Worded like the partial index `due`, or SQLite does not use it.
        f" WHERE NOT (status = 'queued') AND next_at <= %s {narrowed}"
        f" ORDER BY next_at LIMIT %s {skip_locked}) RETURNING {CLAIMED}",
        [adapt(now + timedelta(seconds=timing.LEASE)), adapt(now), *except_of, limit],
    )
    videos = list(claim)
    unconfirmed = [video.pk for video in videos if video.status == Status.UNCONFIRMED]
    if unconfirmed:
        complete = Video.objects.filter(pk__in=unconfirmed).select_related(
            "model", "channel", "upload", "last_frame"
        )
        videos = [video for video in videos if video.status != Status.UNCONFIRMED] + list(complete)
    return videos


CLAIMED = (
    "id, user_id, channel_id, model_id, status, moves, ref, attempts, progress, credits, seconds,"
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
    can_skip = connection.features.has_select_for_update_skip_locked
    for start in range(0, len(video_ids), CLAIM):
        held = Video.objects.filter(pk__in=video_ids[start : start + CLAIM])
        with transaction.atomic(savepoint=False):
            unlocked = held.select_for_update(skip_locked=can_skip).values("pk")
            Video.objects.live().filter(pk__in=unlocked).update(next_attempt_at=until)
