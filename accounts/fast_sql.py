"""Rows written in plain SQL, for the few statements that a lock waits for.

While one click spends, every other click of the same account waits, so what happens between its first statement and its
commit bounds the clicks a second. The ORM composes each statement anew, which takes longer than the statement itself.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connection, models


def insertion(row: models.Model) -> Callable[[], None]:
    """What inserts a new row with all its fields as they are now; a key that the database gives is not read back.

    For a caller that prepares its rows before it takes a lock.
    """
    statement, fields = _insertion(type(row), connection.vendor)
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return insert


def insert(row: models.Model) -> None:
    """Insert a new row at once; see `insertion`."""
    insertion(row)()


def update(model: type[models.Model], changes: dict[str, Any], where: dict[str, Any]) -> bool:
    """Set fields of the row that has the values in `where`. False if there is none."""
    columns, values = _named(model, changes)
    keys, wanted = _named(model, where)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {connection.ops.quote_name(model._meta.db_table)} SET {_each(columns, ', ')}"
            f" WHERE {_each(keys, ' AND ')}",
            values + wanted,
        )
        return bool(cursor.rowcount)


@cache
def _insertion(model: type[models.Model], _vendor: str) -> tuple[str, list[Any]]:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(fields))})", fields


def _named(model: type[models.Model], row: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Columns of fields by name, and their values as the database takes them."""
    fields: list[Any] = [model._meta.get_field(name) for name in row]
    values = zip(fields, row.values(), strict=True)
    return (
        [connection.ops.quote_name(field.column) for field in fields],
        [field.get_db_prep_save(value, connection) for field, value in values],
    )


def _each(columns: list[str], between: str) -> str:
    return between.join(f"{column} = %s" for column in columns)
