"""The environment that every test runs in; what tests share is in tests/support."""

import atexit
import os
import secrets
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

import django
import pytest
from django.conf import settings

# Databases wait for their disk at every commit. Where memory can be used as one, and there is plenty, tests use that.
MEMORY = Path("/dev/shm")
PREFIX = "aivideo-tests-"


def make_folder() -> str:
    """Where everything temporary of this session lies, also that of the processes that share the tests."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
        tempfile.tempdir = str(MEMORY)
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*-*"):
        if not is_alive(int(left.name.split("-")[2])):  # that session was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


# Processes that are started by this one inherit it.
if "TESTS_FOLDER" not in os.environ:
    os.environ["TESTS_FOLDER"] = os.environ["TMPDIR"] = make_folder()
tempfile.tempdir = os.environ["TESTS_FOLDER"]

DATA_DIR = Path(tempfile.mkdtemp(prefix="data-"))
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
    "STRIPE_TAX",
    "STRIPE_TAX_IDS",
    "STRIPE_INVOICES",
    "STRIPE_PROMOTION_CODES",
    "MODERATION_API_KEY",
    "MODERATION_BASE_URL",
    "MODERATION_FAIL_CLOSED",
    "SUPPORT_EMAIL",
    "SECRET_KEY_FALLBACKS",
    "HSTS_INCLUDE_SUBDOMAINS",
    "HSTS_PRELOAD",
):
    os.environ.pop(name, None)

# What a crash of the whole server would lose is of no interest here, and to wait for its disk takes most of the time.
os.environ["PGOPTIONS"] = "-c synchronous_commit=off"

django.setup()
settings.PASSWORD_HASHERS = ["tests.support.passwords.QuickHasher"]

# In the Redis that they share, each process of the suite counts the wake-up messages of its own tests only.
if os.environ.get("REDIS_URL"):
    queue = import_module("videos.queue")
    process = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    queue.DISPATCH, queue.CHORES = f"dispatch-tests-{process}", f"chores-tests-{process}"

pytest.register_assert_rewrite("tests.support")
pytest_plugins = [
    f"tests.support.{name}"
    for name in ("database", "selection", "fixtures", "shop", "installation", "browser")
]
