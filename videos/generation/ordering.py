"""Ordering videos: charge, row, event and queue message in one transaction."""

from typing import Any

from django.db import IntegrityError, transaction

from accounts import credits, fast_sql
from accounts.models import User
from videos import event_log, queue
from videos.catalogue import capabilities, routing
from videos.models import Status, Upload, Video, VideoEvent, VideoModel
from videos.moderation import gate


def start(
    user: User,
    *,
    model: VideoModel,
    prompt: str,
    size: str,
    seconds: int,
    preset: str = "",
    upload: Upload | None = None,
    last_frame: Upload | None = None,
    extras: dict[str, Any] | None = None,
    client_key: str | None = None,
    clearance: gate.Clearance | None = None,
    **said: Any,
) -> Video:
    """Order a video: charge its price, create its row, ring the worker, all or nothing.

    `extras` is of EXTRAS. The same `client_key` gives the same video, whatever else is said. `said` are other
    fields of the row, which a program may fill (`api_key`, `metadata`, `webhook_url`, …). Raises ValidationError
    (by field) for what the model cannot make, InsufficientCredits, and nothing is left behind then. An order has
    come through `moderation.cleared`, which gave it its clearance; else NotCleared.
    """
    order: dict[str, Any] = {"model": model, "prompt": prompt, "size": size, "seconds": seconds}
    order |= {"preset": preset, "upload": upload, "last_frame": last_frame, "extras": extras or {}}
    capabilities.check_order(**order)
    gate.require_clearance(user, order, clearance)
    offer = routing.best(model)
    video = Video(
        user=user,
        channel=offer.channel,
        provider_model=offer.provider_model,
        client_key=client_key,
        credits=model.price_of(size, seconds, extras),
        **order,
        **said,
    )
    # All that needs no lock comes before it, because other clicks wait for it.
    insert_video = fast_sql.insertion(video)
    insert_event = fast_sql.insertion(VideoEvent(video_id=video.pk, went_to=Status.QUEUED))
    ring = queue.wake_worker(video)
    tell = event_log.queued(video, model.slug)
    try:
        with transaction.atomic():
            credits.charge(user, video.credits, reference=video.reference)
            insert_video()
            insert_event()
            ring()
            tell()
    except (IntegrityError, credits.InsufficientCredits):
        # The same order came before, perhaps with the last credits, or in this very moment; this one is undone.
        if client_key and (first := user.videos.filter(client_key=client_key).first()):
            return first
        raise
    video._state.adding = False
    return video


def start_all(user: User, count: int, *, client_key: str | None = None, **order: Any) -> list[Video]:
    """Order `count` videos of one kind, all or none: variations of one another. Raises what `start` raises."""
    keys = [f"{client_key}-{number}" if client_key and number else client_key for number in range(count)]
    begun = 0
    try:
        with transaction.atomic():
            videos = []
            for key in keys:
                videos.append(start(user, client_key=key, **order))
                begun += videos[-1].credits
    except credits.InsufficientCredits as error:
        raise credits.InsufficientCredits(error.needed * count, error.available + begun) from error
    return videos
