"""Scheduled tasks. The queue refers to them by name: do not rename."""

import logging

from accounts import low_balance, plans, stripe_gateway, stripe_plans, stripe_reconciliation
from aivideo import ledger_seals
from aivideo.ledger_check import violations
from aivideo.models import LedgerCheck, PurchaseCheck
from aivideo.staff import actions as staff_actions
from aivideo.staff import daily_totals
from videos.generation import purchases

log = logging.getLogger(__name__)

MAX_CHECKS = 60  # kept in the database


def settle_open_payments() -> None:
    """Hourly: ask Stripe about payments and subscriptions that nobody has told us about, and complete automatic top-ups."""
    if stripe_gateway.is_configured():
        # First what cannot wait for long: of this task, a slow Stripe may leave the rest for the next hour.
        low_balance.complete_open()
        stripe_reconciliation.ask_about_open()
        plans.ask_about_due(stripe_plans.state_of, stripe_gateway.truth_of)


def close_days() -> None:
    """Hourly: save the totals of days that are over."""
    daily_totals.close()


def check_ledger() -> None:
    """Daily: check all balances and videos, save the findings for the money console, and seal what there is."""
    staff_actions.complete_grants()
    counts, wrong = violations()
    LedgerCheck.objects.create(counts=counts, violations=wrong)
    for sentence in wrong:
        log.error("The ledger is wrong: %s", sentence)
    # Also what is wrong: that is looked for again each night, sealed or not.
    ledger_seals.seal()
    _forget_old(LedgerCheck)


def check_purchases() -> None:
    """Daily: compare what was bought at the providers with what was sold, and save it for the money console."""
    found = purchases.check()
    PurchaseCheck.objects.create(
        channels=[one.as_json() for one in found],
        given_away=sum(sum(one.given_away.values()) for one in found),
        given_away_cost=sum(one.given_away_cost for one in found),
        wrong=sum(one.discrepancies for one in found),
    )
    for one in found:
        if one.is_wrong:
            log.error(
                "Purchases at %s do not add up. Jobs that no video names: %s. Running videos whose job is not listed: %s",
                *(one.channel, one.unknown_refs, one.missing_ids),
            )
    _forget_old(PurchaseCheck)


def _forget_old(checks: type[LedgerCheck | PurchaseCheck]) -> None:
    kept = checks.objects.values_list("pk", flat=True)[:MAX_CHECKS]
    checks.objects.exclude(pk__in=list(kept)).delete()
