"""What a person may spend in a day (UTC): a limit of their own, and one that staff set. The lower one counts.

Keys have limits of their own besides: see `videos/api/spending.py`.
"""

from datetime import timedelta

from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import utc_days
from accounts.models import User
from videos.models import Status, Video
from videos.order import NotNow


class DayLimitReached(NotNow):
    """The order would exceed what its owner may spend today. All in credits."""

    status, code = 429, "daily_limit_reached"

    def __init__(self, price: int, spent: int, limit: int) -> None:
        midnight = utc_days.start_of(utc_days.today()) + timedelta(days=1)
        self.after = max(1.0, (midnight - timezone.now()).total_seconds())
        super().__init__(
            _(
                "Your account can spend %(limit)d credits a day. You have spent %(spent)d today, and this costs %(price)d."
                " The day ends at midnight UTC."
            )
            % {"limit": limit, "spent": spent, "price": price}
        )


def limit_of(user: User) -> int | None:
    """The credits that a user may spend in a day; None if nobody limits them."""
    limits = (user.credits_a_day, user.staff_credits_a_day)
    return min((limit for limit in limits if limit is not None), default=None)


def check(user: User, price: int) -> None:
    """Raise DayLimitReached if `price` more credits are too many today. Call it where the account is locked, before the order is saved."""
    limit = limit_of(user)
    if limit is not None and price and (spent := spent_today(user)) + price > limit:
        raise DayLimitReached(price, spent, limit)


def spent_today(user: User) -> int:
    """The credits of today's orders (UTC). Refunded ones do not count."""
    return spent(user.videos.filter(created_at__gte=utc_days.start_of(utc_days.today())))


def spent(videos: QuerySet[Video]) -> int:
    """Credits that these videos were charged and that were not refunded."""
    kept = videos.exclude(status__in=[Status.FAILED, Status.CANCELED]).exclude(is_free=True)
    return kept.aggregate(n=Sum("credits"))["n"] or 0
