"""Where a channel's provider is, whether videos can be made there, and a client of it."""

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

OPENAI = "https://api.openai.com"  # where no videos are made any more


def is_available(channel: Channel) -> bool:
    """Whether videos can be made there."""
    return not unavailable_reason(channel)


def unavailable_reason(channel: Channel) -> str:
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
        channels = [channel for channel in Channel.objects.all() if is_available(channel)]
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
