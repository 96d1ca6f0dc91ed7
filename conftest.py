"""Settings that every test runs under, set before Django reads them, so that no `.env` leaks in."""

import os
import tempfile

os.environ.update(
    DJANGO_SETTINGS_MODULE="aivideo.settings",
    DEBUG="true",
    SECRET_KEY="only-for-tests-" + "x" * 40,
    DATA_DIR=tempfile.mkdtemp(prefix="aivideo-tests-"),
    OPENAI_API_KEY="",
    OPENAI_BASE_URL="",
    GOOGLE_CLIENT_ID="",
    GOOGLE_CLIENT_SECRET="",
    GOOGLE_ISSUER="",
)
