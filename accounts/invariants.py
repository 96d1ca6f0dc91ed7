"""What must hold of credits and money, as queries that find what does not.

Together they prove that each entry has a source, and each source its entry: a sign-up, a code, a grant of staff, a
payment, a video (see `videos/generation/invariants.py`), a lot. Each is one statement, so that what it compares is of the same
moment, and the database does it in memory of a constant size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection

MAX_SHOWN = 20  # of each kind
UUID_TEXT = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


@dataclass(frozen=True)
class Check:
    """A query that finds no row, or what is wrong; and the sentence about a row, with a {} for each of its columns."""

    sentence: str
    sql: str


def violations() -> Iterator[str]:
    """A sentence for each thing about accounts, entries, lots, payments, codes and grants that is wrong."""
    return found([*sums(), *sources()])


def found(checks: Sequence[Check]) -> Iterator[str]:
    """The sentences of all checks, up to MAX_SHOWN of each."""
    for check in checks:
        with connection.cursor() as cursor:
            cursor.execute(f"{check.sql} LIMIT {MAX_SHOWN}")
            rows = cursor.fetchall()
        for row in rows:
            yield check.sentence.format(*row)


def sums() -> list[Check]:
    """An account's numbers and those of its lots follow from its entries and draws."""
    return [*ACCOUNTS, *_lots()]


def sources() -> list[Check]:
    """Each entry is of something that brought or took just that, and each such thing has its entry."""
    return [*REFUNDS, *_expiries(), *_payments(), *_grants()]


ACCOUNTS = (
    Check(
        "user {} has {} credits and owes {}, but the entries add up to {}",
        """
        SELECT person.id, balance, debt, COALESCE(total, 0) FROM accounts_user person
        -- With the plus, SQLite sorts what it scans, six times as fast as looking up each row in the order of an index.
        LEFT JOIN (
            SELECT owner, SUM(amount) AS total FROM (SELECT +user_id AS owner, amount FROM accounts_creditentry) entries
            GROUP BY owner
        ) sums ON owner = person.id
        WHERE balance - debt <> COALESCE(total, 0)
        """,
    ),
    Check(
        "of user {} {} credits expire, but {} are left in the lots",
        """
        SELECT person.id, lapsing, COALESCE(total, 0) FROM accounts_user person
        LEFT JOIN (SELECT user_id, SUM("left") AS total FROM accounts_lot GROUP BY user_id) lots ON user_id = person.id
        WHERE lapsing <> COALESCE(total, 0)
        """,
    ),
)

REFUNDS = (
    Check(
        "entry {} refunds {} credits for {}, which is not what was charged",
        """
        SELECT refund.id, refund.amount, refund.reference FROM accounts_creditentry refund
        LEFT JOIN accounts_creditentry charge ON charge.kind = 'charge' AND charge.reference = refund.reference
        WHERE refund.kind = 'refund'
          AND (charge.id IS NULL OR charge.user_id <> refund.user_id OR refund.amount > -charge.amount)
        """,
    ),
)


def _lots() -> list[Check]:
    """A lot holds what was given, without what was drawn and has expired, and with what came back."""
    return [
        Check(
            "{} credits are left in lot {}, but it must be {}",
            """
            SELECT "left", lot.id, lot.amount - COALESCE(drawn, 0) + COALESCE(expiry.amount, 0) FROM accounts_lot lot
            LEFT JOIN (SELECT lot_id, SUM(amount - COALESCE(returned, 0)) AS drawn FROM accounts_draw GROUP BY lot_id) draws
              ON lot_id = lot.id
            LEFT JOIN accounts_creditentry expiry ON expiry.kind = 'expire' AND expiry.reference = 'lot:' || lot.id
            WHERE "left" <> lot.amount - COALESCE(drawn, 0) + COALESCE(expiry.amount, 0)
              -- 0.9.0 did not write down what came back of its draws.
              AND "left" <> lot.amount - COALESCE(drawn, 0) + COALESCE(expiry.amount, 0) + (
                  SELECT COALESCE(SUM(draw.amount), 0) FROM accounts_draw draw
                  JOIN accounts_creditentry charge ON charge.id = draw.charge_id
                  JOIN accounts_creditentry refund ON refund.kind = 'refund' AND refund.reference = charge.reference
                  WHERE draw.lot_id = lot.id AND draw.returned IS NULL AND lot.lapses_at > refund.created_at)
            """,
        ),
        Check(
            "lot {} holds credits that entry {} did not bring",
            """
            SELECT lot.id, lot.entry_id FROM accounts_lot lot
            LEFT JOIN accounts_creditentry entry ON entry.id = lot.entry_id
            WHERE entry.id IS NULL OR entry.user_id <> lot.user_id OR entry.kind NOT IN ('grant', 'refund', 'purchase')
               OR lot.amount > entry.amount
            """,
        ),
        Check(
            "draw {} took from lot {} for entry {}, and they do not go together",
            """
            SELECT draw.id, draw.lot_id, draw.charge_id FROM accounts_draw draw
            LEFT JOIN accounts_lot lot ON lot.id = draw.lot_id
            LEFT JOIN accounts_creditentry entry ON entry.id = draw.charge_id
            WHERE lot.id IS NULL OR entry.id IS NULL OR lot.user_id <> entry.user_id
               OR entry.kind NOT IN ('charge', 'claw_back') OR draw.returned > draw.amount
               OR (draw.returned > 0 AND NOT EXISTS (
                   SELECT 1 FROM accounts_creditentry refund
                   WHERE refund.kind = 'refund' AND refund.reference = entry.reference))
            """,
        ),
        Check(
            "entry {} drew {} credits from lots, but is of {}",
            """
            SELECT entry.id, SUM(draw.amount), entry.amount FROM accounts_draw draw
            JOIN accounts_creditentry entry ON entry.id = draw.charge_id
            GROUP BY entry.id, entry.amount HAVING SUM(draw.amount) > -entry.amount
            """,
        ),
    ]


def _expiries() -> list[Check]:
    """What expires is of a lot, or was canceled too late; a grace is of one day."""
    lot = as_integer("SUBSTR(expiry.reference, 5)")
    refund = as_integer("SUBSTR(expiry.reference, 10)")
    return [
        Check(
            "lot {} ends at {}, which is not a day after its refund",
            f"""
            SELECT lot.id, lot.lapses_at FROM accounts_lot lot
            JOIN accounts_creditentry refund ON refund.id = lot.entry_id AND refund.kind = 'refund'
            WHERE ABS({days_between("lot.lapses_at", "refund.created_at")} - 1) > 0.01
            """,
        ),
        Check(
            "entry {} expired {} credits for {}, which is nothing of theirs",
            f"""
            SELECT expiry.id, expiry.amount, expiry.reference FROM accounts_creditentry expiry
            WHERE expiry.kind = 'expire' AND NOT EXISTS (
                SELECT 1 FROM accounts_lot lot
                WHERE expiry.reference LIKE 'lot:%' AND lot.id = {lot} AND lot.user_id = expiry.user_id
            ) AND NOT EXISTS (
                SELECT 1 FROM accounts_creditentry refund
                WHERE expiry.reference LIKE 'canceled:%' AND refund.id = {refund} AND refund.kind = 'refund'
                  AND refund.user_id = expiry.user_id AND refund.amount >= -expiry.amount
            )
            """,
        ),
    ]


def _payments() -> list[Check]:
    """What entries say of a payment is what it bought, without what was taken back; and there are no others."""
    return [
        Check(
            "payment {} of user {} must have brought {} credits, but the entries of users {} to {} say {}",
            f"""
            SELECT payment.id, payment.user_id, CASE WHEN paid_at IS NULL THEN 0 ELSE credits - clawed_back END,
                   lowest, highest, COALESCE(total, 0)
            FROM accounts_payment payment
            LEFT JOIN (
                SELECT SUBSTR(reference, 9, 36) AS name, MIN(user_id) AS lowest, MAX(user_id) AS highest, SUM(amount) AS total
                FROM accounts_creditentry WHERE kind IN ('purchase', 'claw_back') GROUP BY SUBSTR(reference, 9, 36)
            ) entries ON name = {uuid_text("payment.id")}
            WHERE COALESCE(total, 0) <> CASE WHEN paid_at IS NULL THEN 0 ELSE credits - clawed_back END
               OR lowest <> payment.user_id OR highest <> payment.user_id
            """,
        ),
        Check(
            "entry {} is of a payment that does not exist: {}",
            f"""
            SELECT entry.id, entry.reference FROM accounts_creditentry entry
            WHERE entry.kind IN ('purchase', 'claw_back') AND NOT EXISTS (
                SELECT 1 FROM accounts_payment payment
                WHERE entry.reference LIKE 'payment:%' AND payment.id = {as_uuid("SUBSTR(entry.reference, 9, 36)")}
            )
            """,
        ),
        Check(
            "of payment {} {} credits were taken back, but its money says {}",
            """
            SELECT id, clawed_back, must FROM (
                SELECT id, clawed_back, credits * CASE WHEN refunded + disputed < paid THEN refunded + disputed ELSE paid END
                    / paid AS must
                FROM accounts_payment WHERE paid > 0 AND paid_at IS NOT NULL AND status <> 'held'
            ) money
            WHERE clawed_back <> must
            """,
        ),
        Check(
            "payment {} is of a month of subscription {}, and they do not go together",
            """
            SELECT payment.id, subscription_id FROM accounts_paidmonth month
            LEFT JOIN accounts_payment payment ON payment.id = month.payment_id
            LEFT JOIN accounts_subscription subscription ON subscription.id = month.subscription_id
            WHERE payment.id IS NULL OR subscription.id IS NULL OR payment.user_id <> subscription.user_id
               OR payment.credits <> subscription.credits OR payment.price <> subscription.price
               OR payment.currency <> subscription.currency
            """,
        ),
        Check(
            "payment {} was made automatically for user {}, and they do not go together",
            """
            SELECT payment_id, top_up.user_id FROM accounts_topup top_up
            LEFT JOIN accounts_payment payment ON payment.id = top_up.payment_id
            WHERE payment.id IS NULL OR payment.user_id <> top_up.user_id
               OR (payment.paid_at IS NOT NULL AND top_up.invoice IS NULL)
            """,
        ),
        Check(
            "payment {} is {}, which does not go with the time of its payment: {}",
            """
            SELECT id, status, paid_at FROM accounts_payment
            WHERE (status = 'paid' AND paid_at IS NULL) OR (status IN ('created', 'expired') AND paid_at IS NOT NULL)
            """,
        ),
    ]


def _grants() -> list[Check]:
    """Each grant is of the sign-up of the same user, of a code that they redeemed, or of staff; and each of those has its grant."""
    code = as_integer("SUBSTR(entry.reference, 6)")
    return [
        Check(
            "entry {} grants {} credits to user {} for {}, and nothing else knows of it",
            f"""
            SELECT entry.id, entry.amount, entry.user_id, entry.reference FROM accounts_creditentry entry
            WHERE entry.kind = 'grant' AND entry.reference <> 'signup:' || entry.user_id AND NOT EXISTS (
                SELECT 1 FROM accounts_redeemcode code JOIN accounts_codebatch batch ON batch.id = code.batch_id
                WHERE entry.reference LIKE 'code:%' AND code.id = {code}
                  AND code.redeemed_by_id = entry.user_id AND batch.credits = entry.amount
            ) AND NOT EXISTS (
                SELECT 1 FROM accounts_staffgrant staff
                WHERE staff.reference = entry.reference AND staff.user_id = entry.user_id
                  AND staff.amount = entry.amount AND staff.status = 'granted'
            )
            """,
        ),
        Check(
            "code {} was redeemed by user {}, who did not get its credits",
            """
            SELECT code.id, code.redeemed_by_id FROM accounts_redeemcode code
            LEFT JOIN accounts_creditentry entry
              ON entry.kind = 'grant' AND entry.reference = 'code:' || code.id AND entry.user_id = code.redeemed_by_id
            WHERE code.redeemed_by_id IS NOT NULL AND entry.id IS NULL
            """,
        ),
        Check(
            "grant {} of {} credits to user {} has no entry",
            f"""
            SELECT {uuid_text("staff.id")}, staff.amount, staff.user_id FROM accounts_staffgrant staff
            LEFT JOIN accounts_creditentry entry ON entry.kind = 'grant' AND entry.reference = staff.reference
            WHERE staff.status = 'granted' AND entry.id IS NULL
            """,
        ),
        Check(
            "the credits of entry {} expire at {}, but its source says {}",
            f"""
            SELECT id, lapses_at, must FROM (
                SELECT entry.id, entry.user_id, lapses_at, staff.expires_at AS must,
                       {days_between("lapses_at", "staff.expires_at")} AS difference
                FROM accounts_staffgrant staff
                JOIN accounts_creditentry entry ON entry.kind = 'grant' AND entry.reference = staff.reference
                LEFT JOIN accounts_lot lot ON lot.entry_id = entry.id
                WHERE lapses_at IS NOT NULL OR staff.expires_at IS NOT NULL
                UNION ALL
                SELECT entry.id, entry.user_id, lapses_at, CASE WHEN lasts_days > 0 THEN redeemed_at END,
                       {days_between("lapses_at", "redeemed_at")} - lasts_days
                FROM accounts_redeemcode code JOIN accounts_codebatch batch ON batch.id = code.batch_id
                JOIN accounts_creditentry entry ON entry.kind = 'grant' AND entry.reference = 'code:' || code.id
                LEFT JOIN accounts_lot lot ON lot.entry_id = entry.id
                WHERE lapses_at IS NOT NULL OR lasts_days IS NOT NULL
                UNION ALL
                SELECT entry.id, entry.user_id, lapses_at, NULL, NULL FROM accounts_lot lot
                JOIN accounts_creditentry entry ON entry.id = lot.entry_id AND entry.reference LIKE 'signup:%'
            ) ends
            WHERE (must IS NULL AND lapses_at IS NOT NULL) OR ABS(difference) > 0.001
               -- A debt may have swallowed all of it.
               OR (lapses_at IS NULL AND (
                   SELECT COALESCE(SUM(amount), 0) FROM accounts_creditentry earlier
                   WHERE earlier.user_id = ends.user_id AND earlier.id < ends.id) >= 0)
            """,
        ),
    ]


# --- How the two databases say it --------------------------------------------------------------------


def uuid_text(column: str) -> str:
    """A UUID with dashes. SQLite keeps it as 32 digits."""
    if connection.vendor == "postgresql":
        return f"CAST({column} AS text)"
    parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"SUBSTR({column}, {start}, {length})" for start, length in parts)


def as_uuid(text: str) -> str:
    """A text as the UUID that a column of this database holds; NULL or nothing that exists if it is none."""
    if connection.vendor == "postgresql":
        return f"CASE WHEN {text} ~ '{UUID_TEXT}' THEN CAST({text} AS uuid) END"
    return f"REPLACE({text}, '-', '')"


def as_integer(text: str) -> str:
    """A text as a number; NULL or 0 if it is none."""
    if connection.vendor == "postgresql":
        return f"CASE WHEN {text} ~ '^[0-9]{{1,18}}$' THEN CAST({text} AS bigint) END"
    return f"CAST({text} AS INTEGER)"


def days_between(later: str, earlier: str) -> str:
    if connection.vendor == "postgresql":
        return f"EXTRACT(EPOCH FROM ({later} - {earlier})) / 86400"
    return f"(JULIANDAY({later}) - JULIANDAY({earlier}))"
