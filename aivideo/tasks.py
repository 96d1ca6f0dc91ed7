"""What the queue calls for the operation of the site."""

import logging

from aivideo.models import LedgerCheck
from aivideo.staff import daily_totals
from videos.generation.invariants import violations

log = logging.getLogger(__name__)

KEPT = 60  # checks


def close_days() -> None:
    """Once an hour: count the days that are over."""
    daily_totals.close()


def check_ledger() -> None:
    """Once a day: check all balances and videos, and keep what was found for the money console."""
    counts, wrong = violations()
    LedgerCheck.objects.create(counts=counts, violations=wrong)
    for sentence in wrong:
        log.error("The ledger is wrong: %s", sentence)
    kept = LedgerCheck.objects.values_list("pk", flat=True)[:KEPT]
    LedgerCheck.objects.exclude(pk__in=list(kept)).delete()
