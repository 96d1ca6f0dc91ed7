"""How long a transaction waits for a row that another one has locked. Only PostgreSQL locks rows.

Without a limit, one session that holds somebody's row and does not go on would hold up everybody whose changes are written
together with that person's.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, connection, transaction

log = logging.getLogger(__name__)

LOCK_NOT_AVAILABLE = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def wait_at_most(seconds: float) -> None:
    """Limit each wait for a lock in the rest of this transaction."""
    _set(f"{max(1, round(seconds * 1000))}ms")


def is_locked(error: BaseException) -> bool:
    """Whether this error means that a row stayed locked for too long."""
    return getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE


def attempt(change: Callable[[], Any], seconds: float) -> bool:
    """Make a change inside the current transaction. False, and nothing is changed, if a row stays locked for so long."""
    before = _current()
    try:
        with transaction.atomic():
            wait_at_most(seconds)
            change()
            _set(before)
    except OperationalError as error:
        if not is_locked(error):
            raise
        log.warning("Postponed: another session has locked a row. %s", error)
        return False
    return True


def _current() -> str:
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        return cursor.fetchone()[0]


def _set(timeout: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [timeout])
