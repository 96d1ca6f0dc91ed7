"""All that must hold of credits, money and videos: what `manage.py check_ledger` and the nightly check look for."""

from collections.abc import Iterator
from datetime import date

from django.db import DEFAULT_DB_ALIAS, connection

from accounts import guards, invariants
from accounts.invariants import MAX_SHOWN, Check
from accounts.models import CreditEntry, User
from aivideo import ledger_seals
from aivideo.models import LedgerDay
from videos.generation import invariants as of_videos
from videos.models import Video

GRANTS_ARE_LOGGED = Check(
    "grant {} of {} credits by user {} is not in the audit log",
    """
    SELECT {}, staff.amount, staff.giver_id FROM accounts_staffgrant staff
    LEFT JOIN aivideo_auditentry deed ON deed.form = staff.id AND deed.action = 'grant'
    WHERE staff.giver_id IS NOT NULL AND (deed.id IS NULL OR deed.staff_id <> staff.giver_id)
    """,
)


def violations() -> tuple[dict[str, int], list[str]]:
    """The number of rows checked, by kind, and one sentence per violation."""
    counts = {
        "users": User.objects.count(),
        "credit entries": CreditEntry.objects.count(),
        "videos": Video.objects.count(),
        "videos unfinished": Video.objects.live().count(),
    }
    found = [*invariants.violations(), *of_videos.violations(), *_grants(), *_days(), *_triggers()]
    return counts, [*found, *ledger_seals.broken()]


def _grants() -> Iterator[str]:
    sql = GRANTS_ARE_LOGGED.sql.format(invariants.uuid_text("staff.id"))
    return invariants.found([Check(GRANTS_ARE_LOGGED.sentence, sql)])


def _days() -> Iterator[str]:
    """The saved totals of days are the sums of their entries."""
    saved = {(row.day, row.kind): row.credits for row in LedgerDay.objects.all()}
    if not saved:
        return
    wrong = 0
    for day_and_kind, credits in _sums().items():
        if saved.pop(day_and_kind, 0) != credits:
            wrong += 1
            if wrong <= MAX_SHOWN:
                yield "the saved total of {:%Y-%m-%d} is wrong for entries of kind {}".format(*day_and_kind)
    for day, kind in list(saved)[:MAX_SHOWN]:
        yield f"there is a saved total of {day:%Y-%m-%d} for entries of kind {kind}, but there are none"


def _sums() -> dict[tuple[date, str], int]:
    """The credits of all entries that are in the saved totals, by day (UTC) and kind."""
    # Django's TruncDate is a function in Python on SQLite.
    is_sqlite = connection.vendor == "sqlite"
    day = "SUBSTR(created_at, 1, 10)" if is_sqlite else "CAST(created_at AT TIME ZONE 'UTC' AS date)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {day}, kind, SUM(amount) FROM accounts_creditentry"
            f" WHERE id <= (SELECT MAX(last_entry) FROM aivideo_ledgerday) GROUP BY {day}, kind"
        )
        return {
            (date.fromisoformat(day) if is_sqlite else day, kind): int(total)
            for day, kind, total in cursor.fetchall()
        }


def _triggers() -> Iterator[str]:
    for name in guards.missing((*guards.MONEY, *ledger_seals.GUARDS), DEFAULT_DB_ALIAS):
        yield f"the database's trigger {name} is missing, disabled or changed; `manage.py migrate` creates it"
