"""Triggers that keep the records of money: rows are never deleted or replaced, and their facts never change.

They are created after each migration, because SQLite drops them with each change of a table. `check_ledger` tells
if one is missing. Whoever may change the schema can of course remove them: see `aivideo/ledger_seals.py` for what is noticed then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'guard\\_%' ESCAPE '\\'",
    "postgresql": """
        SELECT tgname, CASE WHEN tgenabled = 'O' AND tgqual IS NULL AND tgattr::text = ''
            THEN tgtype || ' on ' || tgrelid::regclass::text || ' ' || prosrc ELSE 'disabled or conditional' END
        FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgname LIKE 'guard\\_%' AND NOT tgisinternal
    """,
}


# pg_trigger.tgtype: 1 for each row, 2 before, then 8 delete, 16 update, 32 truncate.
TYPES = {"update": 1 + 2 + 16, "delete": 1 + 2 + 8, "truncate": 2 + 32}


@dataclass(frozen=True)
class Guard:
    """What is kept of a table's rows. Columns that are in neither tuple may change.

    `keys` are its unique columns: SQLite's INSERT OR REPLACE would delete the row that has them.
    """

    table: str
    facts: tuple[str, ...]  # never change
    once: tuple[str, ...] = ()  # never change once they have a value
    keys: tuple[tuple[str, ...], ...] = (("id",),)

    def triggers(self, vendor: str) -> dict[str, str]:
        """For each trigger by its name: how SQLite keeps it, or the body of its function on PostgreSQL."""
        return self._of_sqlite() if vendor == "sqlite" else self._of_postgresql()

    def _of_sqlite(self) -> dict[str, str]:
        table, name = self.table, f"guard_{self.table}"
        replaced = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {_same(keys)})" for keys in self.keys)
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} keeps what it holds'); END"
        changed = self._changed("IS NOT")
        return {
            f"{name}_insert": f"CREATE TRIGGER {name}_insert BEFORE INSERT ON {table} WHEN {replaced} {refuse}",
            f"{name}_update": f"CREATE TRIGGER {name}_update BEFORE UPDATE ON {table} WHEN {changed} {refuse}",
            f"{name}_delete": f"CREATE TRIGGER {name}_delete BEFORE DELETE ON {table} {refuse}",
        }

    def _of_postgresql(self) -> dict[str, str]:
        name = f"guard_{self.table}"
        refuse = f"RAISE EXCEPTION '{self.table} keeps what it holds' USING ERRCODE = 'integrity_constraint_violation';"
        changed = self._changed("IS DISTINCT FROM")
        return {
            f"{name}_update": f"BEGIN IF {changed} THEN {refuse} END IF; RETURN NEW; END",
            f"{name}_delete": f"BEGIN {refuse} END",
            f"{name}_truncate": f"BEGIN {refuse} END",
        }

    def _changed(self, differs: str) -> str:
        """The condition that an update changes what is kept."""
        facts = [f'OLD."{column}" {differs} NEW."{column}"' for column in self.facts]
        once = [
            f'(OLD."{column}" IS NOT NULL AND OLD."{column}" {differs} NEW."{column}")'
            for column in self.once
        ]
        return " OR ".join(facts + once)


def _same(keys: tuple[str, ...]) -> str:
    return " AND ".join(f'"{key}" = NEW."{key}"' for key in keys)


MONEY = (
    Guard(
        "accounts_creditentry",
        ("id", "user_id", "amount", "kind", "reference", "note", "created_at"),
        keys=(("id",), ("kind", "reference")),
    ),
    Guard(
        "accounts_lot",
        ("id", "entry_id", "user_id", "amount", "lapses_at"),
        keys=(("id",), ("entry_id",)),
    ),
    Guard("accounts_draw", ("id", "lot_id", "charge_id", "amount"), keys=(("id",), ("lot_id", "charge_id"))),
    Guard(
        "accounts_payment",
        ("id", "user_id", "credits", "price", "currency", "processor", "is_recovered"),
        ("session", "intent", "customer", "charged_at", "paid_at"),
        (("id",), ("session",), ("intent",)),
    ),
    Guard(
        "accounts_balancetransaction",
        ("id", "payment_id", "category", "amount", "fee", "net", "currency", "created_at"),
    ),
    Guard(
        "accounts_subscription",
        ("id", "user_id", "credits", "price", "currency"),
        ("session", "number"),
        (("id",), ("session",), ("number",)),
    ),
    Guard(
        "accounts_paidmonth",
        ("payment_id", "subscription_id", "invoice", "starts_at", "ends_at"),
        keys=(("payment_id",), ("invoice",)),
    ),
    Guard(
        "accounts_topup",
        ("payment_id", "user_id", "card"),
        ("invoice",),
        (("payment_id",), ("invoice",)),
    ),
    Guard(
        "accounts_staffgrant",
        ("id", "reference", "user_id", "amount", "giver_id", "expires_at"),
        ("second_id", "decided_at"),
        (("id",), ("reference",)),
    ),
    Guard("accounts_codebatch", ("id", "credits", "lasts_days")),
    Guard(
        "accounts_redeemcode",
        ("id", "batch_id", "digest"),
        ("redeemed_by_id", "redeemed_at"),
        (("id",), ("digest",)),
    ),
)


def install(guards: tuple[Guard, ...], using: str) -> None:
    """Create what is missing or different, for the tables that are there."""
    connection = connections[using]
    found, tables = _found(connection), connection.introspection.table_names()
    with connection.cursor() as cursor:
        for guard in guards:
            for name, text in guard.triggers(connection.vendor).items() if guard.table in tables else ():
                if found.get(name) != _signature(connection.vendor, guard.table, name, text):
                    for statement in _creation(connection.vendor, guard.table, name, text):
                        cursor.execute(statement)


def remove(guards: tuple[Guard, ...], using: str) -> None:
    """Drop all, before columns that they name go."""
    connection = connections[using]
    found = _found(connection)
    with connection.cursor() as cursor:
        for guard in guards:
            for name in guard.triggers(connection.vendor):
                if name in found:
                    on = "" if connection.vendor == "sqlite" else f" ON {guard.table}"
                    cursor.execute(f"DROP TRIGGER {name}{on}")


def missing(guards: tuple[Guard, ...], using: str) -> Iterator[str]:
    """The names of triggers that are not there, disabled or different."""
    connection = connections[using]
    found = _found(connection)
    for guard in guards:
        for name, text in guard.triggers(connection.vendor).items():
            if found.get(name) != _signature(connection.vendor, guard.table, name, text):
                yield name


def _signature(vendor: str, table: str, name: str, text: str) -> str:
    """How the catalog of the database describes a trigger as it should be."""
    return text if vendor == "sqlite" else f"{TYPES[name.rpartition('_')[2]]} on {table} {text}"


def _found(connection: BaseDatabaseWrapper) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS[connection.vendor])
        return dict(cursor.fetchall())


def _creation(vendor: str, table: str, name: str, text: str) -> Iterator[Any]:
    if vendor == "sqlite":
        yield f"DROP TRIGGER IF EXISTS {name}"
        yield text
        return
    moment = name.rpartition("_")[2].upper()
    each = "STATEMENT" if moment == "TRUNCATE" else "ROW"
    yield f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${text}$$"
    yield f"CREATE OR REPLACE TRIGGER {name} BEFORE {moment} ON {table} FOR EACH {each} EXECUTE FUNCTION {name}()"
    yield f"ALTER TABLE {table} ENABLE TRIGGER {name}"
