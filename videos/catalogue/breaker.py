"""The circuit breaker of a channel: when it rests, and for how long."""

import logging
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.functions import Now

from videos.models import Channel

log = logging.getLogger(__name__)

# The breaker opens after so many submits in a row that were lost on the way, for so many seconds at
# first, and twice as long after each probe that is lost as well.
BREAKS_AFTER, SHORTEST_BREAK, LONGEST_BREAK = 3, 5, 300


def record_success(channel: Channel) -> None:
    """The provider answered a submit, whatever it said: the breaker closes."""
    if channel.failures or channel.resumes_at:
        Channel.objects.filter(pk=channel.pk).update(failures=0, resumes_at=None)


def record_failure(channel: Channel) -> None:
    """A submit was lost on the way, or by a server that broke. The third in a row opens the breaker."""
    Channel.objects.filter(pk=channel.pk).update(failures=F("failures") + 1)
    failures = Channel.objects.values_list("failures", flat=True).get(pk=channel.pk)
    if failures >= BREAKS_AFTER:
        seconds = min(SHORTEST_BREAK * 2 ** min(failures - BREAKS_AFTER, 10), LONGEST_BREAK)
        log.warning("%s: %d submits in a row were lost; resting for %d s.", channel, failures, seconds)
        pause(channel, seconds)


def pause(channel: Channel, seconds: float) -> None:
    """Submit nothing for a while. A longer rest that was begun earlier stays."""
    until = Now() + timedelta(seconds=seconds)
    Channel.objects.filter(Q(resumes_at=None) | Q(resumes_at__lt=until), pk=channel.pk).update(
        resumes_at=until
    )


def is_paused(channel: Channel, now: datetime) -> bool:
    """Whether the channel takes no new job for now: switched off, or given time to recover."""
    # No rest is that long: it was written under a clock that has since been set back.
    latest = now + timedelta(seconds=2 * LONGEST_BREAK)
    return not channel.enabled or bool(channel.resumes_at and now < channel.resumes_at < latest)
