"""The only code that moves a balance. Every move is a line in the ledger, and a reference moves once.

A balance is the running total of its entries. Each verb changes both in one transaction; the
balance comes first, since that row is the lock that other moves of the same account wait for, and
the shorter it is waited for the more moves fit into a second.
"""

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from accounts import sql
from accounts.models import CreditEntry, User


class InsufficientCredits(Exception):
    """The account holds less than the price. `needed` and `available` are credits."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available.")
        self.needed, self.available = needed, available

    @property
    def missing(self) -> int:
        return self.needed - self.available


def grant(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Give `amount` credits (> 0). True if they were given now, False if this reference had them before."""
    return _add(user, amount, CreditEntry.Kind.GRANT, reference, note)


def grant_signup(user: User) -> bool:
    """Give a new user SIGNUP_CREDITS, once in the user's life."""
    if not settings.SIGNUP_CREDITS:
        return False
    return grant(user, settings.SIGNUP_CREDITS, reference=f"signup:{user.pk}")


def charge(user: User, amount: int, *, reference: str) -> None:
    """Take `amount` credits (>= 0; 0 leaves no entry) for `reference`. Call it first in its transaction.

    Raises InsufficientCredits if the account holds less, IntegrityError if this reference was charged before.
    """
    if amount == 0:
        return
    entry = CreditEntry(user_id=user.pk, amount=-amount, kind=CreditEntry.Kind.CHARGE, reference=reference)
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_user SET balance = balance - %s WHERE id = %s AND balance >= %s",
            [amount, user.pk, amount],
        )
        if has_enough := bool(cursor.rowcount):
            sql.insert(entry)
    if not has_enough:
        raise InsufficientCredits(amount, User.objects.values_list("balance", flat=True).get(pk=user.pk))


def refund(user: User, amount: int, *, reference: str) -> bool:
    """Return `amount` credits (>= 0) that `reference` was charged. True if they went back now, False if before."""
    return _add(user, amount, CreditEntry.Kind.REFUND, reference)


def _add(user: User, amount: int, kind: str, reference: str, note: str = "") -> bool:
    if amount == 0:
        return False
    if amount < 0:
        raise ValueError(f"A {kind} adds credits, so {amount} cannot be one.")
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(balance=F("balance") + amount)
            CreditEntry.objects.create(
                user_id=user.pk, amount=amount, kind=kind, reference=reference, note=note
            )
    except IntegrityError:
        if CreditEntry.objects.filter(kind=kind, reference=reference).exists():
            return False
        raise
    return True
