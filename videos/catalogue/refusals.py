"""Providers that refuse our requests (bad key, no balance, unverified account): since when, why, and how to fix it.

It is never the customer's fault: the video is refunded, or another channel makes it. Only staff can fix it,
so it stays on their dashboard until the channel has accepted an order again.
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
# Only the newest events are scanned, by a fixed range of their primary key, however many there are.
LOOKED_AT = 20_000
UNVERIFIED = "must be verified"
ORGANISATION = "https://platform.openai.com/settings/organization/general"


@dataclass
class Refusal:
    """A channel's refusals since it last accepted an order; `words` is the provider's latest message."""

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
            _("To ask each provider for free: manage.py doctor --providers"),
        ]


def current_refusals() -> list[Refusal]:
    """For each available channel whose provider refused orders recently and has accepted none since, by channel name."""
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    channels = {
        channel.slug: channel for channel in Channel.objects.all() if connections.is_available(channel)
    }
    for at, slug, words in _recent_refusals():
        if slug in channels:
            found[channels[slug].pk].append((at, words))
    refusals = []
    for channel in channels.values():
        accepted_at = _accepted_at(channel) if channel.pk in found else None
        since = [(at, words) for at, words in found[channel.pk] if accepted_at is None or at > accepted_at]
        if since:
            refusals.append(Refusal(channel, [at for at, _words in since], since[-1][1]))
    return refusals


def _recent_refusals() -> list[tuple[datetime, str, str]]:
    """The time of each refusal, the channel's slug and the provider's message, oldest first."""
    newest = VideoEvent.objects.aggregate(pk=Max("pk"))["pk"] or 0
    events = VideoEvent.objects.filter(
        Q(went_to=Status.FAILED, reason="provider_refused")
        | Q(went_to=Status.QUEUED, reason__startswith=REFUSED_BY),
        pk__gt=newest - LOOKED_AT,
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
        "organisation": ORGANISATION,
    }
    if UNVERIFIED in words:
        return [
            _(
                "Sign in at the settings of the provider's organisation as its owner and verify it. At OpenAI:"
                " %(organisation)s, “Verify Organization”."
            )
            % facts,
            _("Wait 15 to 30 minutes, until all of the provider's servers know."),
            _(
                "Generate a video once more; where the channel rests or is paused, press Resume on its page first."
                " If it is still refused, put a new key into %(key)s and restart web and worker."
            )
            % facts,
        ]
    status = re.match(r"HTTP (\d+)", words)
    sentence = {
        "401": _(
            "The key in %(key)s is not taken: it is wrong, revoked or of another account. Put a good one there and restart web and worker."
        ),
        "402": _("The account has no balance left. Add money to it at the provider."),
        "403": _(
            "The key in %(key)s may not do this. Check at the provider what its account and project are allowed."
        ),
        "404": _(
            "There is no such path or model. Check the channel's base URL, %(url)s, and the provider's name of the model."
        ),
        "405": _("The address takes no orders. Check the channel's base URL, %(url)s."),
    }.get(
        status[1] if status else "",
        _("Check the key in %(key)s, the balance of the account and the base URL, %(url)s."),
    )
    return [sentence % facts, _("Then generate a video once more: this notice goes when it is taken.")]
