"""The only code that moves credits. Every move is a line in the ledger, and a reference moves once.

An account is three numbers beside its entries: what can be spent (`balance`), what of it lapses one
day (`lapsing`, in lots), and what is owed (`debt`, never beside a balance). Always holds: balance -
debt = the sum of the entries, and lapsing = the sum of what is left in the lots. Each verb changes
all of that in one transaction and begins with the row of the user, the lock that other moves of the
same account wait for.
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
    """The account holds less than the price. `needed` and `available` are credits."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available.")
        self.needed, self.available = needed, available

    @property
    def missing(self) -> int:
        return self.needed - self.available


def grant(
    user: User, amount: int, *, reference: str, note: str = "", expires_at: datetime | None = None
) -> bool:
    """Give `amount` credits (> 0), which are gone from `lapses_at` on where that is given.

    True if they were given now, False if this reference had them before.
    """
    return _add(user, amount, Kind.GRANT, reference, note, expires_at)


def grant_signup(user: User) -> bool:
    """Give a new user SIGNUP_CREDITS, once in the user's life."""
    if not settings.SIGNUP_CREDITS:
        return False
    return grant(user, settings.SIGNUP_CREDITS, reference=f"signup:{user.pk}")


def purchase(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Give `amount` credits (> 0) that were paid for. True if they were given now, False if before."""
    return _add(user, amount, Kind.PURCHASE, reference, note)


def charge(user: User, amount: int, *, reference: str) -> None:
    """Take `amount` credits (>= 0; 0 leaves no entry) for `reference`. Call it first in its transaction.

    Raises InsufficientCredits if the account holds less, IntegrityError if this reference was charged before.
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
    """Return `amount` credits (>= 0) that `reference` was charged. True if they went back now, False if before.

    What came from a lot goes back there; if that has lapsed meanwhile, it is given for good.
    """
    return _add(user, amount, Kind.REFUND, reference, note)


def claw_back(user: User, amount: int, *, reference: str, note: str = "") -> bool:
    """Take back `amount` credits (> 0) whose payment was returned; what is spent already becomes a debt.

    True if they were taken now, False if this reference took them before.
    """
    if amount <= 0:
        raise ValueError(f"A claw-back of {amount} credits takes nothing back.")

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
    """Take away what has lapsed of a user's credits; how many credits that were."""
    with transaction.atomic():
        account = _locked(user)
        before = account.balance
        _expire(account)
        _keep(account)
    return before - account.balance


def expire_all() -> int:
    """The same for everybody; how many credits lapsed. To be called from time to time."""
    due = Lot.objects.filter(left__gt=0, expires_at__lte=timezone.now())
    return sum(expire(User(pk=pk)) for pk in set(due.values_list("user", flat=True)))


# --- Small parts ----------------------------------------------------------------------------------


def _take(user: User, amount: int) -> bool:
    """The short way of nearly every charge, in one statement: for an account of which nothing lapses."""
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
        raise ValueError(f"A {kind} adds credits, so {amount} cannot be one.")

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
    """Write the entry and move what it says. False, and nothing is moved, if the reference moved before."""
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
    """The account as it is now; nobody else moves it until this transaction ends."""
    return User.objects.select_for_update(no_key=True).only("balance", "debt", "expiring").get(pk=user.pk)


def _keep(account: User) -> None:
    account.save(update_fields=["balance", "debt", "expiring"])


def _lots(account: User) -> QuerySet[Lot]:
    """What may be spent of an account's lots, in that order."""
    return account.lots.filter(left__gt=0).order_by("expires_at", "pk")


def _expire(account: User) -> None:
    for lot in _lots(account).filter(expires_at__lte=timezone.now()):
        CreditEntry.objects.create(
            user=account, amount=-lot.left, kind=Kind.EXPIRE, reference=f"lot:{lot.pk}"
        )
        account.balance -= lot.left
        _spend(account, lot, lot.left)


def _draw(account: User, charge: CreditEntry) -> None:
    """Take a charge from the lots as far as they reach, and note what came from which."""
    wanted = -charge.amount
    for lot in _lots(account):
        if not wanted:
            break
        taken = _spend(account, lot, wanted)
        Draw.objects.create(lot=lot, charge=charge, amount=taken)
        wanted -= taken


def _put_back(account: User, reference: str) -> None:
    """Return to the lots what a charge drew from them, as far as they live and the balance has it."""
    living = Draw.objects.filter(
        charge__kind=Kind.CHARGE, charge__reference=reference, lot__expires_at__gt=timezone.now()
    )
    for draw in living.select_related("lot").order_by("lot__expires_at", "lot"):
        _spend(account, draw.lot, -min(draw.amount, account.balance - account.expiring))


def _spend(account: User, lot: Lot, most: int) -> int:
    """Move up to `most` credits out of a lot (a negative number puts them in); how many that were."""
    spent = min(lot.left, most)
    lot.left -= spent
    lot.save(update_fields=["left"])
    account.expiring -= spent
    return spent
