"""Staff put a model on sale, and somebody makes a video with it, in a real browser on a whole installation."""

from datetime import date

import pytest
from playwright.sync_api import expect

from tests.support.browser import balance, sign_in, staff_sign_in
from tests.support.fixtures import TEST_TIMEOUT, start_simulator
from tests.support.installation import Site, free_port


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    process, url = start_simulator(tmp_path_factory.mktemp("provider"), SIMULATOR_SECONDS="2")
    yield url
    process.terminate()
    process.wait(TEST_TIMEOUT)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    env = {"USE_MOCK_SORA": "false", "PRIVATE_NETWORKS_ALLOWED": "127.0.0.0/8"}
    with Site(tmp_path_factory.mktemp("models"), **env) as site:
        yield site


def test_staff_add_a_model_with_two_channels_prices_and_an_end_and_it_is_used(site, visit, provider):
    customer = sign_in(visit(), site)
    expect(customer.get_by_text("No models are available right now.")).to_be_visible()

    staff = staff_sign_in(site, visit, "boss", is_superuser=True)
    for slug, url in (("near", f"http://127.0.0.1:{free_port()}/v1"), ("far", provider)):
        staff.goto(f"{site.url}/admin/videos/channel/add/")
        staff.fill("#id_slug", slug)
        staff.fill("#id_base_url", url)
        staff.get_by_role("button", name="Save", exact=True).click()
        expect(staff.get_by_text("was added successfully")).to_be_visible()

    staff.goto(f"{site.url}/admin/videos/videomodel/add/")
    staff.fill("#id_slug", "kite")
    staff.fill("#id_name", "Kite Cinema")
    staff.fill("#id_sizes", '["1280x720", "720x1280"]')
    staff.fill("#id_lengths", "[4, 12]")
    staff.fill("#id_takes", '["image", "last_frame", "seed"]')
    staff.fill("#id_retires_on", f"{date.today().year + 1}-12-31")
    for number, slug in enumerate(("near", "far")):
        staff.locator("#offers-group").get_by_role("link", name="Add another").click()
        staff.locator(f"#id_offers-{number}-channel").select_option(label=slug)
        staff.fill(f"#id_offers-{number}-provider_model", "sora-2")
        staff.fill(f"#id_offers-{number}-priority", str(number))
    staff.locator("#prices-group").get_by_role("link", name="Add another").click()
    staff.fill("#id_prices-0-seconds", "12")
    staff.fill("#id_prices-0-credits", "30")
    staff.get_by_role("button", name="Save", exact=True).click()
    expect(staff.get_by_text("was added successfully")).to_be_visible()

    customer.goto(site.url)
    expect(customer.get_by_text(f"until Dec 31, {date.today().year + 1}")).to_be_visible()
    expect(customer.locator("#price")).to_have_text("10 credits")
    customer.locator("#lengths").get_by_text("12 s").click()
    expect(customer.locator("#price")).to_have_text("30 credits")
    customer.get_by_text("More options").click()
    customer.locator("#variations").get_by_text("3", exact=True).click()
    expect(customer.locator("#price")).to_have_text("90 credits")
    customer.locator("#variations").get_by_text("1", exact=True).click()
    customer.fill("#id_seed", "7")
    customer.fill("#id_prompt", "A red kite over the sea")
    customer.click("#generate")
    # Nobody is at home at the channel that is asked first.
    expect(customer.locator("#stage video[id^=player]")).to_be_visible()
    expect(customer.get_by_text("Your video · generated with Kite Cinema")).to_be_visible()
    assert balance(customer) == 70
    staff.goto(f"{site.url}/admin/videos/video/")
    staff.get_by_role("link", name="A red kite").or_(
        staff.locator("#result_list tbody a").first
    ).first.click()
    expect(staff.get_by_text("far").first).to_be_visible()
