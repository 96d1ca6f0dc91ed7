"""What became of the money of a charge at Stripe: its refunds and disputes, and what each did to our balance there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from accounts.models import BalanceTransaction

if TYPE_CHECKING:
    import stripe

# What the money did stands in a dispute's balance transactions. Its status counts while there are none, and tells whether we
# know what Stripe is talking about.
# Dispute statuses in which no money is withdrawn, or it has been returned; a warning is only an inquiry.
NOT_TAKEN = ("won", "warning_needs_response", "warning_under_review", "warning_closed")
# Dispute statuses in which the money is withdrawn, for good or not. Only a lost dispute can be appealed; a prevented one was refunded.
LOST = ("lost", "prevented")
TAKEN = (*LOST, "needs_response", "under_review", "appeal_needs_response", "appeal_under_review")


def what_happened(client: "stripe.StripeClient", intent: "stripe.PaymentIntent") -> dict[str, Any]:
    """The fields of Truth about a payment intent whose charge is expanded: what it did to our balance, refunds and disputes."""
    import stripe

    disputes = client.v1.disputes.list({"payment_intent": intent.id, "limit": 100})
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    refunds = _refunds(client, charge) if charge else []
    disputed, is_contested, unclear = _disputed(charge, disputes.data)
    return {
        "intent": intent.id,
        "receipt_url": (charge and charge.receipt_url) or "",
        # One that failed brought the money back to us.
        "refunded": sum(refund.amount for refund in refunds if refund.status not in ("failed", "canceled")),
        "disputed": disputed,
        "is_contested": is_contested,
        "transactions": tuple(_transactions(charge, refunds, disputes.data)),
        "unclear": unclear,
    }


def _disputed(charge: "stripe.Charge | None", disputes: list["stripe.Dispute"]) -> tuple[int, bool, str]:
    """How much of a charge disputes have withdrawn, in its currency's smallest unit; whether that may still change; and a
    sentence for staff if it is unclear.
    """
    unknown = sorted({dispute.status for dispute in disputes} - {*TAKEN, *NOT_TAKEN})
    if unknown:
        return 0, True, f"Stripe reports an unknown dispute status: “{'”, “'.join(unknown)[:100]}”"
    amounts = [_withdrawn(charge, dispute) for dispute in disputes]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return 0, True, "Stripe states a dispute in another currency, and not how much of the payment it is"
    is_contested = any(
        amount and dispute.status not in LOST for dispute, amount in zip(disputes, known, strict=True)
    )
    return sum(known), is_contested, ""


def _withdrawn(charge: "stripe.Charge | None", dispute: "stripe.Dispute") -> int | None:
    """How much of a charge a dispute has withdrawn, in the charge's currency; None if that cannot be told.

    A dispute may be stated in another currency, and a withdrawal is stated in the currency of our account with Stripe, as the
    charge's balance transaction is.
    """
    moves = [move.amount for move in dispute.balance_transactions]
    withdrawals = [-amount for amount in moves if amount < 0]
    returned = len(moves) - len(withdrawals)
    if returned >= len(withdrawals) and (moves or dispute.status in NOT_TAKEN):
        return 0
    if charge is None or dispute.currency == charge.currency:
        return dispute.amount
    arrived = _arrived(charge)
    return charge.amount * max(withdrawals) // arrived if withdrawals and arrived else None


def _arrived(charge: "stripe.Charge") -> int | None:
    """What a charge brought us, in the currency of our account with Stripe; None if our key may not read that."""
    moved = charge.balance_transaction
    return None if moved is None or isinstance(moved, str) else moved.amount


def _refunds(client: "stripe.StripeClient", charge: "stripe.Charge") -> list["stripe.Refund"]:
    """The refunds of a charge; with what they did to our balance if our key may read it."""
    moves = ["data.balance_transaction", "data.failure_balance_transaction"]
    may_read = not isinstance(charge.balance_transaction, str)
    return client.v1.refunds.list(
        {
            "payment_intent": str(charge.payment_intent),
            "limit": 100,
            **({"expand": moves} if may_read else {}),
        }
    ).data


def _transactions(
    charge: "stripe.Charge | None", refunds: list["stripe.Refund"], disputes: list["stripe.Dispute"]
) -> Iterator[BalanceTransaction]:
    """All that a charge, its refunds and its disputes did to our balance, as far as we may read it."""
    moves = [
        *([charge.balance_transaction] if charge else []),
        *(one.balance_transaction for one in refunds),
        *(getattr(one, "failure_balance_transaction", None) for one in refunds),
        *(move for dispute in disputes for move in dispute.balance_transactions),
    ]
    readable = {move.id: move for move in moves if move is not None and not isinstance(move, str)}
    return map(as_row, readable.values())


def as_row(move: "stripe.BalanceTransaction") -> BalanceTransaction:
    return BalanceTransaction(
        id=move.id,
        category=move.reporting_category,
        amount=move.amount,
        fee=move.fee,
        net=move.net,
        currency=move.currency,
        created_at=datetime.fromtimestamp(move.created, UTC),
    )
