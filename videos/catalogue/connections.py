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

OPENAI = "https://api.openai.com"  # its video service has ended


def is_available(channel: Channel) -> bool:
    """Whether videos can be made at this channel."""
    return not unavailable_reason(channel)


def unavailable_reason(channel: Channel) -> str:
    """Why no video can be made at this channel, for operators; empty if it is available."""
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
    # The operator's own server may need no key.
    if own_server or not channel.key_variable or keys.read(channel.key_variable):
        return ""
    return f"{channel.key_variable} is not set"


def provider_for(channel: Channel) -> Provider:
    """A client for this channel's provider, with the key from the environment. The caller closes it."""
    key = keys.read(channel.key_variable)
    return adapter(channel.kind)(base_url(channel), key, channel.profile)


def base_url(channel: Channel) -> str:
    """The channel's base URL: its own, the one from the settings (channels `simulator` and `openai`), or the provider's default."""
    if channel.slug == "simulator":
        return settings.SIMULATOR_URL
    return _own_address(channel) or ADDRESSES[channel.kind]


def announce_service() -> None:
    """Log which service makes the videos. Web and worker call this at startup."""
    if line := service_line():
        log.info(line)


def service_line() -> str:
    """A log line, without keys, that says which service makes the videos.

    Empty if the catalog cannot be read: before the first migration, or without a database.
    """
    if settings.USE_MOCK_SORA:
        return "USING MOCK SORA SERVICE FOR TESTING"
    try:
        channels = [channel for channel in Channel.objects.all() if is_available(channel)]
    except DatabaseError:
        return ""
    names = [f"{channel} ({_safe_address(channel)})" for channel in channels]
    return f"USING REAL VIDEO SERVICE: {', '.join(names) or 'no channel is open, see manage.py doctor'}"


def _safe_address(channel: Channel) -> str:
    """The base URL without a user name and password or a query, which may contain a key."""
    address = urlsplit(base_url(channel))
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def _own_address(channel: Channel) -> str:
    return channel.base_url or (settings.OPENAI_BASE_URL if channel.slug == "openai" else "")
