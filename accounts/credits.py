"""The only code that moves credits. Every movement is a ledger entry, and a reference moves credits at most once.

Besides its entries an account has three numbers: `balance`, what can be spent; `expiring`, how much of it
has an expiry date (in lots); and `debt`, what is owed (never together with a balance). Invariants:
balance - debt = the sum of the entries, and expiring = the sum of what is left in the lots. Each function
changes all of this in one transaction and starts by locking the user's row, so that movements of the same
account run one after another.
"""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import fast_sql
from accounts.models import CreditEntry, Draw, Lot, User

Kind = CreditEntry.Kind


class InsufficientCredits(Exception):
    """The balance is less than the price. `needed` and `available` are credits."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available.")
        self.needed, self.available = needed, available

    @property
    def missing(self) -> int:
        return self.needed - self.available


def grant(
    user: User, amount: int, *, reference: str, note: str = "", expires_at: datetime | None = None
) -> bool:
    """Grant `amount` credits (> 0), which expire at `expires_at` if that is given.

    True if they were granted now, False if this reference was granted before.
    """
    return _add(user, amount, Kind.GRANT, reference, note, expires_at)


def grant_signup(user: User) -> bool:
    """Grant a new user SIGNUP_CREDITS, once per user."""
    if not settings.SIGNUP_CREDITS:
        return False
    return grant(user, settings.SIGNUP_CREDITS, reference=f"signup:{user.pk}")


def purchase(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Add `amount` credits (> 0) that were paid for. True if they were added now, False if before."""
    return _add(user, amount, Kind.PURCHASE, reference, note)


def charge(user: User, amount: int, *, reference: str) -> None:
    """Charge `amount` credits (>= 0; 0 makes no entry) for `reference`. Call it first in its transaction.

    Raises InsufficientCredits if the balance is too low, IntegrityError if this reference was charged before.
    """
    if amount == 0:
        return
    entry = CreditEntry(user_id=user.pk, amount=-amount, kind=Kind.CHARGE, reference=reference)
    with transaction.atomic(savepoint=False):
        if _take(user, amount):
            fast_sql.insert(entry)
            return
        account = _locked(user)
        _expire(account)
        available = account.balance
        if available >= amount:
            entry.save()
            _draw(account, entry)
            account.balance -= amount
        _keep(account)
    if available < amount:
        raise InsufficientCredits(amount, available)


def refund(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Refund `amount` credits (>= 0) that `reference` was charged. True if they were refunded now, False if before.

    Credits from a lot go back into it; if the lot has expired since, they are returned without an expiry date.
    """
    return _add(user, amount, Kind.REFUND, reference, note)


def claw_back(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Take back `amount` credits (> 0) whose payment was returned; what has been spent becomes a debt.

    True if they were taken back now, False if this reference was clawed back before.
    """
    if amount <= 0:
        raise ValueError(f"The amount of a claw-back must be positive, not {amount}.")

    def take_back(account: User, _entry: CreditEntry) -> None:
        taken = min(amount, account.balance)
        account.balance -= taken
        account.debt += amount - taken
        for lot in _lots(account):
            if account.expiring <= account.balance:
                break
            _spend(account, lot, account.expiring - account.balance)

    return _once(user, -amount, Kind.CLAW_BACK, reference, note, take_back)


def expire(user: User) -> int:
    """Expire a user's credits that are due. Returns how many."""
    with transaction.atomic():
        account = _locked(user)
        before = account.balance
        _expire(account)
        _keep(account)
    return before - account.balance


def expire_all() -> int:
    """The same for all users. Called periodically."""
    due = Lot.objects.filter(left__gt=0, expires_at__lte=timezone.now())
    return sum(expire(User(pk=pk)) for pk in set(due.values_list("user", flat=True)))


# --- Helpers --------------------------------------------------------------------------------------


def _take(user: User, amount: int) -> bool:
    """The fast path of nearly every charge, in one statement: for an account without expiring credits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_user SET balance = balance - %s WHERE id = %s AND balance >= %s AND lapsing = 0",
            [amount, user.pk, amount],
        )
        return bool(cursor.rowcount)


def _add(
    user: User, amount: int, kind: str, reference: str, note: str = "", expires_at: datetime | None = None
) -> bool:
    if amount == 0:
        return False
    if amount < 0:
        raise ValueError(f"The amount of a {kind} must be positive, not {amount}.")

    def put_in(account: User, entry: CreditEntry) -> None:
        owed = min(amount, account.debt)
        account.debt -= owed
        account.balance += amount - owed
        if expires_at and amount > owed:
            Lot.objects.create(
                entry=entry, user=account, amount=amount - owed, left=amount - owed, expires_at=expires_at
            )
            account.expiring += amount - owed
        if kind == Kind.REFUND:
            _put_back(account, reference)

    return _once(user, amount, kind, reference, note, put_in)


def _once(
    user: User,
    amount: int,
    kind: str,
    reference: str,
    note: str,
    move: Callable[[User, CreditEntry], None],
) -> bool:
    """Write the entry and apply `move`. False, without any change, if this reference has moved credits before."""
    try:
        with transaction.atomic():
            account = _locked(user)
            entry = CreditEntry.objects.create(
                user_id=user.pk, amount=amount, kind=kind, reference=reference, note=note
            )
            move(account, entry)
            _keep(account)
    except IntegrityError:
        if CreditEntry.objects.filter(kind=kind, reference=reference).exists():
            return False
        raise
    return True


def _locked(user: User) -> User:
    """The current account, locked until the transaction ends."""
    return User.objects.select_for_update(no_key=True).only("balance", "debt", "expiring").get(pk=user.pk)


def _keep(account: User) -> None:
    account.save(update_fields=["balance", "debt", "expiring"])


def _lots(account: User) -> QuerySet[Lot]:
    """The account's lots with credits left, in the order in which they are spent."""
    return account.lots.filter(left__gt=0).order_by("expires_at", "pk")


def _expire(account: User) -> None:
    for lot in _lots(account).filter(expires_at__lte=timezone.now()):
        CreditEntry.objects.create(
            user=account, amount=-lot.left, kind=Kind.EXPIRE, reference=f"lot:{lot.pk}"
        )
        account.balance -= lot.left
        _spend(account, lot, lot.left)


def _draw(account: User, charge: CreditEntry) -> None:
    """Take a charge from the lots as far as possible, and record how much came from which."""
    wanted = -charge.amount
    for lot in _lots(account):
        if not wanted:
            break
        taken = _spend(account, lot, wanted)
        Draw.objects.create(lot=lot, charge=charge, amount=taken)
        wanted -= taken


def _put_back(account: User, reference: str) -> None:
    """Put back into the lots what a charge drew from them, unless they have expired or the balance is too low."""
    unexpired = Draw.objects.filter(
        charge__kind=Kind.CHARGE, charge__reference=reference, lot__expires_at__gt=timezone.now()
    )
    for draw in unexpired.select_related("lot").order_by("lot__expires_at", "lot"):
        _spend(account, draw.lot, -min(draw.amount, account.balance - account.expiring))


def _spend(account: User, lot: Lot, limit: int) -> int:
    """Take up to `limit` credits out of a lot (a negative number puts them in). Returns how many."""
    spent = min(lot.left, limit)
    lot.left -= spent
    lot.save(update_fields=["left"])
    account.expiring -= spent
    return spent
