"""Signing in with Google, played by a real OpenID Connect server, in a real browser."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import balance
from tests.support.fixtures import TEST_TIMEOUT, wait_until
from tests.support.installation import Site, free_port, listens


@contextmanager
def google(*people):
    port = free_port()
    claims = [argument for person in people for argument in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *claims]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: listens(port))
        yield url
    finally:
        server.terminate()
        server.wait(TEST_TIMEOUT)


ADA = {"sub": "1001", "email": "ada@example.com", "email_verified": True, "given_name": "Ada"}
TWIN = {"sub": "1002", "email": "ada@example.com", "email_verified": True, "given_name": "Other Ada"}
EXPECTED = {"sub": "1004", "email": "Expected@example.com", "email_verified": True, "given_name": "Exa"}
PROGRAM = {"sub": "1005", "email": "program@example.com", "email_verified": True, "given_name": "Pro"}
STEALTHY = {"sub": "1003", "email": "ada@example.com", "email_verified": False, "given_name": "Eve"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with (
        google(ADA, TWIN, EXPECTED, PROGRAM, STEALTHY) as issuer,
        Site(
            tmp_path_factory.mktemp("google"),
            GOOGLE_CLIENT_ID="client",
            GOOGLE_CLIENT_SECRET="secret",
            GOOGLE_ISSUER=issuer,
        ) as site,
    ):
        yield site


def enter(page: Page, site: Site, sub: str) -> None:
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_role("button", name="Continue with Google").click()
    page.get_by_role("button", name=sub, exact=True).first.click()


def test_signing_in_with_google_gives_an_account_and_its_credits_once(site, visit):
    page = visit(site.url)
    enter(page, site, "1001")
    page.wait_for_url(f"{site.url}/")
    assert balance(page) == 100
    again = visit(site.url)
    enter(again, site, "1001")
    again.wait_for_url(f"{site.url}/")
    assert balance(again) == 100
    assert accounts(site).count("1001") == 1


def test_A41_another_google_account_with_the_same_address_is_another_person(site, visit):
    for sub in ("1001", "1002"):
        page = visit(site.url)
        enter(page, site, sub)
        page.wait_for_url(f"{site.url}/")
    assert {"1001", "1002"} <= set(accounts(site))


def test_A41_an_address_that_google_has_not_verified_does_not_enter(site, visit):
    page = visit(site.url)
    enter(page, site, "1003")
    expect(page.get_by_text("verified").first).to_be_visible()
    assert "1003" not in accounts(site)
    page.goto(site.url)
    expect(page.locator("#balance")).to_have_count(0)


def test_credits_that_were_granted_to_an_address_are_there_at_its_first_sign_in_and_only_then(site, visit):
    for amount in ("40", "2"):
        site.manage("grant_credits", "expected@example.com", amount, "--reason", "a prize", "--create")
    for _ in range(2):
        page = visit(site.url)
        enter(page, site, "1004")
        page.wait_for_url(f"{site.url}/")
        assert balance(page) == 100 + 42
    assert accounts(site).count("1004") == 1


def test_A41_an_account_that_somebody_uses_is_not_taken_over_by_its_address(site, visit):
    code = "from accounts.models import User; User.objects.create_user('boss', 'ada@example.com', 'pw', is_staff=True)"
    site.manage("shell", "--no-imports", "-c", code)
    page = visit(site.url)
    enter(page, site, "1002")
    page.wait_for_url(f"{site.url}/")
    assert set(accounts(site)) >= {"1002"}
    code = (
        "from accounts.models import User; print(User.objects.get(username='boss').socialaccount_set.count())"
    )
    assert site.manage("shell", "--no-imports", "-c", code).strip() == "0"


def test_A41_a_programs_account_is_not_taken_over_by_its_address(site, visit):
    key = site.new_key("program@example.com", 5)
    assert key
    page = visit(site.url)
    enter(page, site, "1005")
    page.wait_for_url(f"{site.url}/")
    assert balance(page) == 100


def test_A42_the_sign_in_uses_pkce_and_a_state_that_must_match(site, visit):
    page = visit(site.url)
    with page.expect_request(re.compile("/oauth2/authorize")) as asked:
        enter(page, site, "1001")
    assert "code_challenge_method=S256" in asked.value.url
    page.wait_for_url(f"{site.url}/")
    stolen = visit(site.url)
    stolen.goto(f"{site.url}/accounts/google/login/callback/?code=x&state=y")
    stolen.goto(site.url)
    expect(stolen.locator("#balance")).to_have_count(0)


def test_with_google_there_is_no_demo_sign_in(site):
    visitor = site.visitor()
    assert "demo user" not in visitor.page("/accounts/login/")
    assert visitor.submit("/accounts/demo/", {}).status_code == 404
    assert visitor.get(f"{site.url}/accounts/dummy/login/").status_code == 404


def accounts(site: Site) -> list[str]:
    code = "from allauth.socialaccount.models import SocialAccount as S; print(*S.objects.values_list('uid', flat=True))"
    return site.manage("shell", "--no-imports", "-c", code).split()
