"""The version: named once, and shown wherever somebody asks which one runs."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from aivideo import __version__

pytestmark = pytest.mark.django_db


def test_healthz_says_ok_and_the_version():
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content.decode()) == (200, f"ok {__version__}")


def test_doctor_begins_with_the_version(capsys):
    with suppress(SystemExit):  # there is no worker here, and doctor says so
        call_command("doctor")
    assert capsys.readouterr().out.startswith(f"aivideo {__version__}, ")


@pytest.mark.parametrize("path", ["/", "/videos/", "/credits/", "/account/", "/api/docs", "/nothing/"])
def test_the_footer_of_every_page_shows_the_version(as_owner, path):
    page = as_owner.get(path).content.decode()
    footer = re.search(r"<footer.*?</footer>", page, re.DOTALL)
    assert f"aivideo {__version__}" in footer.group()


def test_the_changelog_begins_with_this_version():
    changelog = (Path(settings.BASE_DIR) / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert versions[0] == __version__
