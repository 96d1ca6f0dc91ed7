"""Ordering videos: the charge, the row, its event and the wake-up message in one transaction."""

from dataclasses import replace

from django.db import IntegrityError, transaction

from accounts import credits, fast_sql
from accounts.models import User
from videos import event_log, queue
from videos.catalogue import capabilities, routing
from videos.generation import day_limit
from videos.models import Batch, Offer, Status, Video, VideoEvent, VideoModel
from videos.moderation import costly_blocks, gate
from videos.order import NotNow, PriceRose, VideoOrder


def place(
    user: User,
    order: VideoOrder,
    *,
    batch: Batch | None = None,
    position: int | None = None,
    is_held_back: bool = False,
) -> Video:
    """Order a video: charge its price, create its row and wake a worker, all or nothing.

    Idempotent by `client_key`: the same key returns the same video, whatever else the order says. `position` is the
    index in the `batch`, from 0; a video that `is_held_back` waits until the batch releases it. Raises ValidationError
    (by field) for what the model cannot make, InsufficientCredits, NotNow if it has to wait, PriceRose, and
    NotCleared for an order that did not come from `moderation.gate.clear`.
    """
    capabilities.check_order(user, order)
    gate.require_clearance(user, order)
    try:
        order.check_price()
        offer = offer_for(user, order.model)
    except (NotNow, PriceRose):
        if existing := _placed(user, order):
            return existing
        raise
    held_back: dict[str, None] = {"queued_at": None} if is_held_back else {}
    video = Video(
        user=user,
        channel=offer.channel,
        provider_model=offer.provider_model,
        model=order.model,
        prompt=order.prompt,
        size=order.size,
        seconds=order.seconds,
        preset=order.preset,
        upload=order.upload,
        last_frame=order.last_frame,
        extras=order.extras,
        credits=order.price,
        client_key=order.client_key,
        api_key=order.api_key,
        metadata=order.metadata,
        webhook_url=order.webhook_url,
        remixed_from=order.remixed_from,
        batch=batch,
        position=position,
        **held_back,
    )
    # Everything that needs no lock is prepared outside the transaction, to keep the locks short.
    insert_video = fast_sql.insertion(video)
    insert_event = fast_sql.insertion(VideoEvent(video_id=video.pk, went_to=Status.QUEUED))
    wake_worker = queue.wake_worker(video)
    log_order = event_log.queued(video, order.model.slug)
    try:
        with transaction.atomic():
            credits.charge(user, video.credits, reference=video.reference)
            day_limit.check(user, video.credits, charged=video.credits)
            insert_video()
            insert_event()
            wake_worker()
            log_order()
    except (IntegrityError, credits.InsufficientCredits, day_limit.DayLimitReached):
        # A repeat: the same order came earlier (perhaps with the last credits of the account or the day) or concurrently. This one is rolled back.
        if existing := _placed(user, order):
            return existing
        raise
    video._state.adding = False
    return video


def offer_for(user: User, model: VideoModel) -> Offer:
    """Where an order that the user places now would be made. Raises NotNow if it has to wait, and ValidationError if nowhere."""
    offer = routing.best(model, user)
    costly_blocks.check(user, offer.channel)
    return offer


def _placed(user: User, order: VideoOrder) -> Video | None:
    """The video of the same order, if it came earlier."""
    return user.videos.filter(client_key=order.client_key).first() if order.client_key else None


def place_all(user: User, order: VideoOrder, count: int) -> list[Video]:
    """Order `count` variations of one video, all or none. Raises what `place` raises, with the total of all.

    `order.max_credits` is that of all together.
    """
    if order.max_credits is not None:
        order = replace(order, max_credits=order.max_credits // count)
    key = order.client_key
    keys = [f"{key}-{number}" if key and number else key for number in range(count)]
    charged = 0
    try:
        with transaction.atomic():
            videos = []
            for key in keys:
                videos.append(place(user, replace(order, client_key=key)))
                charged += videos[-1].credits
    except credits.InsufficientCredits as error:
        raise credits.InsufficientCredits(error.needed * count, error.available + charged) from error
    except PriceRose as error:
        raise PriceRose(error.price * count) from error
    return videos
