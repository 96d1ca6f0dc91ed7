"""The start: what is missing or unreadable stops it with a sentence that says what to do."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

from tests.support.fixtures import MANAGE

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "video.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://video.example.com",
    "SITE_URL": "https://video.example.com",
}


def check(tmp_path, *arguments, **env):
    env = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "DATA_DIR": str(tmp_path), **env}
    return subprocess.run([*MANAGE, "check", *arguments], env=env, capture_output=True, text=True)


def test_production_settings_start_and_pass_the_deployment_check(tmp_path):
    done = check(tmp_path, "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (2 silenced).\n")


def run(tmp_path, code, **env):
    """What Python code prints in production."""
    env = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "aivideo.settings",
        **PRODUCTION,
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_missing_setting_is_named_at_once(tmp_path):
    done = check(tmp_path)
    assert done.returncode == 1
    for name in ("SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SITE_URL"):
        assert f"{name} is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "key", ["secret", "x" * 60, "ab" * 30, "django-insecure-abcdefghijklmnopqrstuvwxyz0123456789-abcdef"]
)
def test_a_secret_key_that_can_be_guessed_is_refused_outside_debug(tmp_path, key):
    done = check(tmp_path, **{**PRODUCTION, "SECRET_KEY": key})
    assert (done.returncode, "SECRET_KEY can be guessed" in done.stderr) == (1, True)
    assert key not in done.stderr
    done = check(tmp_path, **PRODUCTION, SECRET_KEY_FALLBACKS=f"{PRODUCTION['SECRET_KEY']},{key}")
    assert (done.returncode, "SECRET_KEY_FALLBACKS can be guessed" in done.stderr) == (1, True)
    assert check(tmp_path, DEBUG="true", SECRET_KEY=key).returncode == 0


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({}, "max-age=31536000"),
        ({"HSTS_INCLUDE_SUBDOMAINS": "true"}, "max-age=31536000; includeSubDomains"),
        (
            {"HSTS_INCLUDE_SUBDOMAINS": "true", "HSTS_PRELOAD": "true"},
            "max-age=31536000; includeSubDomains; preload",
        ),
    ],
)
def test_other_names_below_the_host_need_https_only_if_the_operator_says_so(tmp_path, given, header):
    code = (
        "import django; django.setup(); from django.test import Client;"
        " answer = Client().get('/healthz', secure=True, headers={'host': 'video.example.com'});"
        " print(answer['Strict-Transport-Security'])"
    )
    assert run(tmp_path, code, **given) == header


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SIGNUP_CREDITS", "many", "a whole number from 0"),
        ("VIDEO_CREDITS", "-1", "a whole number from 0"),
        ("PORT", "99999", "a whole number from 1 to 65535"),
        ("SIMULATOR_SECONDS", "1.5", "a whole number"),
        ("USE_MOCK_SORA", "perhaps", "true or false"),
        ("MODERATION_FAIL_CLOSED", "perhaps", "true or false"),
        ("AWS_STORAGE_BUCKET_NAME", "s3://videos", "a bucket name"),
        ("AWS_S3_REGION_NAME", "Frankfurt (eu)", "a region such as eu-central-1"),
        ("X_ACCEL_PREFIX", "protected", "a path such as /protected/"),
    ],
)
def test_an_unreadable_value_is_named_with_what_is_expected(tmp_path, name, value, expected):
    done = check(tmp_path, **PRODUCTION, **{name: value})
    assert done.returncode == 1
    assert f"{name} is '{value}': expected {expected}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        *("DATABASE_URL", "REDIS_URL", "OPENAI_BASE_URL", "AWS_S3_ENDPOINT_URL", "STRIPE_API_BASE"),
        "MODERATION_BASE_URL",
    ],
)
def test_an_unreadable_url_is_named_without_the_password_in_it(tmp_path, name):
    done = check(tmp_path, **PRODUCTION, **{name: "gopher://user:hunter2@host/x"})
    assert (done.returncode, name in done.stderr, "hunter2" in done.stderr) == (1, True, False)


@pytest.mark.parametrize("name", ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"])
def test_half_of_what_stripe_needs_stops_the_start(tmp_path, name):
    done = check(tmp_path, **PRODUCTION, **{name: "hunter2"})
    assert done.returncode == 1
    assert "STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET go together" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    "secret", ["hunter2", "whsec_", "whsec_hunter2!", "sk_aHVudGVyMg==", "whsec_hünter2"]
)
def test_an_unreadable_webhook_secret_is_named_and_not_shown(tmp_path, secret):
    done = check(tmp_path, **PRODUCTION, OPENAI_WEBHOOK_SECRET=secret)
    assert done.returncode == 1
    assert "OPENAI_WEBHOOK_SECRET is not valid: expected whsec_ followed by base64" in done.stderr
    assert "nter2" not in done.stderr


def test_half_of_the_google_keys_is_a_mistake(tmp_path):
    done = check(tmp_path, **PRODUCTION, GOOGLE_CLIENT_ID="x")
    assert "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET go together" in done.stderr


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"AWS_STORAGE_BUCKET_NAME": "videos"}, ["AWS_S3_REGION_NAME"]),
        (
            {"AWS_S3_ENDPOINT_URL": "https://store.example.com"},
            ["AWS_STORAGE_BUCKET_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        ),
    ],
)
def test_half_of_a_bucket_is_a_mistake_that_names_the_other_half(tmp_path, given, missing):
    done = check(tmp_path, **PRODUCTION, **given)
    named = [line.split()[1] for line in done.stderr.splitlines() if " is not set: " in line]
    assert (done.returncode, named) == (1, missing)


def test_half_of_the_keys_to_a_bucket_is_a_mistake(tmp_path):
    bucket = {"AWS_STORAGE_BUCKET_NAME": "videos", "AWS_S3_REGION_NAME": "eu-central-1"}
    done = check(tmp_path, **PRODUCTION, **bucket, AWS_SECRET_ACCESS_KEY="hunter2")
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together" in done.stderr
    assert "hunter2" not in done.stderr
    assert check(tmp_path, **PRODUCTION, **bucket).returncode == 0


def test_a_moderation_server_without_its_key_is_a_mistake(tmp_path):
    server = {"MODERATION_BASE_URL": "https://judge.example.com/v1"}
    done = check(tmp_path, **PRODUCTION, **server, OPENAI_API_KEY="sk-hunter2")
    assert (done.returncode, "MODERATION_API_KEY is not set" in done.stderr) == (1, True)
    assert "hunter2" not in done.stderr


OWN, THEIRS = "https://video.example.com/v1", "https://judge.example.com/v1"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, ""),
        ({"OPENAI_API_KEY": "sk-1"}, "sk-1"),
        # A key for somebody else's server is not for OpenAI, and OpenAI's is not for somebody else.
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": OWN}, ""),
        ({"OPENAI_API_KEY": "sk-1", "MODERATION_BASE_URL": THEIRS, "MODERATION_API_KEY": "sk-2"}, "sk-2"),
        ({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": OWN, "MODERATION_API_KEY": "sk-2"}, "sk-2"),
        ({"OPENAI_API_KEY": "sk-1", "USE_MOCK_SORA": "true"}, ""),
        ({"USE_MOCK_SORA": "true", "MODERATION_API_KEY": "sk-2"}, "sk-2"),
    ],
)
def test_moderation_has_its_own_key_or_one_that_is_surely_openais(tmp_path, given, key):
    code = "from aivideo import settings; print(settings.MODERATION_API_KEY)"
    assert run(tmp_path, code, **given) == key


def test_the_demo_sign_in_exists_only_under_debug(settings):
    settings.DEBUG = False
    assert "accounts.E001" in [error.id for error in run_checks()]
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if "dummy" not in app]
    assert "accounts.E001" not in [error.id for error in run_checks()]


def test_production_has_no_demo_sign_in_and_asks_staff_for_a_second_factor(tmp_path):
    code = (
        "import django; django.setup(); from django.conf import settings;"
        " print(settings.DEMO_SIGN_IN, [a for a in settings.INSTALLED_APPS if 'dummy' in a],"
        " settings.STAFF_SECOND_FACTOR)"
    )
    assert run(tmp_path, code) == "False [] True"


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("https://video.example.com", "__Host-sessionid __Host-csrftoken"),
        ("http://video.example.com", "sessionid csrftoken"),
    ],
)
def test_no_neighboring_name_can_set_the_cookies_of_a_site_with_https(tmp_path, address, names):
    code = "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
    assert run(tmp_path, code, SITE_URL=address) == names
