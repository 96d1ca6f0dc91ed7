"""Plain SQL for the few statements of every order, every change of a video's state, and every poll of a page or a program.

While one order is charged, every other order of the same account waits, so the time from its first statement to
its commit limits the orders per second. The ORM would take longer to compose a statement than to execute it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models

Row = TypeVar("Row", bound=models.Model)


def first(model: type[Row], sql: str, params: Sequence[Any]) -> Row | None:
    """The first row of a SELECT as an instance; None if there is none. See `rows`."""
    return next(iter(rows(model, sql, params)), None)


def rows(model: type[Row], sql: str, params: Sequence[Any]) -> list[Row]:
    """The rows of a SELECT as instances. Fields that it does not select are deferred.

    Columns that are not the model's become attributes, as in `Model.objects.raw`, which works out anew for each query
    which column is which field and how to convert it.
    """
    with _cursor() as cursor:
        cursor.execute(sql, params)
        found = cursor.fetchall()
        layouts = _of_this_thread.__dict__
        layout = layouts.get(sql)
        if layout is None:
            layout = layouts[sql] = _Layout.of(model, [column[0] for column in cursor.description])
    return [layout.instance(model, values) for values in found]


@cache
def columns(model: type[models.Model]) -> str:
    """All columns of a model for a SELECT. A `*` would bring a column that a later version adds."""
    quote = _connection().ops.quote_name
    return ", ".join(quote(str(field.column)) for field in model._meta.concrete_fields)


def insertion(row: models.Model) -> Callable[[], None]:
    """A callable that inserts the row with its current values. A primary key that the database assigns is not read back.

    For callers that prepare their rows before they take a lock.
    """
    connection = _connection()
    statement, fields = _insertion(type(row), connection.vendor)
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]

    def insert() -> None:
        with _cursor() as cursor:
            cursor.execute(statement, values)

    return insert


def insert(row: models.Model) -> None:
    """Insert a new row now; see `insertion`."""
    insertion(row)()


def update(model: type[models.Model], changes: Mapping[str, object], where: Mapping[str, object]) -> bool:
    """Update the row that matches `where`. False if there is none."""
    connection = _connection()
    changed, values = _named(model, changes)
    keys, wanted = _named(model, where)
    with _cursor() as cursor:
        cursor.execute(
            f"UPDATE {connection.ops.quote_name(model._meta.db_table)} SET {_each(changed, ', ')}"
            f" WHERE {_each(keys, ' AND ')}",
            values + wanted,
        )
        return bool(cursor.rowcount)


def raw_key(model: type[models.Model], pk: Any) -> Any:
    """A primary key of this model as raw SQL takes it: SQLite stores a UUID as text."""
    return model._meta.pk.get_db_prep_value(pk, _connection())


def _cursor() -> Any:
    """A cursor; on PostgreSQL one that prepares what is executed often."""
    connection = _connection()
    return connection.prepared_cursor() if connection.vendor == "postgresql" else connection.cursor()


def _connection() -> Any:
    """This thread's connection itself: `django.db.connection` looks it up anew for each of its attributes."""
    return connections[DEFAULT_DB_ALIAS]


# Layouts by their SELECT. They hold converters of the thread's own connection.
_of_this_thread = threading.local()


@dataclass(frozen=True)
class _Layout:
    """Which column of a SELECT is which field of a model, in the model's order, or else which attribute."""

    fields: list[tuple[int, Any, list[Any]]]  # position, expression, and the converters that take it
    names: frozenset[str]
    others: list[tuple[int, str]]

    @classmethod
    def of(cls, model: type[models.Model], columns: Sequence[str]) -> "_Layout":
        connection = _connection()
        found = {field.column: field for field in model._meta.concrete_fields if field.column in columns}
        fields = []
        for column, field in found.items():
            expression = field.get_col(model._meta.db_table)
            converters = [
                *connection.ops.get_db_converters(expression),
                *expression.get_db_converters(connection),
            ]
            fields.append((columns.index(str(column)), expression, converters))
        others = [(position, name) for position, name in enumerate(columns) if name not in found]
        return cls(fields, frozenset(field.attname for field in found.values()), others)

    def instance(self, model: type[Row], values: Sequence[Any]) -> Row:
        connection, converted = _connection(), []
        for position, expression, converters in self.fields:
            value = values[position]
            for convert in converters:
                value = convert(value, expression, connection)
            converted.append(value)
        row = model.from_db(connection.alias, self.names, converted)
        for position, name in self.others:
            setattr(row, name, values[position])
        return row


@cache
def _insertion(model: type[models.Model], _vendor: str) -> tuple[str, list[Any]]:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    connection = _connection()
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(fields))})", fields


def _named(model: type[models.Model], row: Mapping[str, object]) -> tuple[list[str], list[Any]]:
    """The fields' column names, and their values in the database's format."""
    connection = _connection()
    fields: list[Any] = [model._meta.get_field(name) for name in row]
    values = zip(fields, row.values(), strict=True)
    return (
        [connection.ops.quote_name(field.column) for field in fields],
        [field.get_db_prep_save(value, connection) for field, value in values],
    )


def _each(columns: list[str], between: str) -> str:
    return between.join(f"{column} = %s" for column in columns)
