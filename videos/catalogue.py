"""Which models there are, where they run, and what may be asked of them."""

import os
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from videos.models import Channel, Status, Video, VideoModel
from videos.providers.base import Provider

# Enough for any film script, and a bound for what a database row and a page must carry.
MOST_PROMPT_CHARACTERS = 4000


def models() -> QuerySet[VideoModel]:
    """What people may choose today, in display order."""
    today = timezone.localdate()
    return VideoModel.objects.filter(
        Q(retires_on=None) | Q(retires_on__gt=today), enabled=True, channel__enabled=True
    ).select_related("channel")


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


def channel_for(model: VideoModel) -> Channel:
    """Where a video of this model is made: its channel, or the simulator while that stands in for all."""
    if settings.USE_MOCK_SORA:
        return Channel.objects.get(slug="simulator")
    return model.channel


def provider_for(channel: Channel) -> Provider:
    """A client of this channel's provider, with the key that the environment holds for it."""
    # Here, since half of the start of every process would be the SDK's, and only a pump needs it.
    from videos.providers.openai import OpenAIProvider

    return OpenAIProvider(base_url(channel), os.environ.get(channel.key_variable, ""))


def base_url(channel: Channel) -> str:
    """The channel's own address, or what the settings say for the two that come with the product."""
    if channel.slug == "simulator":
        return settings.SIMULATOR_URL
    return channel.base_url or settings.OPENAI_BASE_URL or "https://api.openai.com/v1"


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
