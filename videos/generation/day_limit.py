"""What a person may spend in a day (UTC): a limit of their own, and one that staff set. The lower one counts.

Keys have limits of their own besides: see `videos/api/spending.py`.
"""

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import utc_days
from accounts.models import User
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


def check(user: User, price: int, charged: int = 0) -> None:
    """Raise DayLimitReached if `price` credits are too many today. Of these, so many have been charged already.

    Where an order is placed, call it after the charge, which locks the account, and before the order is saved.
    """
    limit = limit_of(user)
    if limit is not None and price and (spent := spent_today(user) - charged) + price > limit:
        raise DayLimitReached(price, spent, limit)


def spent_today(user: User) -> int:
    """The credits of today's orders (UTC). Refunded ones do not count."""
    midnight = utc_days.start_of(utc_days.today())
    entries = user.credit_entries.filter(kind__in=["charge", "refund"]).order_by("-pk")
    refunded, spent = set[str](), 0
    # Newest first, so that only those of today are read: a refund is met before its charge.
    for entry in entries.iterator(chunk_size=100):
        if entry.created_at < midnight:
            break
        if entry.kind == "refund":
            refunded.add(entry.reference)
        elif entry.reference not in refunded:
            spent -= entry.amount
    return spent
