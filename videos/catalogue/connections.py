"""A channel's provider: its address, whether it is available, and a client for it."""

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError

from videos.models import (
    Channel,
)
from videos.providers import ADDRESSES, adapter, keys
from videos.providers.base import Provider

log = logging.getLogger(__name__)

OPENAI = "https://api.openai.com"  # has shut down its video service


def is_available(channel: Channel) -> bool:
    """Whether the channel can make videos."""
    return not unavailable_reason(channel)


def unavailable_reason(channel: Channel) -> str:
    """Why the channel cannot make videos, for operators; empty if it can."""
    if not channel.enabled:
        return "paused"
    if refusal := keys.refusal(channel.key_variable):
        return refusal
    if channel.slug == "simulator":
        return "" if settings.USE_MOCK_SORA else "providers are configured"
    if settings.USE_MOCK_SORA:
        return "the simulator makes all videos"
    own_server = _own_address(channel)
    if channel.kind == "openai" and urlsplit(own_server or OPENAI).hostname == urlsplit(OPENAI).hostname:
        return "OpenAI shut down its video service on September 24, 2026; set the URL of another server with its API"
    # Your own server may not need a key.
    if own_server or not channel.key_variable or keys.read(channel.key_variable):
        return ""
    return f"{channel.key_variable} is not set"


def provider_for(channel: Channel) -> Provider:
    """A client for the channel's provider, with the API key from the environment."""
    key = keys.read(channel.key_variable)
    return adapter(channel.kind)(base_url(channel), key, channel.profile)


def base_url(channel: Channel) -> str:
    """The channel's own URL, the one in the settings for the two built-in channels, or the provider's default."""
    if channel.slug == "simulator":
        return settings.SIMULATOR_URL
    return _own_address(channel) or ADDRESSES[channel.kind]


def announce_service() -> None:
    """Log which service makes the videos. Web and worker call this when they start."""
    if line := service_line():
        log.info(line)


def service_line() -> str:
    """A line that says which service makes the videos, without any key.

    Empty if the catalog cannot be read: before the first migration, or while the database is down.
    """
    if settings.USE_MOCK_SORA:
        return "USING MOCK SORA SERVICE FOR TESTING"
    try:
        channels = [channel for channel in Channel.objects.all() if is_available(channel)]
    except DatabaseError:
        return ""
    named = [f"{channel} ({_shown_address(channel)})" for channel in channels]
    return f"USING REAL VIDEO SERVICE: {', '.join(named) or 'no channel is available, see manage.py doctor'}"


def _shown_address(channel: Channel) -> str:
    """The channel's URL without user name, password and query, which may contain secrets."""
    address = urlsplit(base_url(channel))
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def _own_address(channel: Channel) -> str:
    return channel.base_url or (settings.OPENAI_BASE_URL if channel.slug == "openai" else "")
