"""How reliable and how fast a model was lately."""

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
    """How a model did lately. `success` is per cent, `seconds` the median from click to playback."""

    success: int
    seconds: int


def track_record(model: VideoModel) -> TrackRecord | None:
    """Of the last 100 finished videos of the past week; None while there are fewer than three."""
    key = f"track-record:{model.pk}"
    if (record := cache.get(key)) is None:
        record = cache.get_or_set(key, lambda: _track_record(model) or False, 60)
    return record or None


def _track_record(model: VideoModel) -> TrackRecord | None:
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
