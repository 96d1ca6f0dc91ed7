"""The events that programs can be sent, and which of them a key has chosen."""

from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey

# Types, with when each is sent.
EVENTS = {
    "video.started": _("a video was accepted by its provider"),
    "video.completed": _("a video is ready"),
    "video.failed": _("a video failed or was canceled, and was refunded"),
    "video_batch.completed": _("all videos of a batch have ended"),
}
DEFAULT_EVENTS = ["video.completed", "video.failed", "video_batch.completed"]


def chosen(key: ApiKey) -> list[str]:
    """The types of events that this key wants."""
    return key.webhook_events or DEFAULT_EVENTS


def choose(key: ApiKey, types: list[str]) -> None:
    """Send only events of these types from now on. None of them, or exactly the default ones: the default ones.

    Does not save the key.
    """
    is_default = not types or set(types) == set(DEFAULT_EVENTS)
    key.webhook_events = None if is_default else [kind for kind in EVENTS if kind in types]
