"""Providers that reject our requests: since when, with which error, and what staff can do about it.

Customers are not at fault: the video is refunded, or another channel makes it. Only staff can fix the cause, so
the notice stays on their dashboard until the channel accepts a job again.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Max, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from videos.catalogue import connections
from videos.models import REFUSED_BY, Channel, Status, Video, VideoEvent

LOOK_BACK = timedelta(days=7)
# Only this many of the newest events are read, by primary key, so that the cost does not grow with the table.
MAX_EVENTS = 20_000
UNVERIFIED = "must be verified"
ORGANIZATION = "https://platform.openai.com/settings/organization/general"


@dataclass
class Refusal:
    """The rejections by a channel's provider since it last accepted a job. `words` is the latest error message."""

    channel: Channel
    times: list[datetime] = field(default_factory=list)
    words: str = ""

    @property
    def since(self) -> datetime:
        return self.times[0]

    @property
    def count(self) -> int:
        return len(self.times)

    @property
    def steps(self) -> list[str]:
        """What to do about it, in order."""
        return [
            *_steps(self.channel, self.words),
            _("To check all providers for free, run: manage.py doctor --providers"),
        ]


def current_refusals() -> list[Refusal]:
    """One for each available channel that has rejected jobs recently and accepted none since."""
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    channels = {
        channel.slug: channel for channel in Channel.objects.all() if connections.is_available(channel)
    }
    for at, slug, words in _recent():
        if slug in channels:
            found[channels[slug].pk].append((at, words))
    refusals = []
    for channel in channels.values():
        accepted_at = _accepted_at(channel) if channel.pk in found else None
        since = [(at, words) for at, words in found[channel.pk] if accepted_at is None or at > accepted_at]
        if since:
            refusals.append(Refusal(channel, [at for at, _words in since], since[-1][1]))
    return refusals


def _recent() -> list[tuple[datetime, str, str]]:
    """Time, channel slug and error message of each recent rejection, oldest first."""
    newest = VideoEvent.objects.aggregate(pk=Max("pk"))["pk"] or 0
    events = VideoEvent.objects.filter(
        Q(went_to=Status.FAILED, reason="provider_refused")
        | Q(went_to=Status.QUEUED, reason__startswith=REFUSED_BY),
        pk__gt=newest - MAX_EVENTS,
        at__gt=timezone.now() - LOOK_BACK,
    )
    found = []
    for at, reason, slug, detail in events.order_by("pk").values_list(
        "at", "reason", "video__channel__slug", "video__error_detail"
    ):
        if reason.startswith(REFUSED_BY):
            slug, _colon, detail = reason.removeprefix(REFUSED_BY).partition(": ")
        found.append((at, slug, detail))
    return found


def _accepted_at(channel: Channel) -> datetime | None:
    accepted = Video.objects.filter(channel=channel, accepted_at__isnull=False).order_by("-accepted_at")
    return accepted.values_list("accepted_at", flat=True).first()


def _steps(channel: Channel, words: str) -> list[str]:
    facts = {
        "key": channel.key_variable or _("(it has no key variable)"),
        "url": connections.base_url(channel),
        "organization": ORGANIZATION,
    }
    if UNVERIFIED in words:
        return [
            _(
                "Sign in to the provider as the owner of your organization and verify it. At OpenAI:"
                " %(organization)s, “Verify Organization”."
            )
            % facts,
            _("Wait 15 to 30 minutes for the change to take effect."),
            _(
                "Generate a video again. If the channel is resting or paused, press Resume on its page first."
                " If it is still rejected, set a new key in %(key)s and restart web and worker."
            )
            % facts,
        ]
    status = re.match(r"HTTP (\d+)", words)
    sentence = {
        "401": _(
            "The key in %(key)s is invalid: it is wrong, revoked or from another account. Set a valid key and restart web and worker."
        ),
        "402": _("The account has no balance left. Add funds at the provider."),
        "403": _(
            "The key in %(key)s lacks permission. Check the permissions of its account and project at the provider."
        ),
        "404": _(
            "The path or model does not exist. Check the channel's base URL, %(url)s, and the provider's name for the model."
        ),
        "405": _("This URL does not accept jobs. Check the channel's base URL, %(url)s."),
    }.get(
        status[1] if status else "",
        _("Check the key in %(key)s, the account's balance and the base URL, %(url)s."),
    )
    return [
        sentence % facts,
        _("Then generate a video again. This notice disappears once a job is accepted."),
    ]
