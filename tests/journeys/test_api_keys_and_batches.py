"""What people do for many videos at once and for their programs, in a real browser on a whole installation."""

import io
import zipfile

import pytest
import requests
from playwright.sync_api import expect

from tests.support.browser import balance, rich, sign_in
from tests.support.installation import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("programs"), SIMULATOR_SECONDS="2") as site:
        yield site


def test_a_pasted_list_shows_its_total_runs_and_comes_as_a_zip(site, visit):
    page = sign_in(visit(), site)
    rich(site)
    page.goto(f"{site.url}/videos/")
    before = balance(page)
    page.get_by_role("link", name="Create a batch").click()
    page.fill("#prompts", "A red kite\nA paper boat\nA broken thing [sim:fail]\n")
    page.get_by_role("button", name="Calculate total").click()
    expect(page.get_by_text("30 credits in total")).to_be_visible()
    assert balance(page) == before
    page.get_by_role("button", name="Start for 30 credits").click()

    expect(page.get_by_text("0 ready · 0 failed · 3 total")).to_be_visible()
    assert balance(page) == before - 30
    expect(page.get_by_role("status")).to_contain_text("Finished")
    expect(page.get_by_text("2 ready · 1 failed · 3 total")).to_be_visible()
    expect(page.get_by_text("Failed · refunded")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all as ZIP").click()
    names = zipfile.ZipFile(download.value.path()).namelist()
    assert names == ["001-a-red-kite.mp4", "002-a-paper-boat.mp4"]
    page.goto(site.url)
    assert balance(page) == before - 20


def test_a_campaign_is_made_for_each_platform_with_its_style(site, visit):
    page = sign_in(visit(viewport={"width": 390, "height": 844}), site)
    rich(site)
    page.goto(f"{site.url}/videos/batch/")
    page.get_by_role("link", name="Campaign").click()
    page.fill("#idea", "A coffee machine at sunrise")
    page.get_by_label("YouTube", exact=True).uncheck()
    page.get_by_label("Instagram", exact=True).uncheck()
    page.get_by_label("Style for X").fill("In black and white.")
    page.get_by_role("button", name="Calculate total").click()
    expect(page.get_by_text("In black and white. A coffee machine at sunrise")).to_be_visible()
    expect(page.get_by_text("720x1280 · 8 s")).to_be_visible()
    page.get_by_role("button", name="Start for 20 credits").click()
    expect(page.get_by_role("status")).to_contain_text("Finished")
    address = page.get_by_role("link", name="Download all as ZIP").get_attribute("href")
    answer = page.request.get(f"{site.url}{address}")
    assert zipfile.ZipFile(io.BytesIO(answer.body())).namelist() == ["001-tiktok.mp4", "002-x.mp4"]


def test_a_key_is_shown_once_works_and_ends(site, visit):
    page = sign_in(visit(), site)
    page.goto(f"{site.url}/account/")
    page.fill("#name", "The shop")
    page.get_by_role("button", name="Create a key").click()
    key = page.locator("#new-key").inner_text()
    asked = {"url": f"{site.url}/v1/credits", "headers": {"Authorization": f"Bearer {key}"}}
    assert requests.get(**asked).json()["object"] == "credits"
    page.goto(f"{site.url}/account/")
    assert key not in page.content()
    page.get_by_role("link", name="The shop").click()
    page.get_by_text("Revoke this key").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("Expired and revoked keys")).to_be_visible()
    assert requests.get(**asked).status_code == 401


def test_code_is_copied_in_the_language_that_was_chosen_last(site, visit):
    page = visit(f"{site.url}/api/docs", permissions=["clipboard-read", "clipboard-write"])
    first, guide = page.locator("#start .code-box"), page.locator("#openai .doc-code .code-box")
    first.get_by_label("JavaScript").check()
    guide.get_by_role("button", name="Copy").click()
    expect(guide.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == guide.locator("pre:visible").text_content()
    assert copied.startswith('import { writeFile } from "node:fs/promises";')
    page.reload()
    expect(first.locator("pre:visible")).to_contain_text("baseURL")


@pytest.mark.parametrize("has_script", [True, False])
def test_a_link_to_a_call_opens_it_and_its_tabs_work(site, visit, has_script):
    page = visit(f"{site.url}/api/docs#create_batch", java_script_enabled=has_script)
    call = page.locator("#create_batch")
    expect(call).to_be_in_viewport()
    request = call.locator("pre:visible").first  # an example of the response follows
    expect(request).to_contain_text("curl ")
    call.get_by_label("Python").check()
    expect(request).to_contain_text("from openai import OpenAI")
    expect(page.locator("#create_campaign")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_for_programs_complains_or_is_wider_than_its_screen(site, visit, width, scheme):
    page = sign_in(visit(viewport={"width": width, "height": 900}, color_scheme=scheme), site)
    for path in ["/account/", "/videos/batch/", "/videos/batch/?kind=campaign", "/api/docs"]:
        page.goto(site.url + path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
