"""Databases for tests: migrated once per session, copied for each process, put back after each test that committed."""

import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, connections, transaction
from django.test import TransactionTestCase

ROOT = Path(__file__).parents[2]
POSTGRES = url if (url := os.environ.get("DATABASE_URL", "")).startswith("postgres") else ""
FOLDER = Path(os.environ["TESTS_FOLDER"])
# A schema in a test database: what the tables held after the migrations.
ORIGINAL = "original"


@cache
def template() -> str:
    """A migrated database that nobody uses: the path of SQLite's file or a name on the server of PostgreSQL."""
    name = (
        f"template_{FOLDER.name.rpartition('-')[2]}" if POSTGRES else str(FOLDER / "template" / "db.sqlite3")
    )
    with _once("template") as is_first:
        if is_first:
            if POSTGRES:
                on_server(f'CREATE DATABASE "{name}"')
            _manage("migrate", DATABASE_URL=url_of(name) if POSTGRES else "")
    return name


@cache
def static_files() -> Path:
    """The folder of the collected static files."""
    with _once("static") as is_first:
        if is_first:
            _manage("collectstatic", "--noinput")
    return FOLDER / "template" / "static"


@contextmanager
def _once(what: str) -> Iterator[bool]:
    """Whether this process is the first of the session; the others wait until it is done."""
    with (FOLDER / f"{what}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_done = FOLDER / f"{what}.done"
        yield not is_done.exists()
        is_done.touch()


def _manage(*arguments: str, **env: str) -> None:
    folder = FOLDER / "template"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments, "--verbosity", "0"],
        env={**os.environ, "DATA_DIR": str(folder), "DJANGO_ALLOW_ASYNC_UNSAFE": "", **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def on_server(statement: str) -> None:
    """Run a statement beside the databases of tests, on PostgreSQL."""
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(statement)


def another_session(**options: Any) -> psycopg.Connection[Any]:
    """A session of somebody else on the database of this test, on PostgreSQL."""
    return psycopg.connect(url_of(str(connection.settings_dict["NAME"])), **options)


def url_of(name: str) -> str:
    """DATABASE_URL of another database on the same PostgreSQL server."""
    return re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", POSTGRES)


def database_env() -> dict[str, str]:
    """The environment of a process that works on the database of this test."""
    name = str(connection.settings_dict["NAME"])
    return {"DATABASE_URL": url_of(name) if POSTGRES else f"sqlite:///{name}"}


@pytest.hookimpl
def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the template when all processes that copied it have ended."""
    if POSTGRES and not hasattr(config, "workerinput") and (FOLDER / "template.done").exists():
        on_server(f'DROP DATABASE IF EXISTS "{template()}" WITH (FORCE)')


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Begin with a copy of the template, so that no migration is left to run."""
    test = connections.settings["default"]["TEST"]
    if POSTGRES:
        test["TEMPLATE"] = template()
    else:
        shutil.copy(template(), test["NAME"])


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    return not POSTGRES  # Django would delete the copy; with the folder of the session it goes anyway


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        if POSTGRES:
            _remember()
        # Django's own would leave the tables empty, also of what the migrations had put into them.
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: _restore())
        yield


def _remember() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {ORIGINAL}")
        for table in _tables():
            cursor.execute(f'CREATE TABLE {ORIGINAL}."{table}" AS TABLE public."{table}"')


def _restore() -> None:
    """Make the database again what it was after the migrations."""
    if not POSTGRES:
        connection.ensure_connection()
        with sqlite3.connect(template()) as original:
            original.backup(connection.connection)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser')")
        if cursor.fetchone() == ("on",):
            # Without foreign keys and the trigger that guards the ledger.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(";".join(f'DELETE FROM public."{table}"' for table in _tables()))
        else:
            cursor.execute(
                ";".join(f'ALTER TABLE public."{table}" DISABLE TRIGGER USER' for table in _tables())
            )
            cursor.execute(
                "TRUNCATE " + ", ".join(f'public."{table}"' for table in _tables())
            )  # takes seconds
            cursor.execute(
                ";".join(f'ALTER TABLE public."{table}" ENABLE TRIGGER USER' for table in _tables())
            )
        for table in _tables():
            cursor.execute(f'INSERT INTO public."{table}" SELECT * FROM {ORIGINAL}."{table}"')


@contextmanager
def unguarded(*tables: str) -> Iterator[None]:
    """What the database keeps can be changed: as if time had passed, a backup been restored, or somebody been at it."""
    from accounts import guards
    from aivideo import ledger_seals

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in (
                f"guard_{table}_{moment}" for table in tables for moment in ("insert", "update", "delete")
            ):
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            # With changes of this transaction that are not checked yet, no trigger could be switched off.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("".join(f"ALTER TABLE {table} DISABLE TRIGGER USER;" for table in tables))
    yield
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("".join(f"ALTER TABLE {table} ENABLE TRIGGER USER;" for table in tables))
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        guards.install((*guards.MONEY, *ledger_seals.GUARDS), connection.alias)


@cache
def _tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)
