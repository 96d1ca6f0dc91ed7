"""Credits that staff grant. Nobody grants any to themselves, and a second person confirms what is much.

A grant is this row and, once it is granted, one entry in the ledger that names it.
"""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import credits, utc_days
from accounts.models import StaffGrant, User

Status = StaffGrant.Status


class GrantRefused(Exception):
    """Nothing was granted, and nothing waits. The text says why."""


def grant(
    user: User,
    amount: int,
    *,
    giver: User | None,
    reason: str,
    note: str = "",
    form: UUID,
    expires_at: datetime | None = None,
) -> StaffGrant:
    """Grant `amount` credits (> 0), or ask for a second person: see `needs_second`. `giver` is None for the command line.

    `form` becomes the id of the grant. Raises GrantRefused if somebody would grant to themselves.
    """
    if giver == user:
        raise GrantRefused(_("Nobody can grant credits to themselves. Ask another member of staff."))
    with transaction.atomic():
        _lock(user, giver)
        wanted = StaffGrant.objects.create(
            pk=form,
            reference=f"staff:{form}",
            user=user,
            amount=amount,
            reason=reason[:300],
            note=note[:200],
            expires_at=expires_at,
            giver=giver,
            status=Status.WAITING if giver and needs_second(giver, amount) else Status.GRANTED,
        )
        if wanted.status == Status.GRANTED:
            _give(wanted)
    return wanted


def needs_second(giver: User, amount: int) -> bool:
    """Whether this grant is above STAFF_GRANT, or more than STAFF_GRANTS_A_DAY with what they granted alone today."""
    alone = giver.given_grants.filter(
        second=None, status=Status.GRANTED, created_at__gte=utc_days.start_of(utc_days.today())
    )
    today = alone.aggregate(n=Sum("amount"))["n"] or 0
    return amount > settings.STAFF_GRANT or today + amount > settings.STAFF_GRANTS_A_DAY


def confirm(grant: StaffGrant, second: User) -> bool:
    """Grant what waits. False if it does not wait any more.

    Raises GrantRefused if the second person is the first, or would grant to themselves.
    """
    if second in (grant.giver, grant.user):
        raise GrantRefused(_("Somebody else has to confirm this grant."))
    with transaction.atomic():
        if not _decide(grant, second, Status.GRANTED):
            return False
        _give(grant)
    return True


def decline(grant: StaffGrant, second: User) -> bool:
    """Grant nothing; whoever asked may decline, too. False if it does not wait any more."""
    return _decide(grant, second, Status.DECLINED)


def _decide(grant: StaffGrant, second: User, status: str) -> bool:
    waiting = StaffGrant.objects.filter(pk=grant.pk, status=Status.WAITING)
    return bool(waiting.update(status=status, second=second, decided_at=timezone.now()))


def _give(grant: StaffGrant) -> None:
    credits.grant(
        grant.user, grant.amount, reference=grant.reference, note=grant.note, expires_at=grant.expires_at
    )


def _lock(user: User, giver: User | None) -> None:
    """Both accounts, in an order of which two that grant to each other cannot wait for each other."""
    accounts = [one.pk for one in (user, giver) if one]
    list(User.objects.select_for_update(no_key=True).filter(pk__in=accounts).order_by("pk"))
