"""A real browser, and what people do in it on every page."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import TEST_TIMEOUT
from tests.support.installation import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The first is Chromium without windows, which needs a third of the processor time.
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # no test leaves the machine
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright  # not in processes that need no browser

    expect.set_options(
        timeout=1000 * TEST_TIMEOUT
    )  # a whole site beside other tests on few cores takes its time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page like a new visitor; in the end no page may have complained in its console."""
    contexts, complaints = [], []

    def hear(message):
        # The browser itself notes each 4xx that a form gets, and each "not now"; those are answers, not faults.
        ours = "/oauth2/" not in page_of(message)
        if ours and message.type == "error" and not re.search("status of (4|503)", message.text):
            complaints.append(f"{message.text} ({page_of(message)})")

    def open_page(url="", **options) -> Page:
        # Without a graphics card, what moves takes a core for itself.
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        context.set_default_timeout(1000 * TEST_TIMEOUT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if url:
            page.goto(url)
        return page

    def page_of(message):
        return message.page.url if message.page else ""

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(page: Page, site: Site) -> Page:
    """Open the studio as the demo user, with the cookies of a sign-in that took no browser."""
    cookies = site.visitor().sign_in().cookies
    page.context.add_cookies(
        [{"name": one.name, "value": one.value or "", "url": site.url} for one in cookies]
    )
    page.goto(f"{site.url}/")
    return page


def balance(page: Page) -> int:
    return int(re.sub(r"\D", "", page.locator("#balance").inner_text()))


def rich(site: Site) -> None:
    site.manage("grant_credits", "demo@example.com", "1000", "--reason", "for a test", "--create")


def staff_sign_in(site, visit, name, group="", **fields):
    code = (
        "from accounts.models import User; from django.contrib.auth.models import Group\n"
        f"user = User.objects.create_user('{name}', password='pw', is_staff=True, **{fields})\n"
        f"user.groups.set(Group.objects.filter(name='{group}'))"
    )
    site.manage("shell", "--no-imports", "-c", code)
    page = visit(f"{site.url}/admin/", viewport={"width": 1440, "height": 900})
    page.fill("#id_login", name)
    page.fill("#id_password", "pw")
    page.get_by_role("button", name="Sign in with a password").click()
    page.wait_for_url(f"{site.url}/admin/")
    return page
