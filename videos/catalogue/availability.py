"""Which models there are, where they run, and what may be asked of them."""

import logging
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.template.defaultfilters import date as shown_date
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from videos.catalogue import connections
from videos.models import (
    Audience,
    Channel,
    Offer,
    VideoModel,
)

log = logging.getLogger(__name__)
WARNED_AHEAD = timedelta(days=60)  # of the day on which a model retires


def models(user: User | None = None) -> QuerySet[VideoModel]:
    """What may be chosen today, in display order: by everybody, or by this user, who may be staff."""
    return offered() if user is not None and user.is_staff else offered().filter(audience=Audience.EVERYONE)


def offered() -> QuerySet[VideoModel]:
    """What can be made today, whoever may choose it, in display order."""
    channels = [
        channel.pk for channel in Channel.objects.filter(enabled=True) if connections.is_available(channel)
    ]
    offered = Offer.objects.filter(model=OuterRef("pk"), channel__in=channels)
    return VideoModel.objects.filter(
        Q(retires_on=None) | Q(retires_on__gt=timezone.localdate()), Exists(offered), enabled=True
    ).prefetch_related("prices")


def current(model: VideoModel, user: User | None = None) -> VideoModel | None:
    """This model or, where it is not offered (to this user) any more, the next of its successors that is."""
    seen: set[int] = set()
    following: VideoModel | None = model
    while following is not None and following.pk not in seen:
        if models(user).filter(pk=following.pk).exists():
            return following
        seen.add(following.pk)
        following = following.successor
    return None


def retirement_notice(slug: str) -> str:
    """What to tell who asks for a model that has retired, in a sentence; empty for any other name."""
    model = VideoModel.objects.filter(slug=slug, retires_on__lte=timezone.localdate()).first()
    if model is None:
        return ""
    successor, day = current(model), shown_date(model.retires_on)
    if successor is None:
        return _("%(model)s retired on %(day)s.") % {"model": model.name, "day": day}
    return _("%(model)s retired on %(day)s. Use %(successor)s instead.") % {
        "model": model.name,
        "day": day,
        "successor": f"{successor.name} ({successor.slug})",
    }


def retiring() -> QuerySet[VideoModel]:
    """What is offered for at most WARNED_AHEAD more, the first to go first."""
    until = timezone.localdate() + WARNED_AHEAD
    return offered().filter(retires_on__lte=until).select_related("successor").order_by("retires_on")
