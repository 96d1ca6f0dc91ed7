"""The rows that a fault run begins with: people, rich and signed in, and a model on each channel."""

import json
from pathlib import Path

from django.conf import settings
from django.test import Client

from accounts import credits
from accounts.models import User
from chaos.stories import make_channel
from videos.models import Channel, VideoModel

CREDITS = 50_000
LISTED_AT_ONCE = 6  # so that somebody always waits, and can cancel


def prepare(names: list[str], urls: dict[str, str], sessions: Path) -> None:
    """`urls` are the channels' servers. The session keys by name go into the file `sessions`."""
    VideoModel.objects.update(enabled=False)
    channels: dict[str, Channel] = {}
    for position, (slug, url) in enumerate(urls.items()):
        channels[slug] = make_channel(slug, url, max_running=LISTED_AT_ONCE if slug == "listed" else None)
        _make_model(slug, position, channels[slug])
    # Whose first channel is killed now and then, so that its videos go on to the second.
    _make_model("either", len(urls), channels["listed"], channels["keyed"])
    keys = {}
    for name in names:
        user = User.objects.create(username=name, email=f"{name}@example.com")
        credits.grant(user, CREDITS, reference=f"chaos:{name}")
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
