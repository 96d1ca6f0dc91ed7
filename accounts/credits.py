"""The only code that moves credits. Every movement is a ledger entry, and a reference moves credits at most once.

Besides its entries an account has three numbers: `balance`, what can be spent; `expiring`, how much of it
has an expiry date (in lots); and `debt`, what is owed (never together with a balance). Invariants:
balance - debt = the sum of the entries, and expiring = the sum of what is left in the lots. Each function
changes all of this in one transaction and starts by locking the user's row, so that movements of the same
account run one after another.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from accounts import fast_sql
from accounts.models import CreditEntry, Draw, Lot, User

log = logging.getLogger(__name__)

Kind = CreditEntry.Kind

# How long credits whose time is over can be spent after their owner has canceled what they were spent on.
GRACE = timedelta(hours=24)


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
    return grant(user, settings.SIGNUP_CREDITS, reference=f"signup:{user.pk}")


def purchase(
    user: User, amount: int, *, reference: str, note: str = "", expires_at: datetime | None = None
) -> bool:
    """Add `amount` credits (> 0) that were paid for, which expire at `expires_at` if that is given.

    True if they were added now, False if this reference was purchased before.
    """
    return _add(user, amount, Kind.PURCHASE, reference, note, expires_at)


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
            _draw(account, entry, amount, _lots(account))
            account.balance -= amount
        _keep(account)
    if available < amount:
        raise InsufficientCredits(amount, available)


def refund(user: User, amount: int, *, reference: str, note: str = "", is_canceled: bool = False) -> bool:
    """Refund `amount` credits (>= 0) that `reference` was charged. True if they were refunded now, False if before.

    Credits from a lot go back into it; if the lot has expired since, they are returned without an expiry date. But if their
    owner canceled what they were for (`is_canceled`), what has expired, or will within GRACE, can be spent until GRACE from now,
    and once only: otherwise an order and its cancellation would be a way to keep it.
    """
    return _add(user, amount, Kind.REFUND, reference, note, is_canceled=is_canceled)


def claw_back(user: User, amount: int, *, reference: str, note: str = "", source: str = "") -> bool:
    """Take back `amount` credits (> 0) whose payment was returned; what has been spent becomes a debt.

    They go out of the lots that `source`, the reference of that payment, has brought, before any others.
    True if they were taken back now, False if this reference was clawed back before.
    """
    if amount <= 0:
        raise ValueError(f"The amount of a claw-back must be positive, not {amount}.")

    def take_back(account: User, entry: CreditEntry) -> None:
        _expire(account)
        taken = min(amount, account.balance)
        account.balance -= taken
        account.debt += amount - taken
        if source:
            _draw(account, entry, taken, _lots(account).filter(entry__reference__startswith=source))
        # If those are not empty now, the others are not touched.
        _draw(account, entry, max(0, account.expiring - account.balance), _lots(account))

    return _once(user, -amount, Kind.CLAW_BACK, reference, note, take_back)


def expire(user: User) -> int:
    """Expire a user's credits that are due. Returns how many."""
    with transaction.atomic():
        account = _locked(user)
        before = account.balance
        _expire(account)
        _keep(account)
    return before - account.balance


def leave_out_expired(user: User) -> None:
    """Take out of the balance that was read what has expired and is not swept yet: what is shown can then be spent."""
    if user.expiring:
        due = user.lots.filter(left__gt=0, expires_at__lte=timezone.now()).aggregate(n=Sum("left"))["n"] or 0
        user.balance -= due
        user.expiring -= due


def read_balance(user: User) -> None:
    """Read anew what this user can spend."""
    user.refresh_from_db(fields=["balance", "expiring"])
    leave_out_expired(user)


def expire_all() -> int:
    """The same for all users. Called periodically."""
    due, count = Lot.objects.filter(left__gt=0, expires_at__lte=timezone.now()), 0
    for pk in set(due.values_list("user", flat=True)):
        try:
            count += expire(User(pk=pk))
        except IntegrityError:  # their ledger is wrong, which `check_ledger` tells; that of others is not
            log.exception("The credits of user %s could not be expired.", pk)
    return count


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
    user: User,
    amount: int,
    kind: str,
    reference: str,
    note: str = "",
    expires_at: datetime | None = None,
    is_canceled: bool = False,
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
            _add_lot(account, entry, amount - owed, expires_at)
        if kind == Kind.REFUND:
            _put_back(account, entry, is_canceled)

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


def _add_lot(account: User, entry: CreditEntry, amount: int, expires_at: datetime) -> None:
    Lot.objects.create(entry=entry, user=account, amount=amount, left=amount, expires_at=expires_at)
    account.expiring += amount


def _expire(account: User) -> None:
    due = list(_lots(account).filter(expires_at__lte=timezone.now()))
    CreditEntry.objects.bulk_create(
        CreditEntry(user=account, amount=-lot.left, kind=Kind.EXPIRE, reference=lot.expiry) for lot in due
    )
    total = sum(lot.left for lot in due)
    account.balance -= total
    _spend(account, due, total)


def _draw(account: User, entry: CreditEntry, wanted: int, lots: QuerySet[Lot]) -> None:
    """Take up to `wanted` credits of an entry from these lots, and record how much came from which."""
    drawn = _spend(account, lots, wanted)
    Draw.objects.bulk_create(Draw(lot=lot, charge=entry, amount=amount) for lot, amount in drawn)


def _spend(account: User, lots: Iterable[Lot], wanted: int) -> list[tuple[Lot, int]]:
    """Take up to `wanted` credits out of lots, in their order. Returns how many from which. Few statements, however many lots."""
    spent = []
    for lot in lots:
        taken = min(lot.left, wanted)
        if taken:
            lot.left -= taken
            wanted -= taken
            account.expiring -= taken
            spent.append((lot, taken))
    Lot.objects.bulk_update([lot for lot, _taken in spent], ["left"])
    return spent


def _put_back(account: User, refund: CreditEntry, is_canceled: bool) -> None:
    """Put back into the lots what a charge drew from them, as far as the balance is enough. See `refund` for expired ones."""
    now = timezone.now()
    of_charge = Draw.objects.filter(charge__kind=Kind.CHARGE, charge__reference=refund.reference)
    draws = list(of_charge.select_related("lot__entry").order_by("lot__expires_at", "lot"))
    # By the clock of another machine, a lot may have expired before it does by ours.
    expiries = CreditEntry.objects.filter(kind=Kind.EXPIRE, reference__in=[draw.lot.expiry for draw in draws])
    expired = set(expiries.values_list("reference", flat=True))
    filled, late, gone = [], 0, 0  # draws; credits
    for draw in draws:
        lot, amount = draw.lot, min(draw.amount, account.balance - account.expiring - late)
        # A grace comes once.
        if is_canceled and lot.expires_at < now + GRACE and lot.entry.kind != Kind.REFUND:
            late += amount
        elif lot.expires_at > now and lot.expiry not in expired:
            lot.left += amount
            account.expiring += amount
            draw.returned = amount
            filled.append(draw)
        elif is_canceled:
            gone += amount
            account.balance -= amount
    Lot.objects.bulk_update([draw.lot for draw in filled], ["left"])
    Draw.objects.bulk_update(filled, ["returned"])
    if late:
        _add_lot(account, refund, late, now + GRACE)
    if gone:
        CreditEntry.objects.create(
            user=account, amount=-gone, kind=Kind.EXPIRE, reference=f"canceled:{refund.pk}"
        )
