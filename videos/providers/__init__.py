"""The ways to providers: one module a protocol, each with its `Adapter` (see `base.Provider`).

Another one is a module beside these and a line here.
"""

from importlib import import_module

from django.utils.translation import gettext_lazy as _

from videos.providers.base import Provider

KINDS = {
    "openai": _("OpenAI Videos API (/v1/videos)"),
    "openrouter": _("OpenRouter"),
    "xai": _("xAI"),
    "fal": _("fal"),
}


# Where each is, unless a channel says otherwise: here, so that who only wants to name it loads no adapter.
ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "xai": "https://api.x.ai/v1",
    "fal": "https://queue.fal.run",
}


def kinds() -> list[tuple[str, str]]:
    """The choices of a channel's protocol."""
    return list(KINDS.items())  # type: ignore[arg-type]


def adapter(kind: str) -> type[Provider]:
    """Loaded when it is needed: half of the start of every process would be the SDK's, and only a pump uses it."""
    return import_module(f"videos.providers.{kind}").Adapter  # type: ignore[no-any-return]
