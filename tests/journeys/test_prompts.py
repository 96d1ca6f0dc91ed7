"""From a template or a few words to a good prompt, in a real browser on a whole installation."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import balance, sign_in
from tests.support.chat_server import completion, fake_chat
from tests.support.fixtures import wait_until
from tests.support.installation import Site
from videos.prompts.templates import BY_NAME

TURNTABLE = BY_NAME["turntable"].prompt
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture(scope="module")
def server():
    with fake_chat() as chat:
        yield chat


@pytest.fixture
def chat(server):
    server.reset()
    return server


@pytest.fixture(scope="module")
def site(tmp_path_factory, server):
    with Site(tmp_path_factory.mktemp("prompts"), PROMPT_HELP_BASE_URL=server.url) as site:
        yield site


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def screen(request, scheme):
    return {**request.param, "color_scheme": scheme}


def prompt(page: Page):
    return page.locator("#id_prompt")


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def templates(page: Page):
    return page.locator("#templates summary")


def selected(page: Page) -> str:
    return page.evaluate("getSelection().toString()")


def size_of(page: Page) -> list[int]:
    return page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight, "
        "document.querySelector('#models').getBoundingClientRect().top + scrollY]"
    )


def test_a_template_takes_the_place_of_what_was_typed_which_can_come_back(site, visit, screen):
    page = sign_in(visit(**screen), site)
    prompt(page).fill("My own idea")
    before = size_of(page)
    templates(page).click()
    expect(page.get_by_role("link", name="Turntable")).to_be_in_viewport()
    assert size_of(page) == before
    assert before[0] <= screen["viewport"]["width"]

    page.get_by_role("link", name="Splash").click()
    page.locator("#templates[open]").wait_for(state="detached")
    templates(page).click()
    page.get_by_role("link", name="Turntable").click()
    expect(prompt(page)).to_have_value(TURNTABLE)
    expect(page.locator("#prompt-count")).to_have_text(f"{len(TURNTABLE)} / 32,000")
    assert selected(page) == "[A steel wristwatch]"
    page.keyboard.type("A brass compass")
    expect(prompt(page)).to_have_value(TURNTABLE.replace("[A steel wristwatch]", "A brass compass"))

    button(page, "Undo").click()
    expect(prompt(page)).to_have_value("My own idea")
    expect(page.locator("#put-back")).to_be_hidden()


def test_the_browsers_own_undo_knows_of_a_template(site, visit):
    page = sign_in(visit(), site)
    prompt(page).press_sequentially("My own idea")
    templates(page).click()
    page.get_by_role("link", name="Turntable").click()
    page.keyboard.press("Control+z")
    expect(prompt(page)).to_have_value("My own idea")


def test_a_template_is_chosen_with_the_keyboard_alone(site, visit):
    page = visit(site.url)
    templates(page).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#templates[open]")).to_be_attached()
    page.keyboard.press("Escape")
    expect(page.locator("#templates[open]")).to_have_count(0)
    expect(templates(page)).to_be_focused()

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Turntable")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#templates[open]")).to_have_count(0)

    templates(page).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(prompt(page)).to_have_value(TURNTABLE)
    expect(prompt(page)).to_be_focused()
    expect(page.locator("#put-back")).to_be_hidden()  # nothing was there


def test_what_a_sample_replaced_can_come_back_too(site, visit):
    page = visit(site.url)
    prompt(page).fill("My own idea")
    page.click("#use-prompt")
    expect(prompt(page)).not_to_have_value("My own idea")
    button(page, "Undo").click()
    expect(prompt(page)).to_have_value("My own idea")


def test_a_better_wording_is_used_or_not(site, visit, screen, chat):
    chat.says = completion("A red kite climbs over a grey sea,\n<b>low sun</b>, slow tilt up")
    page = sign_in(visit(**screen), site)
    before = balance(page)
    page.locator("#lengths").get_by_text("8 s").click()
    prompt(page).fill("A red kite")
    button(page, "Improve my prompt").click()
    expect(page.locator("#own-words")).to_have_text("A red kite")
    expect(page.locator("#improved-words")).to_contain_text("<b>low sun</b>")
    expect(button(page, "Keep mine")).to_be_in_viewport()
    assert size_of(page)[0] <= screen["viewport"]["width"]
    button(page, "Keep mine").click()
    expect(prompt(page)).to_have_value("A red kite")
    expect(button(page, "Keep mine")).to_have_count(0)

    button(page, "Improve my prompt").click()
    button(page, "Use this").click()
    expect(prompt(page)).to_have_value("A red kite climbs over a grey sea,\n<b>low sun</b>, slow tilt up")
    expect(prompt(page)).to_be_focused()
    button(page, "Undo").click()
    expect(prompt(page)).to_have_value("A red kite")
    expect(page.locator("#lengths input:checked")).to_have_value("8")
    assert balance(page) == before
    assert chat.prompts == ["A red kite", "A red kite"]


def test_no_words_get_a_sentence_that_goes_with_the_first_one(site, visit, chat):
    page = sign_in(visit(), site)
    button(page, "Improve my prompt").click()
    expect(page.get_by_text("Enter a prompt first.")).to_be_visible()
    prompt(page).press_sequentially("A")
    expect(page.get_by_text("Enter a prompt first.")).to_have_count(0)
    assert chat.asked == []


def test_enter_in_the_form_still_generates(site, visit, chat):
    site.manage("grant_credits", "demo@example.com", "1000", "--reason", "for a test", "--create")
    page = sign_in(visit(), site)
    prompt(page).fill("By the key alone")
    page.locator("#lengths input").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Generating your video…")).to_be_visible()
    assert chat.asked == []
    # And once more, on the form that came back.
    expect(page.locator("#generate")).to_be_enabled(timeout=30_000)
    prompt(page).fill("By the key alone, again")
    page.locator("#lengths input").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#generate")).to_be_disabled()
    assert chat.asked == []


def test_a_picture_that_was_chosen_does_not_travel_for_the_sake_of_words(site, visit, chat):
    from videos.media.presets import presets

    page = sign_in(visit(), site)
    page.set_input_files("#id_file", next(iter(presets().values())).file)
    prompt(page).fill("A red kite")
    with page.expect_request("**/prompt/improve/") as asked:
        button(page, "Improve my prompt").click()
    assert asked.value.headers["content-type"].startswith("application/x-www-form-urlencoded")
    expect(button(page, "Use this")).to_be_visible()
    expect(page.locator("#image-pictures .upload[data-chosen]")).to_be_attached()


def test_all_of_it_works_without_javascript(site, visit, chat):
    # Without JavaScript the studio reloads while a video is being made, which closes what was opened.
    live = "from videos.models import Video; print(Video.objects.live().exists())"
    wait_until(lambda: site.manage("shell", "--no-imports", "-c", live).strip() == "False")
    page = sign_in(visit(java_script_enabled=False), site)
    templates(page).click()
    expect(page.get_by_text("A template replaces what you entered in the form.")).to_be_visible()
    page.get_by_role("link", name="Turntable").click()
    expect(prompt(page)).to_have_value(TURNTABLE)
    expect(prompt(page)).to_be_in_viewport()

    page.locator("#lengths").get_by_text("8 s").click()
    for choice, words in (("Keep mine", TURNTABLE), ("Use this", "A better kite")):
        button(page, "Improve my prompt").click()
        expect(page.locator("#own-words")).to_have_text(TURNTABLE)
        button(page, choice).click()
        expect(prompt(page)).to_have_value(words)
        expect(page.locator("#lengths input:checked")).to_have_value("8")


@pytest.mark.parametrize("cut", ["no line", "a proxy's page", "an answer of ours"])
def test_no_answer_is_told_and_the_prompt_stays(site, browser, chat, cut):
    # Not by `visit`: the browser itself complains of a server's bad answer.
    page = sign_in(browser.new_page(reduced_motion="reduce"), site)
    prompt(page).fill("A red kite")
    sentence = "No response from the server. Your prompt is unchanged; try again."
    if cut == "no line":
        page.route("**/prompt/improve/", lambda route: route.abort())
    elif cut == "a proxy's page":
        bad = {"status": 502, "content_type": "text/html", "body": "<h1>502 Bad Gateway</h1>"}
        page.route("**/prompt/improve/", lambda route: route.fulfill(**bad))
    else:
        chat.status = 500
        sentence = "The prompt helper is not responding. Your prompt is unchanged; try again later."
    button(page, "Improve my prompt").click()
    expect(page.locator("#improved")).to_have_text(sentence)
    expect(page.get_by_text("Bad Gateway")).to_have_count(0)
    expect(prompt(page)).to_have_value("A red kite")
    page.context.close()
