"""Which models are offered to whom, and which are about to retire."""

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
WARNED_AHEAD = timedelta(days=60)  # how long before its retirement a model is announced as retiring


def models(user: User | None = None) -> QuerySet[VideoModel]:
    """The models on offer today to this user (staff see more than others), or to everybody, in display order."""
    return offered() if user is not None and user.is_staff else offered().filter(audience=Audience.EVERYONE)


def offered() -> QuerySet[VideoModel]:
    """The models on offer today to anybody, staff included, in display order."""
    channels = [
        channel.pk for channel in Channel.objects.filter(enabled=True) if connections.is_available(channel)
    ]
    offered = Offer.objects.filter(model=OuterRef("pk"), channel__in=channels)
    return VideoModel.objects.filter(
        Q(retires_on=None) | Q(retires_on__gt=timezone.localdate()), Exists(offered), enabled=True
    ).prefetch_related("prices")


def current(model: VideoModel, user: User | None = None) -> VideoModel | None:
    """This model or, if it is no longer offered (to this user), the first of its successors that is; None if none is."""
    seen: set[int] = set()
    candidate: VideoModel | None = model
    while candidate is not None and candidate.pk not in seen:
        if models(user).filter(pk=candidate.pk).exists():
            return candidate
        seen.add(candidate.pk)
        candidate = candidate.successor
    return None


def retirement_notice(slug: str) -> str:
    """The sentence for a request for a retired model; empty for any other name."""
    model = VideoModel.objects.filter(slug=slug, retires_on__lte=timezone.localdate()).first()
    if model is None:
        return ""
    successor, day = current(model), shown_date(model.retires_on)
    if successor is None:
        return _("%(model)s was retired on %(day)s.") % {"model": model.name, "day": day}
    return _("%(model)s was retired on %(day)s. Use %(successor)s instead.") % {
        "model": model.name,
        "day": day,
        "successor": f"{successor.name} ({successor.slug})",
    }


def retiring() -> QuerySet[VideoModel]:
    """The models on offer that retire within WARNED_AHEAD, the soonest first."""
    until = timezone.localdate() + WARNED_AHEAD
    return offered().filter(retires_on__lte=until).select_related("successor").order_by("retires_on")
