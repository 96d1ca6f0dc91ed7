"""The circuit breaker of a channel: when it opens, and for how long."""

import logging
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from videos.models import Channel

log = logging.getLogger(__name__)

# The breaker opens after BREAKS_AFTER failed submits in a row, for SHORTEST_BREAK seconds. Each failed probe doubles
# that, up to LONGEST_BREAK.
BREAKS_AFTER, SHORTEST_BREAK, LONGEST_BREAK = 3, 5, 300


def record_success(channel: Channel) -> None:
    """Close the breaker: the provider answered a submit, whatever the answer was."""
    if channel.failures or channel.resumes_at:
        Channel.objects.filter(pk=channel.pk).update(failures=0, resumes_at=None)


def record_failure(channel: Channel, sent_at: datetime) -> None:
    """Count a submit, sent at `sent_at`, that got no answer or a server error. BREAKS_AFTER of them in a row open the breaker.

    Once it has opened, only requests sent after its pause count, the probes: those that were under way at the time
    would tell the same trouble again.
    """
    is_closed = Q(failures__lt=BREAKS_AFTER)
    is_probe = Q(resumes_at=None) | Q(resumes_at__lte=sent_at) | Q(resumes_at__gt=_latest_end(timezone.now()))
    if not Channel.objects.filter(is_closed | is_probe, pk=channel.pk).update(failures=F("failures") + 1):
        return
    failures = Channel.objects.values_list("failures", flat=True).get(pk=channel.pk)
    if failures >= BREAKS_AFTER:
        seconds = min(SHORTEST_BREAK * 2 ** min(failures - BREAKS_AFTER, 10), LONGEST_BREAK)
        log.warning("%s: %d submits in a row failed; pausing for %d s.", channel, failures, seconds)
        pause(channel, seconds)


def pause(channel: Channel, seconds: float) -> None:
    """Submit nothing to this channel for `seconds` seconds. Does not shorten a longer pause."""
    until = Now() + timedelta(seconds=seconds)
    Channel.objects.filter(Q(resumes_at=None) | Q(resumes_at__lt=until), pk=channel.pk).update(
        resumes_at=until
    )


def is_paused(channel: Channel, now: datetime) -> bool:
    """Whether the channel takes no new jobs now: it is disabled or paused (breaker open, or the provider was busy)."""
    return not channel.enabled or bool(channel.resumes_at and now < channel.resumes_at < _latest_end(now))


def _latest_end(now: datetime) -> datetime:
    """No pause ends later than that, unless the clock has been set back since it was written."""
    return now + timedelta(seconds=2 * LONGEST_BREAK)
