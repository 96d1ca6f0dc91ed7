"""Which channel makes a video: the first of its model's that can be reached. Never two for one video.

A video changes its channel only while it is queued and surely nowhere else. One that a provider may have
taken, however little is known of it, stays where it is for good.
"""

import logging

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from videos import timing
from videos.catalogue import breaker, connections
from videos.models import Channel, Offer, Status, Video, VideoEvent, VideoModel

log = logging.getLogger(__name__)

WAS_UNCONFIRMED = Exists(VideoEvent.objects.filter(video=OuterRef("pk"), went_to=Status.UNCONFIRMED))


def offers(model: VideoModel) -> list[Offer]:
    """Where this model can be made here, in the order in which staff want it tried."""
    found = Offer.objects.filter(model=model).select_related("channel").order_by("priority", "pk")
    return [offer for offer in found if connections.is_available(offer.channel)]


def best(model: VideoModel) -> Offer:
    """The first that takes new jobs now; while none does, the first of all, before which one waits.

    Raises ValidationError where it can be made nowhere: its last channel was closed since it was chosen.
    """
    found = offers(model)
    now = timezone.now()
    for offer in found:
        if not breaker.is_paused(offer.channel, now):
            return offer
    if not found:
        raise ValidationError({"model": _("This model is not available. Choose another one.")})
    return found[0]


def next_after(video: Video) -> Offer | None:
    """Another channel that takes this video now, since its own did not; None where it has to wait.

    None as well for a video whose fate was once unknown, and once each has been tried.
    """
    if VideoEvent.objects.filter(video=video, went_to=Status.UNCONFIRMED).exists():
        return None
    found, now = offers(video.model), timezone.now()
    if video.attempts + 1 >= len(found):
        return None
    others = [offer for offer in found if offer.channel_id != video.channel_id]
    return next((offer for offer in others if not breaker.is_paused(offer.channel, now)), None)


def reroute_waiting() -> None:
    """Move what waits before channels that take nothing to others of its model that do."""
    now = timezone.now()
    resting = [channel for channel in Channel.objects.all() if breaker.is_paused(channel, now)]
    if not resting:
        return
    stuck = Video.objects.filter(status=Status.QUEUED, ended_at=None, channel__in=resting).exclude(
        WAS_UNCONFIRMED
    )
    for model in VideoModel.objects.filter(pk__in=stuck.order_by().values("model")):
        offer = next((offer for offer in offers(model) if not breaker.is_paused(offer.channel, now)), None)
        if offer is None:
            continue
        # In one statement: who is admitted or canceled at this moment is in another state then, and stays.
        moved = stuck.filter(model=model).update(
            channel=offer.channel,
            provider_model=offer.provider_model,
            attempts=0,
            next_at=timing.database_now(),
        )
        log.info("%d videos of %s go on to %s", moved, model, offer.channel)
