"""Slowing down whoever has videos blocked at a provider that charges for them all the same."""

from datetime import datetime, timedelta
from math import ceil

from django.db.models import Count, Max
from django.utils import timezone
from django.utils.translation import ngettext

from accounts.models import User
from videos.models import BLOCKED, Channel, Status, Video
from videos.order import NotNow

WINDOW = timedelta(days=1)
TOLERATED = 3  # blocked videos of one user within WINDOW; each more makes the pause twice as long
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(hours=1)


class SlowedDown(NotNow):
    """Too many of the user's videos were blocked at a channel that charges for them."""

    status, code = 429, "too_many_blocked"

    def __init__(self, until: datetime) -> None:
        self.after = max(1.0, (until - timezone.now()).total_seconds())
        minutes = ceil(self.after / 60)
        super().__init__(
            ngettext(
                "Several of your videos were blocked by the model's safety rules, so new ones have to wait. Try again"
                " in %(n)d minute, with another prompt or picture.",
                "Several of your videos were blocked by the model's safety rules, so new ones have to wait. Try again"
                " in %(n)d minutes, with another prompt or picture.",
                minutes,
            )
            % {"n": minutes}
        )


def check(user: User, channel: Channel) -> None:
    """Raise SlowedDown while the user has to wait at this channel."""
    if until := pauses(channel, user).get(user.pk):
        raise SlowedDown(until)


def pauses(channel: Channel, user: User | None = None) -> dict[int, datetime]:
    """Who has to wait at this channel, by primary key, and until when; with `user`, only this one."""
    if not channel.charges_for_blocked:
        return {}
    now = timezone.now()
    # Worded exactly like the partial index `blocked`, or the database does not use it.
    blocked = Video.objects.extra(where=[f"status = '{Status.FAILED}' AND error_code = '{BLOCKED}'"]).filter(
        channel=channel, ended_at__gt=now - WINDOW, accepted_at__isnull=False
    )
    if user:
        blocked = blocked.filter(user=user)
    counts = blocked.order_by().values_list("user").annotate(n=Count("pk"), last=Max("ended_at"))
    until = {pk: last + _pause(n) for pk, n, last in counts.filter(n__gt=TOLERATED)}
    return {pk: at for pk, at in until.items() if at > now}


def _pause(blocked: int) -> timedelta:
    return min(SHORTEST * 2 ** min(blocked - TOLERATED - 1, 20), LONGEST)
