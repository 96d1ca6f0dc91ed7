"""The capabilities of a model, and validators for the lists in which staff enter them."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# The keys of a video's `extras`: options that not every model supports, by their names in the API.
EXTRAS = ("seed", "negative_prompt", "audio", "fps", "quality")
# Inputs and options that a model supports or not. Frame rates and qualities are not here: models list their values.
CAN_TAKE = {
    "image": _("a first frame"),
    "last_frame": _("a last frame"),
    "seed": _("a seed"),
    "negative_prompt": _("a negative prompt"),
    "audio": _("sound on or off"),
}
LONGEST = 60  # seconds
MAX_PROMPT_CHARACTERS = 4000  # of a prompt, unless its model says otherwise, and of a negative prompt
MAX_PROMPT_LIMIT = 32_000  # of a model, as at OpenAI; bounds the size of rows and pages


def are_sizes(value: Any) -> None:
    """Raise ValidationError unless this is a list of sizes such as 1280x720."""
    fits = isinstance(value, list) and all(
        re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", str(size)) for size in value
    )
    if not fits or not value:
        raise ValidationError(_('Expected a list of sizes, such as ["1280x720", "720x1280"].'))


def are_lengths(value: Any) -> None:
    """Raise ValidationError unless this is a list of whole seconds."""
    if (
        not isinstance(value, list)
        or not value
        or not all(type(n) is int and 1 <= n <= LONGEST for n in value)
    ):
        raise ValidationError(_("Expected a list of whole seconds from 1 to 60, such as [4, 8, 12]."))


def are_frame_rates(value: Any) -> None:
    """Raise ValidationError unless this is a list of frame rates (frames per second)."""
    if not isinstance(value, list) or not all(type(n) is int and 1 <= n <= 120 for n in value):
        raise ValidationError(_("Expected a list of frames a second from 1 to 120, such as [24, 30]."))


def are_words(value: Any) -> None:
    """Raise ValidationError unless this is a list of short words."""
    if not isinstance(value, list) or not all(re.fullmatch(r"[\w.-]{1,20}", str(word)) for word in value):
        raise ValidationError(_('Expected a list of words, such as ["standard", "high"].'))


def can_be_taken(value: Any) -> None:
    """Raise ValidationError unless this is a list of keys of CAN_TAKE."""
    if not isinstance(value, list) or not set(map(str, value)) <= set(CAN_TAKE):
        raise ValidationError(_("Expected a list of: %(names)s.") % {"names": ", ".join(CAN_TAKE)})
