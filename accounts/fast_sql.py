"""Inserts and updates in plain SQL, for the few statements that run while a lock is held.

While one order is charged, every other order of the same account waits, so the time from its first statement to
its commit limits the orders per second. The ORM would take longer to compose a statement than to execute it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from django.db import connection, models


def insertion(row: models.Model) -> Callable[[], None]:
    """A callable that inserts the row with its current values. A primary key that the database assigns is not read back.

    For callers that prepare their rows before they take a lock.
    """
    statement, fields = _insertion(type(row), connection.vendor)
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return insert


def insert(row: models.Model) -> None:
    """Insert a new row now; see `insertion`."""
    insertion(row)()


def update(model: type[models.Model], changes: Mapping[str, object], where: Mapping[str, object]) -> bool:
    """Update the row that matches `where`. False if there is none."""
    columns, values = _named(model, changes)
    keys, wanted = _named(model, where)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {connection.ops.quote_name(model._meta.db_table)} SET {_each(columns, ', ')}"
            f" WHERE {_each(keys, ' AND ')}",
            values + wanted,
        )
        return bool(cursor.rowcount)


def raw_key(model: type[models.Model], pk: Any) -> Any:
    """A primary key of this model as raw SQL takes it: SQLite stores a UUID as text."""
    return model._meta.pk.get_db_prep_value(pk, connection)


@cache
def _insertion(model: type[models.Model], _vendor: str) -> tuple[str, list[Any]]:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(fields))})", fields


def _named(model: type[models.Model], row: Mapping[str, object]) -> tuple[list[str], list[Any]]:
    """The fields' column names, and their values in the database's format."""
    fields: list[Any] = [model._meta.get_field(name) for name in row]
    values = zip(fields, row.values(), strict=True)
    return (
        [connection.ops.quote_name(field.column) for field in fields],
        [field.get_db_prep_save(value, connection) for field, value in values],
    )


def _each(columns: list[str], between: str) -> str:
    return between.join(f"{column} = %s" for column in columns)
