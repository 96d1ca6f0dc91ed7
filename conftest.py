"""What every test finds: settings of its own, people, a simulator, and a whole site where one is needed."""

import atexit
import os
import secrets
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import pytest

DATA_DIR = Path(tempfile.mkdtemp(prefix="aivideo-tests-"))
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
(DATA_DIR / "static").mkdir()

# Before Django reads its settings, and so that no `.env` leaks in. DATABASE_URL and REDIS_URL count:
# the same suite runs on SQLite and on PostgreSQL.
os.environ.update(
    DJANGO_SETTINGS_MODULE="aivideo.settings",
    ENV_FILE=os.devnull,
    DEBUG="true",
    SECRET_KEY=secrets.token_urlsafe(50),
    DATA_DIR=str(DATA_DIR),
    # Playwright's synchronous API runs a loop in the thread of the test.
    DJANGO_ALLOW_ASYNC_UNSAFE="true",
)
for name in (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENROUTER_API_KEY",
    "XAI_API_KEY",
    "FAL_KEY",
    "PROMPT_HELP_API_KEY",
    "PROMPT_HELP_BASE_URL",
    "PROMPT_HELP_MODEL",
    "OPENAI_WEBHOOK_SECRET",
    "SIMULATOR_WEBHOOK_URL",
    "SIMULATOR_WEBHOOK_SECRET",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "GOOGLE_ISSUER",
    "AWS_STORAGE_BUCKET_NAME",
    "AWS_S3_ENDPOINT_URL",
    "X_ACCEL_PREFIX",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_BASE",
    "MODERATION_API_KEY",
    "MODERATION_BASE_URL",
    "MODERATION_FAIL_CLOSED",
    "SUPPORT_EMAIL",
):
    os.environ.pop(name, None)

# What a crash of the whole server would lose is of no interest here, and to wait for its disk takes most of the time.
os.environ["PGOPTIONS"] = "-c synchronous_commit=off"

django.setup()

# In the Redis that they share, each process of the suite counts the doorbells of its own tests only.
if os.environ.get("REDIS_URL"):
    Conf = import_module("django_q.conf").Conf
    Conf.CLUSTER_NAME = f"aivideo-tests-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"

pytest_plugins = ["tests.support.fixtures", "tests.support.browser"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole sites first: they wait more than they work, and no process should be left alone with them in the end."""
    items.sort(key=lambda item: item.get_closest_marker("django_db") is not None)


@pytest.fixture(autouse=True)
def _whole_database(request: pytest.FixtureRequest) -> None:
    """Make the database of each test complete, also after a test that emptied it for good."""
    if request.node.get_closest_marker("django_db") is None:
        yield
        return
    from django.db import connection

    request.getfixturevalue("django_db_setup")
    if connection.vendor == "postgresql":
        connection.ops.sql_flush = _emptying
    # Outside of the transaction of the test, which takes back all that it does: so once is enough for many.
    with request.getfixturevalue("django_db_blocker").unblock():
        _complete()
    request.getfixturevalue("transactional_db" if _is_transactional(request) else "db")
    yield
    if connection.vendor == "sqlite" and _is_transactional(request):
        # The emptying of the tables deletes entries, which is just what this trigger forbids.
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS credit_entries_never_go")


def _emptying(style: Any, tables: list[str], **options: Any) -> list[str]:
    """The statements that empty PostgreSQL's tables of the few rows of a test: to truncate them takes seconds."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser')")
        if cursor.fetchone() != ("on",):
            return type(connection.ops).sql_flush(connection.ops, style, tables, **options)
    # Neither foreign keys nor the trigger that keeps the ledger have a say.
    return [
        "SET LOCAL session_replication_role = replica",
        *(f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables),
    ]


def _complete() -> None:
    """Put back what the migrations had put into a database that was emptied since."""
    from django.apps import apps
    from django.db import connection

    if apps.get_model("videos", "Channel").objects.exists():
        return
    if connection.vendor == "sqlite":
        ledger = import_module("accounts.migrations.0002_ledger_is_append_only")
        with connection.cursor() as cursor:
            for statement in ledger.SQLITE:
                cursor.execute(statement.replace("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS"))
    import_module("videos.migrations.0011_catalogue_of_today").forwards(apps, None)
    import_module("videos.migrations.0015_moderation").add_terms(apps, None)
    import_module("videos.migrations.0016_what_models_take").forwards(apps, None)
    import_module("videos.migrations.0017_what_the_simulator_makes").forwards(apps, None)


def _is_transactional(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.get_closest_marker("django_db").kwargs.get("transaction"))
