"""What people see whose prompt may not be made, or cannot be judged now, in a real browser on a whole installation."""

import pytest
from playwright.sync_api import expect

from tests.support.browser import balance, sign_in
from tests.support.installation import Site
from tests.support.moderation_server import KEY, ModerationServer


@pytest.fixture(scope="module")
def service():
    with ModerationServer() as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory, service):
    env = {"MODERATION_BASE_URL": service.url, "MODERATION_API_KEY": KEY, "SUPPORT_EMAIL": "help@example.com"}
    with Site(tmp_path_factory.mktemp("moderation"), **env) as site:
        yield site


def test_a_refusal_and_a_bad_day_are_told_where_they_matter_and_cost_nothing(site, visit, service):
    page = sign_in(visit(), site)
    before = balance(page)
    page.fill("#id_prompt", "Much gore")
    page.click("#generate")
    expect(page.locator("#prompt-error")).to_contain_text("This prompt is not allowed on this site.")
    expect(page.locator("#prompt-error")).to_contain_text(
        "contact help@example.com and include the reference"
    )
    assert page.input_value("#id_prompt") == "Much gore"

    service.status = 500
    page.fill("#id_prompt", "A kite over the sea")
    page.click("#generate")
    expect(page.locator("#form-error")).to_contain_text("cannot be checked right now")
    expect(page.locator("#no-answer")).to_be_hidden()
    assert (page.input_value("#id_prompt"), balance(page)) == ("A kite over the sea", before)

    service.status = 200
    page.click("#generate")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    expect(page.locator("#form-error")).to_have_count(0)
    expect(page.locator("#stage video[id^=player]")).to_be_visible(timeout=30_000)
    assert balance(page) == before - 10
