"""Provider adapters: one module per protocol, each with an `Adapter` class (see `base.Provider`).

To add one, add a module and its lines to KINDS and ADDRESSES.
"""

from importlib import import_module

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from videos.providers.base import Provider

KINDS: dict[str, str | Promise] = {
    "openai": _("OpenAI Videos API (/v1/videos)"),
    "openrouter": _("OpenRouter"),
    "xai": _("xAI"),
    "fal": _("fal"),
}


# Default base URLs. They are here so that reading one does not load the adapter.
ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "xai": "https://api.x.ai/v1",
    "fal": "https://queue.fal.run",
}


def kinds() -> list[tuple[str, str | Promise]]:
    """The choices for a channel's protocol."""
    return list(KINDS.items())


def adapter(kind: str) -> type[Provider]:
    """The adapter class. Imported lazily: the SDK would double every process's start time, and only the dispatcher needs it."""
    found: type[Provider] = import_module(f"videos.providers.{kind}").Adapter
    return found
