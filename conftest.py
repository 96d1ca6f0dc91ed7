"""What every test finds: settings of its own, people, a simulator, and a whole site where one is needed."""

import atexit
import os
import secrets
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

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

django.setup()

# In the Redis that they share, each process of the suite counts the doorbells of its own tests only.
if os.environ.get("REDIS_URL"):
    Conf = import_module("django_q.conf").Conf
    Conf.CLUSTER_NAME = f"aivideo-tests-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"

pytest_plugins = ["aivideo.tests.fixtures", "aivideo.tests.browser"]


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
    from django.apps import apps
    from django.db import connection

    request.getfixturevalue("transactional_db" if _is_transactional(request) else "db")
    ledger = import_module("accounts.migrations.0002_ledger_is_append_only")
    catalogue = ["videos.migrations.0011_catalogue_of_today", "videos.migrations.0016_what_models_take"]
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        if sqlite:
            for statement in ledger.SQLITE:
                cursor.execute(statement.replace("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS"))
        for migration in catalogue:
            import_module(migration).forwards(apps, None)
    yield
    if sqlite and _is_transactional(request):
        # The emptying of the tables deletes entries, which is just what this trigger forbids.
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS credit_entries_never_go")


def _is_transactional(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.get_closest_marker("django_db").kwargs.get("transaction"))
