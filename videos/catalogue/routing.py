"""Which channel makes a video: the first available one of its model. Never two channels for one video.

A video is rerouted only while it is queued and no provider can have accepted it. One that a provider may have
accepted stays at its channel for good.
"""

import logging
from math import ceil

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import fast_sql
from accounts.models import User
from videos import timing
from videos.catalogue import breaker, connections, waiting
from videos.catalogue.waiting import Wait
from videos.models import Channel, Offer, Status, Video, VideoEvent, VideoModel
from videos.order import NotNow

log = logging.getLogger(__name__)

WAS_UNCONFIRMED = Exists(VideoEvent.objects.filter(video=OuterRef("pk"), went_to=Status.UNCONFIRMED))


def offers(model: VideoModel) -> list[Offer]:
    """The model's offers at available channels, by priority."""
    # In plain SQL: to compose a join with the ORM takes longer than all else that an order does before its transaction.
    of_model = f"SELECT {fast_sql.columns(Offer)} FROM videos_offer WHERE model_id = %s ORDER BY priority, id"
    theirs = (
        f"SELECT {fast_sql.columns(Channel)} FROM videos_channel"
        " WHERE id IN (SELECT channel_id FROM videos_offer WHERE model_id = %s)"
    )
    found = fast_sql.rows(Offer, of_model, [model.pk])
    channels = {channel.pk: channel for channel in fast_sql.rows(Channel, theirs, [model.pk])}
    available = []
    for offer in found:
        channel = channels.get(offer.channel_id)  # None if staff have deleted both in between
        if channel is not None and connections.is_available(channel):
            offer.channel = channel
            available.append(offer)
    return available


class Overloaded(NotNow):
    """At every channel of the model, an order would wait for longer than it may."""

    status, code = 503, "overloaded"

    def __init__(self, wait: Wait) -> None:
        minutes = ceil(wait.expected / 60)
        super().__init__(
            ngettext(
                "Too many videos are waiting: a new one would start in about %(n)d minute. Try again later.",
                "Too many videos are waiting: a new one would start in about %(n)d minutes. Try again later.",
                minutes,
            )
            % {"n": minutes}
        )
        self.after = wait.retry_after


def best(model: VideoModel, user: User | None) -> Offer:
    """The first offer whose channel takes new jobs now; if none does, the first offer, to wait for.

    Channels where an order of this user, or of somebody new, would wait for too long are passed over. Raises
    Overloaded if there is no other, and ValidationError if there is none at all: the model's last channel became
    unavailable since it was chosen.
    """
    candidates = offers(model)
    if not candidates:
        raise ValidationError({"model": _("This model is not available. Choose another one.")})
    waits = [(offer, waiting.wait_at(offer.channel, user)) for offer in candidates]
    in_time = [offer for offer, wait in waits if not wait.is_too_long]
    if not in_time:
        raise Overloaded(min((wait for _offer, wait in waits), key=lambda wait: wait.expected))
    now = timezone.now()
    return next((offer for offer in in_time if not breaker.is_paused(offer.channel, now)), in_time[0])


def expected_wait(model: VideoModel, user: User | None) -> Wait:
    """How long an order would wait that this user, or somebody new, places now; for a refused one, at the best channel."""
    try:
        return waiting.wait_at(best(model, user).channel, user)
    except Overloaded:
        waits = (waiting.wait_at(offer.channel, user) for offer in offers(model))
        return min(waits, key=lambda wait: wait.expected, default=Wait())
    except ValidationError:
        return Wait()


def next_after(video: Video) -> Offer | None:
    """An offer at another channel that takes new jobs now; None if the video has to wait at its own.

    Also None if the video was ever unconfirmed, or if all channels have been tried.
    """
    if VideoEvent.objects.filter(video=video, went_to=Status.UNCONFIRMED).exists():
        return None
    candidates, now = offers(video.model), timezone.now()
    if video.attempts + 1 >= len(candidates):
        return None
    others = [offer for offer in candidates if offer.channel_id != video.channel_id]
    return next((offer for offer in others if not breaker.is_paused(offer.channel, now)), None)


def reroute_waiting() -> None:
    """Move queued videos from paused channels to other channels of their model that take new jobs."""
    now = timezone.now()
    paused = [channel for channel in Channel.objects.all() if breaker.is_paused(channel, now)]
    if not paused:
        return
    stuck = Video.objects.filter(status=Status.QUEUED, ended_at=None, channel__in=paused).exclude(
        WAS_UNCONFIRMED
    )
    for model in VideoModel.objects.filter(pk__in=stuck.order_by().values("model")):
        offer = next((offer for offer in offers(model) if not breaker.is_paused(offer.channel, now)), None)
        if offer is None:
            continue
        # One statement, conditional on the state: a video that is admitted or canceled concurrently is left alone.
        moved = stuck.filter(model=model).update(
            channel=offer.channel,
            provider_model=offer.provider_model,
            attempts=0,
            next_attempt_at=timing.database_now(),
        )
        log.info("%d videos of %s rerouted to %s", moved, model, offer.channel)
