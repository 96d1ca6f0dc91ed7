"""What a model can make: validates orders against it, and finds the closest possible order."""

from collections.abc import Collection, Mapping
from math import log as logarithm
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from videos.catalogue import availability
from videos.models import (
    CAN_TAKE,
    MAX_PROMPT_CHARACTERS,
    Video,
    VideoModel,
)
from videos.order import Extras, VideoOrder
from videos.providers.base import pixels


def repeat_order(video: Video, user: User) -> VideoOrder:
    """The order that made this video, adapted to the model or successor that is offered today.

    A successor may have other sizes and lengths, and may not support all of the extras.
    """
    model = availability.current(video.model, user) or video.model
    unsupported = _unsupported(model, video.extras)
    takes_image = "image" in model.takes
    return VideoOrder(
        model=model,
        prompt=video.prompt,
        size=nearest_size(model.sizes, *video.wanted_size),
        seconds=min(model.lengths, key=lambda seconds: abs(seconds - video.seconds)),
        extras=cast(Extras, {name: value for name, value in video.extras.items() if name not in unsupported}),
        preset=video.preset if takes_image else "",
        upload=video.upload if takes_image else None,
        last_frame=video.last_frame if "last_frame" in model.takes else None,
    )


def nearest_size(sizes: list[str], across: int, down: int) -> str:
    """The size with the closest aspect ratio and, among those, the closest number of pixels."""

    def distance(size: str) -> tuple[float, int]:
        width, height = pixels(size)
        return round(abs(logarithm(width / height * down / across)), 2), abs(width * height - across * down)

    return min(sizes, key=distance)


def check_order(user: User | None, order: VideoOrder, pictures: Collection[str] = ()) -> None:
    """Raise ValidationError, by field, for anything that the order's model cannot make for this user.

    `pictures` names (as in CAN_TAKE) the pictures that the order will have once they have been fetched.
    """
    model, prompt, size, seconds = order.model, order.prompt, order.size, order.seconds
    problems = _unsupported(model, order.extras, *sorted(order.pictures.union(pictures)))
    if not prompt.strip():
        problems["prompt"] = _("Enter a prompt.")
    elif len(prompt) > model.longest_prompt:
        problems["prompt"] = _("The prompt has %(count)d characters; the limit is %(max)d.") % {
            "count": len(prompt),
            "max": model.longest_prompt,
        }
    elif "\x00" in prompt:
        problems["prompt"] = _("The prompt contains a character that cannot be stored.")
    elif "[sim:" in prompt and settings.USE_MOCK_SORA and not _may_ask_for_faults(user):
        problems["prompt"] = _("Remove “[sim:”: only staff can ask the simulator for a fault.")
    if size not in model.sizes:
        problems["size"] = _("%(model)s does not support this size. Choose one of: %(sizes)s.") % {
            "model": model.name,
            "sizes": ", ".join(model.sizes),
        }
    if seconds not in model.lengths:
        problems["seconds"] = _(
            "%(model)s does not support this length. Choose one of: %(lengths)s seconds."
        ) % {
            "model": model.name,
            "lengths": in_words(model.lengths),
        }
    if problems:
        raise ValidationError(problems)


def _may_ask_for_faults(user: User | None) -> bool:
    return settings.SIMULATOR_TAGS or bool(user and user.is_staff)


def in_words(numbers: list[int]) -> str:
    """Numbers in ascending order, with runs of three or more as ranges: 1, 4–60."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _unsupported(model: VideoModel, extras: Mapping[str, Any], *pictures: str) -> dict[str, str]:
    """The pictures and extras of an order that this model does not support: a sentence by field."""
    problems = {}
    for name in (*pictures, *extras):
        if name in CAN_TAKE and name not in model.takes:
            problems[name] = _("%(model)s does not support %(what)s.") % {
                "model": model.name,
                "what": CAN_TAKE[name],
            }
    for name, choices in (("fps", model.frame_rates), ("quality", model.qualities)):
        if name in extras and extras[name] not in choices:
            problems[name] = _("%(model)s does not support this value. Choose one of: %(choices)s.") % {
                "model": model.name,
                "choices": ", ".join(map(str, choices)) or _("none"),
            }
    if len(extras.get("negative_prompt", "")) > MAX_PROMPT_CHARACTERS:
        problems["negative_prompt"] = (
            _("The negative prompt can have at most %d characters.") % MAX_PROMPT_CHARACTERS
        )
    return problems
