"""What people do, in a real browser on a whole installation: nothing is mocked between button and player."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import balance, rich, sign_in, staff_sign_in
from tests.support.fixtures import wait_until
from tests.support.installation import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), SIMULATOR_SECONDS="3") as site:
        yield site


def player(page: Page) -> Locator:
    return page.locator("#stage video[id^=player]")


def test_from_sign_in_to_a_playing_video_that_can_be_sought(site, visit):
    page = visit(f"{site.url}/accounts/login/", reduced_motion="no-preference")
    page.get_by_role("button", name="Continue as demo user").click()
    page.wait_for_url(f"{site.url}/")
    assert balance(page) == 100
    page.locator("input[name=image][value^=preset]").first.check(force=True)
    page.fill("#id_prompt", "Steam rising from a cup of coffee [sim:slow]")
    expect(page.locator("#prompt-count")).to_contain_text("44 / 32,000")
    page.click("#generate")

    expect(page.get_by_text("Generating your video…")).to_be_visible()
    expect(page.locator("#generate")).to_be_disabled()
    expect(page.locator("#generate")).to_have_text("Generating…")
    expect(page.locator("#balance")).to_contain_text("90")
    expect(page.locator("#stage progress")).to_be_visible()
    expect(page.get_by_text(re.compile(r"in progress… \d+%"))).to_be_visible()

    expect(player(page)).to_be_visible()
    wait_until(lambda: player(page).evaluate("video => video.currentTime") > 0.3)
    looks = "({muted, loop, controls, autoplay}) => [muted, loop, controls, autoplay]"
    assert player(page).evaluate(looks) == [True, True, True, True]
    player(page).evaluate(
        "video => new Promise(done => {video.pause(); video.onseeked = done; video.currentTime = 3.1})"
    )
    assert 3.0 < player(page).evaluate("video => video.currentTime") < 3.2
    expect(page.get_by_text("Your video · generated with Studio Fast")).to_be_visible()
    expect(page.get_by_text("1280 × 720")).to_be_visible()
    expect(page.locator("#stage").get_by_text("AI generated")).to_be_visible()
    expect(page.locator("#generate")).to_be_enabled()
    expect(page.locator("#generate")).to_contain_text("Generate · 10 credits")
    assert balance(page) == 90

    page.reload()
    expect(player(page)).to_be_visible()
    page.get_by_role("link", name="Library").first.click()
    expect(page.get_by_text("Ready").first).to_be_visible()


def test_a_failure_says_why_and_the_balance_returns_without_a_reload(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    before = balance(page)
    page.fill("#id_prompt", "Something [sim:moderation]")
    page.click("#generate")
    expect(page.locator("#balance")).to_contain_text(f"{before - 10:,}".replace(",", ""))
    expect(page.get_by_text("This video failed")).to_be_visible()
    expect(page.get_by_text("Your 10 credits were refunded.")).to_be_visible()
    expect(page.get_by_text("safety rules do not allow")).to_be_visible()
    expect(page.locator("#generate")).to_be_enabled()
    assert balance(page) == before


def test_another_device_shows_the_running_video(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    phone = sign_in(visit(viewport={"width": 390, "height": 844}, has_touch=True), site)
    page.fill("#id_prompt", "On every screen [sim:slow]")
    page.click("#generate")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    phone.goto(site.url)
    expect(phone.get_by_text("Generating your video…")).to_be_visible()
    for screen in (page, phone):
        expect(player(screen)).to_be_visible()


def test_everything_works_without_javascript(site, visit):
    rich(site)
    page = sign_in(visit(java_script_enabled=False), site)
    before = balance(page)
    page.click("#generate")
    expect(page.get_by_text("Enter a prompt.")).to_be_visible()
    page.fill("#id_prompt", "A plain page")
    page.click("#generate")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    assert balance(page) == before - 10
    expect(player(page)).to_be_visible()

    page.goto(f"{site.url}/videos/")
    page.get_by_text("A plain page").first.click()
    expect(page.get_by_text("Ordered. 10 credits reserved.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".mp4")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name=re.compile("Delete")).click()
    page.wait_for_url(f"{site.url}/videos/")
    expect(page.get_by_text("A plain page")).to_have_count(0)


@pytest.fixture
def less(site):
    """Studio Pro makes less than Studio Fast, where 37 seconds have a price of their own."""
    code = (
        "from videos.models import *; VideoModel.objects.filter(slug='sora-2-pro').update("
        "sizes=['1280x720', '1920x1080', '720x1280'], lengths=[5, 10]); "
        "Price.objects.get_or_create(model=VideoModel.objects.get(slug='sora-2'), seconds=37, credits=33)"
    )
    site.manage("shell", "--no-imports", "-c", code)


def test_shape_and_length_follow_the_model_and_each_other(site, visit, less):
    rich(site)
    page = sign_in(visit(), site)
    ratios, resolutions, lengths = (
        page.locator(f"#{group}") for group in ("ratios", "resolutions", "lengths")
    )
    number, price = page.get_by_label("Length in seconds"), page.locator("#price")
    expect(number).to_be_hidden()
    ratios.get_by_label("21:9").check(force=True)
    resolutions.get_by_label("1080p").check(force=True)
    expect(page.locator("#pixels")).to_have_text("2560×1080")
    lengths.get_by_label("20 s").check(force=True)
    page.locator("#other-length").click()
    expect(number).to_be_focused()
    expect(number).to_have_value("20")
    page.keyboard.type("37")
    expect(price).to_have_text("33 credits")

    page.get_by_label("Studio Pro").check(force=True)
    expect(ratios.get_by_label("21:9")).to_be_hidden()
    expect(page.locator("#pixels")).to_have_text("1920×1080")
    expect(lengths.get_by_label("10 s")).to_be_checked()
    expect(price).to_have_text("10 credits")
    ratios.get_by_label("9:16").check(force=True)
    expect(resolutions.get_by_label("720p")).to_be_checked()
    expect(resolutions.get_by_label("1080p")).to_be_disabled()
    expect(page.get_by_text("This model does not support 9:16 at 1080p.")).to_be_visible()

    page.get_by_label("Studio Fast").check(force=True)
    expect(resolutions.get_by_label("1080p")).to_be_enabled()
    expect(page.locator("#resolutions-lack")).to_be_hidden()
    expect(lengths.get_by_label("Other")).to_be_checked()
    expect(number).to_have_value("10")
    number.fill("99")
    page.fill("#id_prompt", "A tall kite")
    page.click("#generate")
    expect(page.get_by_text("Choose one of: 1–60 seconds.")).to_be_visible()
    expect(number).to_have_value("99")
    number.fill("2")
    page.click("#generate")
    expect(player(page)).to_be_visible()
    expect(page.locator("#stage").get_by_text("720 × 1280")).to_be_visible()
    expect(number).to_have_value("2")


def test_shape_and_length_are_chosen_by_the_keys(site, visit, less):
    page = sign_in(visit(), site)
    page.locator("#ratios :checked").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#pixels")).to_have_text("480×854")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#other-length")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Length in seconds")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#lengths").get_by_label("60 s")).to_be_checked()


def test_shape_and_length_are_chosen_without_javascript(site, visit, less):
    rich(site)
    page = sign_in(visit(java_script_enabled=False), site)
    page.get_by_label("Studio Pro").check(force=True)
    page.locator("#ratios").get_by_label("1:1").check(force=True)
    page.locator("#resolutions").get_by_label("480p").check(force=True)
    page.fill("#id_prompt", "A small kite")
    page.click("#generate")
    expect(page.get_by_text("Studio Pro does not support this aspect ratio.")).to_be_visible()
    page.get_by_label("Studio Fast").check(force=True)
    page.locator("#other-length").click()
    page.get_by_label("Length in seconds").fill("2")
    page.click("#generate")
    expect(player(page)).to_be_visible()
    expect(page.locator("#stage").get_by_text("480 × 480")).to_be_visible()


@pytest.fixture
def full(site):
    """The provider takes nothing for now; call it to let somebody else's video come first, or go again."""

    def run(code: str) -> None:
        imports = "from tests.support.fixtures import *; from videos.models import *; from videos.generation import lifecycle"
        site.manage("shell", "--no-imports", "-c", f"{imports}; {code}")

    run("Channel.objects.update(max_running=0)")
    yield run
    run("Channel.objects.update(max_running=None)")


def test_a_queued_video_tells_its_place_and_can_be_canceled(site, visit, full):
    rich(site)
    full("order(new_user(username='rival'), 'Earlier')")
    page = sign_in(visit(), site)
    before = balance(page)
    page.fill("#id_prompt", "Not so important")
    page.click("#generate")
    expect(page.get_by_text("Waiting for the video service, position 2")).to_be_visible()
    expect(page.get_by_text("Queued, position 2").first).to_be_visible()
    full("lifecycle.cancel(Video.objects.get(prompt='Earlier'))")
    expect(page.get_by_text("Waiting for the video service, position 1")).to_be_visible()

    page.locator("#stage").get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("Your 10 credits were refunded.")).to_be_visible()
    expect(page.get_by_text("Canceled · refunded").first).to_be_visible()
    expect(page.locator("#generate")).to_be_enabled()
    assert balance(page) == before
    page.reload()
    expect(page.get_by_text("Your 10 credits were refunded.")).to_be_visible()


def test_a_queued_video_can_be_canceled_without_javascript(site, visit, full):
    rich(site)
    page = sign_in(visit(java_script_enabled=False), site)
    before = balance(page)
    page.fill("#id_prompt", "A plain thought")
    page.click("#generate")
    page.locator("#stage").get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel video").click()
    expect(page.get_by_text("Your 10 credits were refunded.")).to_be_visible()
    expect(page.get_by_text("Canceled. 10 credits refunded.")).to_be_visible()
    assert balance(page) == before


def test_a_page_that_shows_all_there_is_gets_no_second_copy(site, visit, full):
    rich(site)
    page = sign_in(visit(), site)
    page.fill("#id_prompt", "Nothing new")
    page.click("#generate")
    expect(page.get_by_text("Waiting for the video service, position 1")).to_be_visible()
    with page.expect_response(lambda answer: "/card/?at=" in answer.url and answer.status == 204):
        pass
    expect(page.get_by_text("Waiting for the video service, position 1")).to_be_visible()
    page.locator("#stage").get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("Your 10 credits were refunded.")).to_be_visible()


def test_mistakes_are_told_beside_the_field_and_nothing_is_lost(site, visit, tmp_path):
    rich(site)
    page = sign_in(visit(), site)
    before = balance(page)
    (tmp_path / "note.png").write_text("no picture at all")
    page.set_input_files("#id_file", tmp_path / "note.png")
    page.fill("#id_prompt", "With a picture")
    page.click("#generate")
    expect(page.get_by_text("This file could not be read as a picture.")).to_be_visible()
    expect(page.locator("#id_prompt")).to_have_value("With a picture")
    assert balance(page) == before


def test_a_session_that_ended_meanwhile_keeps_the_draft(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    page.fill("#id_prompt", "A long thought")
    page.context.clear_cookies(name="sessionid")
    page.click("#generate")
    expect(page.get_by_text("Sign in to generate. Your input is kept")).to_be_visible()
    expect(page.locator("#id_prompt")).to_have_value("A long thought")
    page.locator("#form-error").get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Continue as demo user").click()
    expect(page.locator("#id_prompt")).to_have_value("A long thought")


def test_a_page_from_before_the_last_sign_in_gets_a_clear_answer(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    page.fill("#id_prompt", "From an old page")
    page.context.add_cookies([{"name": "csrftoken", "value": "x" * 32, "url": site.url}])
    page.click("#generate")
    expect(page.get_by_text("This page is out of date")).to_be_visible()


def test_a_double_click_is_one_order(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    before = balance(page)
    page.fill("#id_prompt", "Twice in a hurry")
    page.dblclick("#generate")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    page.reload()
    assert balance(page) == before - 10


def test_an_upload_is_previewed_chosen_and_becomes_the_first_frame(site, visit):
    rich(site)
    page = sign_in(visit(), site)
    from videos.media.presets import presets

    page.set_input_files("#id_file", next(iter(presets().values())).file)
    page.fill("#id_prompt", "My own picture")
    page.click("#generate")
    expect(player(page)).to_be_visible()
    expect(page.locator("input[name=image][value^=upload]").first).to_be_attached()


PAGES = [
    "/",
    "/videos/",
    "/credits/",
    "/accounts/login/",
    "/accounts/logout/",
    "/videos/?before=x",
    "/nothing/",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_complains_or_is_wider_than_its_screen(site, visit, width, scheme):
    rich(site)
    page = visit(site.url, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for signed in (False, True):
        if signed:
            sign_in(page, site)
        for path in PAGES:
            page.goto(site.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_staff_refund_a_video_with_a_reason_and_find_it_in_the_audit_log(site, visit):
    customer = sign_in(visit(), site)
    rich(site)
    customer.goto(site.url)
    customer.fill("#id_prompt", "A kite that staff pay for")
    customer.click("#generate")
    expect(player(customer)).to_be_visible()
    before = balance(customer)

    page = staff_sign_in(site, visit, "boss", is_superuser=True)
    expect(page.get_by_text("Paid", exact=True)).to_be_visible()
    expect(page.locator("canvas.chart")).to_have_count(3)
    page.get_by_role("link", name="30 days").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
    page.goto(f"{site.url}/admin/videos/video/?q=A+kite+that+staff+pay+for")
    page.locator("tbody a[href*='/change/']").first.click()
    page.locator("a[href$='/refund/']").click()
    page.get_by_label("Reason").fill("The kite was blue, not red")
    page.get_by_role("button", name="Refund", exact=True).click()
    expect(page.get_by_text("Refunded.", exact=True)).to_be_visible()
    expect(page.get_by_text("The staff refunded 10 credits.")).to_be_visible()
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_text("The kite was blue, not red")).to_be_visible()

    customer.goto(f"{site.url}/credits/")
    assert balance(customer) == before + 10
    assert "The ledger is consistent" in site.manage("check_ledger")


def test_somebody_of_support_sees_videos_and_no_figure_of_money(site, visit):
    page = staff_sign_in(site, visit, "helper", group="support")
    expect(page.get_by_text("Success rate").first).to_be_visible()
    expect(page.locator("canvas.chart")).to_have_count(1)
    assert not re.search("Money|USD|Payment|Cost", page.locator("body").inner_text())
    page.goto(f"{site.url}/admin/money/")
    expect(page.get_by_text("not allowed", exact=False).first).to_be_visible()


def test_no_page_of_the_admin_complains(site, visit):
    page = staff_sign_in(site, visit, "watcher", is_superuser=True)
    for link in page.locator("#nav-sidebar-apps a").all():
        assert link.get_attribute("href").startswith("/admin/")
    paths = [link.get_attribute("href") for link in page.locator("#nav-sidebar-apps a").all()]
    assert len(paths) >= 18
    for path in paths:
        page.goto(f"{site.url}{path}")
        expect(page.locator("#content")).to_be_visible()


def test_out_of_credits_a_person_tops_up_and_generates_what_was_typed(site, visit):
    page = sign_in(visit(), site)
    spend_all_but(site, 3)
    page.goto(site.url)
    page.fill("#id_prompt", "A kite to be paid for")
    page.get_by_role("button", name="You need 7 more credits").click()
    page.wait_for_url(f"{site.url}/credits/")
    expect(page.get_by_text("You need 7 more credits for your video.")).to_be_visible()
    expect(page.get_by_text("About 20 videos, $0.25 each")).to_be_visible()
    page.get_by_role("button", name="Buy for").first.click()
    expect(page.get_by_text("TEST MODE · no real money")).to_be_visible()
    page.get_by_role("button", name="Complete test payment").click()
    expect(page.get_by_text("200 credits added.")).to_be_visible()
    assert balance(page) == 203

    page.wait_for_url(f"{site.url}/")
    expect(page.locator("#id_prompt")).to_have_value("A kite to be paid for")
    page.click("#generate")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    assert balance(page) == 193

    code = site.manage("create_redeem_codes", "1", "--credits", "50").split()[-1]
    page.goto(f"{site.url}/credits/")
    page.fill("#code", code.lower())
    page.get_by_role("button", name="Redeem", exact=True).click()
    expect(page.get_by_text("50 credits added.")).to_be_visible()
    assert balance(page) == 243


def spend_all_but(site, rest):
    code = (
        "from accounts import credits; from accounts.models import User\n"
        "user = User.objects.get(email='demo@example.com')\n"
        f"credits.charge(user, user.balance - {rest}, reference='order:journey')"
    )
    site.manage("shell", "--no-imports", "-c", code)
