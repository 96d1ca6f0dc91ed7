"""The rows that a fault run starts with: signed-in users with many credits, and a model on each channel."""

import json
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.test import Client

from accounts import staff_grants
from accounts.models import User
from chaos.stories import make_channel
from videos.models import Channel, VideoModel

CREDITS = 50_000
LISTED_CONCURRENCY = 12  # low, so that there is always a queued video to cancel; enough for runs of an hour


def prepare(names: list[str], urls: dict[str, str], sessions: Path) -> None:
    """Create the rows. `urls` are the channels' servers. Session keys by user name are written to `sessions`."""
    VideoModel.objects.update(enabled=False)
    channels: dict[str, Channel] = {}
    for position, (slug, url) in enumerate(urls.items()):
        channels[slug] = make_channel(slug, url, max_running=LISTED_CONCURRENCY if slug == "listed" else None)
        _make_model(slug, position, channels[slug])
    # Its first channel is killed at times, so that its videos are rerouted to the second.
    _make_model("either", len(urls), channels["listed"], channels["keyed"])
    keys = {}
    for name in names:
        user = User.objects.create(username=name, email=f"{name}@example.com")
        staff_grants.grant(user, CREDITS, giver=None, reason="chaos", form=uuid4())
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        keys[name] = client.cookies[settings.SESSION_COOKIE_NAME].value
    sessions.write_text(json.dumps(keys))


def _make_model(slug: str, position: int, *channels: Channel) -> None:
    model = VideoModel.objects.create(
        slug=slug, name=slug, sizes=["720x1280"], lengths=[4], position=position
    )
    for priority, channel in enumerate(channels):
        model.offers.create(channel=channel, provider_model="sora-2", priority=priority)
