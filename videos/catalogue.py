"""Which models there are, where they run, and what may be asked of them."""

import os
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.template.defaultfilters import date as shown_date
from django.utils import timezone
from django.utils.translation import gettext as _

from videos.models import Channel, Offer, Status, Video, VideoModel
from videos.providers import adapter
from videos.providers.base import Provider

# Enough for any film script, and a bound for what a database row and a page must carry.
MOST_PROMPT_CHARACTERS = 4000

WARNED_AHEAD = timedelta(days=60)  # of the day on which a model retires


def is_open(channel: Channel) -> bool:
    """Whether videos can be made there."""
    return not closed_because(channel)


def closed_because(channel: Channel) -> str:
    """Why no video can be made there, for operators; empty where it can."""
    if not channel.enabled:
        return "it is switched off"
    if channel.slug == "simulator":
        return "" if settings.USE_MOCK_SORA else "providers are configured"
    if settings.USE_MOCK_SORA:
        return "the simulator stands in for all"
    # A server of your own may need no key.
    has_own_server = channel.base_url or (channel.slug == "openai" and settings.OPENAI_BASE_URL)
    if has_own_server or not channel.key_variable or os.environ.get(channel.key_variable):
        return ""
    return f"{channel.key_variable} is not set"


def models() -> QuerySet[VideoModel]:
    """What people may choose today, in display order."""
    channels = [channel.pk for channel in Channel.objects.filter(enabled=True) if is_open(channel)]
    offered = Offer.objects.filter(model=OuterRef("pk"), channel__in=channels)
    return VideoModel.objects.filter(
        Q(retires_on=None) | Q(retires_on__gt=timezone.localdate()), Exists(offered), enabled=True
    ).prefetch_related("prices")


def current(model: VideoModel) -> VideoModel | None:
    """This model or, where it is not offered any more, the next of its successors that is."""
    seen: set[int] = set()
    following: VideoModel | None = model
    while following is not None and following.pk not in seen:
        if models().filter(pk=following.pk).exists():
            return following
        seen.add(following.pk)
        following = following.successor
    return None


def farewell(slug: str) -> str:
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
    return models().filter(retires_on__lte=until).select_related("successor").order_by("retires_on")


def check_order(model: VideoModel, prompt: str, size: str, seconds: int) -> None:
    """Raise ValidationError, by field, for what `model` cannot make. Page and API ask this same question."""
    problems: dict[str, str] = {}
    if not prompt.strip():
        problems["prompt"] = _("Say what should happen in the video.")
    elif len(prompt) > MOST_PROMPT_CHARACTERS:
        problems["prompt"] = _("The prompt has %(has)d characters; the most is %(most)d.") % {
            "has": len(prompt),
            "most": MOST_PROMPT_CHARACTERS,
        }
    elif "\x00" in prompt:
        problems["prompt"] = _("The prompt contains a character that cannot be stored.")
    if size not in model.sizes:
        problems["size"] = _("%(model)s does not make this shape. Choose one of: %(sizes)s.") % {
            "model": model.name,
            "sizes": ", ".join(model.sizes),
        }
    if seconds not in model.lengths:
        problems["seconds"] = _(
            "%(model)s does not make this length. Choose one of: %(lengths)s seconds."
        ) % {
            "model": model.name,
            "lengths": ", ".join(map(str, model.lengths)),
        }
    if problems:
        raise ValidationError(problems)


def provider_for(channel: Channel) -> Provider:
    """A client of this channel's provider, with the key that the environment holds for it."""
    return adapter(channel.kind)(base_url(channel), os.environ.get(channel.key_variable, ""))


def base_url(channel: Channel) -> str:
    """The channel's own address, what the settings say for the two that come with the product, or the provider's."""
    if channel.slug == "simulator":
        return settings.SIMULATOR_URL
    own = settings.OPENAI_BASE_URL if channel.slug == "openai" else ""
    return channel.base_url or own or adapter(channel.kind).default_url


@dataclass(frozen=True)
class Record:
    """How a model did lately. `success` is per cent, `seconds` the median from click to playback."""

    success: int
    seconds: int


def track_record(model: VideoModel) -> Record | None:
    """Of the last 100 finished videos of the past week; None while there are fewer than three."""
    key = f"track-record:{model.pk}"
    if (record := cache.get(key)) is None:
        record = cache.get_or_set(key, lambda: _track_record(model) or False, 60)
    return record or None


def _track_record(model: VideoModel) -> Record | None:
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
    return Record(success=round(100 * len(times) / len(ended)), seconds=round(median(times)))
