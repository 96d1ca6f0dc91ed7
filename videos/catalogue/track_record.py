"""A model's track record: how reliable and how fast it was recently."""

from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.core.cache import cache
from django.utils import timezone

from videos.models import (
    Status,
    Video,
    VideoModel,
)


@dataclass(frozen=True)
class TrackRecord:
    """`success` is the success rate in percent, `seconds` the median time from order to completion."""

    success: int
    seconds: int


def track_record(model: VideoModel) -> TrackRecord | None:
    """Computed from the last 100 videos that finished in the past week; None if fewer than three succeeded."""
    key = f"track-record:{model.pk}"
    if (record := cache.get(key)) is None:
        record = cache.get_or_set(key, lambda: _compute(model) or False, 60)
    return record or None


def _compute(model: VideoModel) -> TrackRecord | None:
    ended = (
        Video.objects.filter(model=model, ended_at__gte=timezone.now() - timedelta(days=7))
        .exclude(status=Status.CANCELED)
        .order_by("-ended_at")
        .values_list("status", "created_at", "ended_at")[:100]
    )
    times = [
        (end - start).total_seconds() for status, start, end in ended if end and status == Status.COMPLETED
    ]
    if len(times) < 3:
        return None
    return TrackRecord(success=round(100 * len(times) / len(ended)), seconds=round(median(times)))
