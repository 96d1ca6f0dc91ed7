"""Which models there are, where they run, and what may be asked of them."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from math import log as logarithm
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.template.defaultfilters import date as shown_date
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from videos.models import (
    CAN_TAKE,
    MOST_PROMPT_CHARACTERS,
    Audience,
    Channel,
    Offer,
    Status,
    Upload,
    Video,
    VideoModel,
)
from videos.providers import ADDRESSES, adapter, keys
from videos.providers.base import Provider

log = logging.getLogger(__name__)

OPENAI = "https://api.openai.com"  # where no videos are made any more
WARNED_AHEAD = timedelta(days=60)  # of the day on which a model retires


def is_open(channel: Channel) -> bool:
    """Whether videos can be made there."""
    return not closed_because(channel)


def closed_because(channel: Channel) -> str:
    """Why no video can be made there, for operators; empty where it can."""
    if not channel.enabled:
        return "it is switched off"
    if refusal := keys.refusal(channel.key_variable):
        return refusal
    if channel.slug == "simulator":
        return "" if settings.USE_MOCK_SORA else "providers are configured"
    if settings.USE_MOCK_SORA:
        return "the simulator stands in for all"
    own_server = _own_address(channel)
    if channel.kind == "openai" and urlsplit(own_server or OPENAI).hostname == urlsplit(OPENAI).hostname:
        return "OpenAI ended its video service on 24 September 2026; name another server of its protocol"
    # A server of your own may need no key.
    if own_server or not channel.key_variable or keys.read(channel.key_variable):
        return ""
    return f"{channel.key_variable} is not set"


def models(user: User | None = None) -> QuerySet[VideoModel]:
    """What may be chosen today, in display order: by everybody, or by this user, who may be staff."""
    return offered() if user is not None and user.is_staff else offered().filter(audience=Audience.EVERYONE)


def offered() -> QuerySet[VideoModel]:
    """What can be made today, whoever may choose it, in display order."""
    channels = [channel.pk for channel in Channel.objects.filter(enabled=True) if is_open(channel)]
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


def once_more(video: Video, user: User) -> dict[str, Any]:
    """What made this video, as arguments of `generation.start`, as near as the model can that makes it today.

    A successor may make other sizes and lengths, and lack some of what else was asked for.
    """
    model = current(video.model, user) or video.model
    lacking = _lacking(model, video.extras)
    takes_image = "image" in model.takes
    return {
        "model": model,
        "size": nearest_size(model.sizes, *video.wanted_size),
        "seconds": min(model.lengths, key=lambda seconds: abs(seconds - video.seconds)),
        "extras": {name: value for name, value in video.extras.items() if name not in lacking},
        "preset": video.preset if takes_image else "",
        "upload": video.upload if takes_image else None,
        "last_frame": video.last_frame if "last_frame" in model.takes else None,
    }


def nearest_size(sizes: list[str], across: int, down: int) -> str:
    """The size whose shape comes nearest and, of those, the one that is about as large."""

    def distance(size: str) -> tuple[float, int]:
        width, height = map(int, size.split("x"))
        return round(abs(logarithm(width / height * down / across)), 2), abs(width * height - across * down)

    return min(sizes, key=distance)


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
    return offered().filter(retires_on__lte=until).select_related("successor").order_by("retires_on")


def check_order(
    *,
    model: VideoModel,
    prompt: str,
    size: str,
    seconds: int,
    extras: dict[str, Any] | None = None,
    preset: str = "",
    upload: Upload | None = None,
    last_frame: Upload | None = None,
    **_more: Any,
) -> None:
    """Raise ValidationError, by field, for what `model` cannot make. Page and API ask this same question.

    It takes what `generation.start` takes, and looks at what the model has to do with.
    """
    pictures = {"image": preset or upload, "last_frame": last_frame}
    problems = _lacking(model, extras or {}, *(name for name, picture in pictures.items() if picture))
    if not prompt.strip():
        problems["prompt"] = _("Say what should happen in the video.")
    elif len(prompt) > model.longest_prompt:
        problems["prompt"] = _("The prompt has %(has)d characters; the most is %(most)d.") % {
            "has": len(prompt),
            "most": model.longest_prompt,
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
            "lengths": in_words(model.lengths),
        }
    if problems:
        raise ValidationError(problems)


def in_words(numbers: list[int]) -> str:
    """Numbers in a sentence, from the smallest on; three and more in a row by the first and the last: 1, 4–60."""
    rows: list[list[int]] = []
    for number in sorted(numbers):
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)


def _lacking(model: VideoModel, extras: dict[str, Any], *pictures: str) -> dict[str, str]:
    """What this model does not take of what an order has besides words, by field."""
    problems = {}
    for name in (*pictures, *extras):
        if name in CAN_TAKE and name not in model.takes:
            problems[name] = _("%(model)s does not take %(what)s.") % {
                "model": model.name,
                "what": CAN_TAKE[name],
            }
    for name, choices in (("fps", model.frame_rates), ("quality", model.qualities)):
        if name in extras and extras[name] not in choices:
            problems[name] = _("%(model)s does not offer this. Choose one of: %(choices)s.") % {
                "model": model.name,
                "choices": ", ".join(map(str, choices)) or _("nothing"),
            }
    if len(extras.get("negative_prompt", "")) > MOST_PROMPT_CHARACTERS:
        problems["negative_prompt"] = _("It has more than %d characters.") % MOST_PROMPT_CHARACTERS
    return problems


def provider_for(channel: Channel) -> Provider:
    """A client of this channel's provider, with the key that the environment holds for it."""
    key = keys.read(channel.key_variable)
    return adapter(channel.kind)(base_url(channel), key, channel.profile)


def base_url(channel: Channel) -> str:
    """The channel's own address, what the settings say for the two that come with the product, or the provider's."""
    if channel.slug == "simulator":
        return settings.SIMULATOR_URL
    return _own_address(channel) or ADDRESSES[channel.kind]


def announce_service() -> None:
    """Write into the log which service makes the videos: web and worker do so when they start."""
    if line := service_line():
        log.info(line)


def service_line() -> str:
    """Which service makes the videos, in a line that shows no key.

    Empty while the catalogue cannot be read: before the first migration, or without its database.
    """
    if settings.USE_MOCK_SORA:
        return "USING MOCK SORA SERVICE FOR TESTING"
    try:
        channels = [channel for channel in Channel.objects.all() if is_open(channel)]
    except DatabaseError:
        return ""
    named = [f"{channel} ({_shown_address(channel)})" for channel in channels]
    return f"USING REAL VIDEO SERVICE: {', '.join(named) or 'no channel is open, see manage.py doctor'}"


def _shown_address(channel: Channel) -> str:
    """Without what some addresses hold beside the place: a name and password, or a key in the query."""
    address = urlsplit(base_url(channel))
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def _own_address(channel: Channel) -> str:
    return channel.base_url or (settings.OPENAI_BASE_URL if channel.slug == "openai" else "")


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
