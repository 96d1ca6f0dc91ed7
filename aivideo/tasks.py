"""Scheduled tasks. The queue refers to them by name: do not rename."""

import logging

from aivideo.models import LedgerCheck
from aivideo.staff import daily_totals
from videos.generation.invariants import violations

log = logging.getLogger(__name__)

MAX_CHECKS = 60  # kept in the database


def close_days() -> None:
    """Hourly: save the totals of days that are over."""
    daily_totals.close()


def check_ledger() -> None:
    """Daily: check all balances and videos, and save the findings for the money console."""
    counts, wrong = violations()
    LedgerCheck.objects.create(counts=counts, violations=wrong)
    for sentence in wrong:
        log.error("The ledger is wrong: %s", sentence)
    kept = LedgerCheck.objects.values_list("pk", flat=True)[:MAX_CHECKS]
    LedgerCheck.objects.exclude(pk__in=list(kept)).delete()
