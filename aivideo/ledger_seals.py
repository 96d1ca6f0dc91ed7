"""Seals: every night, what the append-only tables hold is digested, and each digest builds on the one of the night before.

Who changes, removes or adds a sealed row, even with all triggers off and all sums right, breaks the chain from there on. Who then
computes the chain anew cannot change its heads in the log, in a backup or in an operator's mail: `check_ledger --head` compares.
Rows are sealed when they are SETTLED old, because a transaction that is still open may add one with a smaller id.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.guards import Guard
from aivideo.models import LedgerSeal

log = logging.getLogger(__name__)

SETTLED = timedelta(hours=1)
BLOCK = 10_000  # rows that are read at once


@dataclass(frozen=True)
class Sealed:
    """A table whose rows are only ever added. `facts` are the columns that never change, `created` is when a row was added."""

    table: str
    facts: tuple[str, ...]
    created: str


TABLES = (
    Sealed(
        "accounts_creditentry",
        ("id", "user_id", "amount", "kind", "reference", "note", "created_at"),
        "SELECT created_at FROM accounts_creditentry WHERE id = one.id",
    ),
    Sealed(
        "accounts_lot",
        ("id", "entry_id", "user_id", "amount", "lapses_at"),
        "SELECT created_at FROM accounts_creditentry WHERE id = one.entry_id",
    ),
    Sealed(
        "accounts_draw",
        ("id", "lot_id", "charge_id", "amount"),
        "SELECT created_at FROM accounts_creditentry WHERE id = one.charge_id",
    ),
    Sealed(
        "aivideo_auditentry",
        ("id", "form", "at", "staff_id", "action", "target", "detail", "reason"),
        "SELECT one.at",
    ),
)
GUARDS = (
    Guard("aivideo_auditentry", TABLES[-1].facts, keys=(("id",), ("form",))),
    Guard("aivideo_ledgerseal", ("id", "table", "last_id", "rows", "digest", "at")),
)


def seal() -> list[LedgerSeal]:
    """Seal what was added since the last seals and is SETTLED."""
    new = []
    for one in TABLES:
        last = _last(one.table)
        after, digest = (last.last_id, last.digest) if last else (0, "")
        until = _newest_settled(one)
        if until <= after:
            continue
        # Outside a transaction, which on SQLite would keep everybody from writing: the first time these are all rows.
        rows, digest = _digest(one, after, until, digest)
        made = LedgerSeal(table=one.table, last_id=until, rows=rows, digest=digest)
        if _add(made, last):
            new.append(made)
    for made in new:
        log.info(
            "Sealed %s up to row %s, %s rows. Head: %s", made.table, made.last_id, made.rows, made.digest
        )
    return new


def _last(table: str) -> LedgerSeal | None:
    return LedgerSeal.objects.filter(table=table).order_by("-last_id").first()


def _add(made: LedgerSeal, last: LedgerSeal | None) -> bool:
    """Save a seal that builds on `last`. False if another process has sealed the table meanwhile."""
    try:
        with transaction.atomic():
            LedgerSeal.objects.select_for_update().filter(pk=last.pk if last else 0).first()
            if _last(made.table) != last:
                return False
            made.save()
    except IntegrityError:
        return False  # both were the first
    return True


def broken() -> Iterator[str]:
    """A sentence for each table whose sealed rows are not what they were."""
    for one in TABLES:
        after, digest = 0, ""
        for made in LedgerSeal.objects.filter(table=one.table).order_by("last_id"):
            rows, digest = _digest(one, after, made.last_id, digest)
            if (rows, digest) != (made.rows, made.digest):
                yield (
                    f"rows {after + 1} to {made.last_id} of {one.table} are not what they were when they were sealed on"
                    f" {made.at:%Y-%m-%d}: {rows} rows in place of {made.rows}, or their facts have changed"
                )
                break
            after = made.last_id


def contains(head: str) -> bool:
    """Whether a seal has this digest."""
    tables = [one.table for one in TABLES]
    return LedgerSeal.objects.filter(table__in=tables, digest=head.strip().lower()).exists()


def _newest_settled(one: Sealed) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {one.table} AS one WHERE ({one.created}) < %s ORDER BY id DESC LIMIT 1",
            [connection.ops.adapt_datetimefield_value(timezone.now() - SETTLED)],
        )
        found = cursor.fetchone()
    return found[0] if found else 0


def _digest(one: Sealed, after: int, until: int, before: str) -> tuple[int, str]:
    """How many rows there are after one id up to another, and the digest of their facts and of the digest before."""
    digest, rows = hashlib.sha256(before.encode()), 0
    with connection.cursor() as cursor:
        while after < until:
            cursor.execute(_block(one), [after, until])
            count, last, text = cursor.fetchone()
            if not count:
                break
            digest.update(f"{text}\n".encode())
            rows, after = rows + count, last
    return rows, digest.hexdigest()


def _block(one: Sealed) -> str:
    """The next BLOCK rows as one text, composed by the database: that is several times as fast as reading them one by one."""
    if connection.vendor == "sqlite":
        row = " || ',' || ".join(f"quote({_quoted(column)})" for column in one.facts)
        together = "group_concat(line, char(10))"
    else:
        row = f"ROW({', '.join(_quoted(column) for column in one.facts)})::text"
        together = "string_agg(line, chr(10) ORDER BY id)"
    return (
        f"SELECT count(*), max(id), {together} FROM (SELECT id, {row} AS line FROM {one.table}"
        f" WHERE id > %s AND id <= %s ORDER BY id LIMIT {BLOCK}) AS block"
    )


def _quoted(column: str) -> str:
    return connection.ops.quote_name(column)
