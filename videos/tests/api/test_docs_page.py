"""`/api/docs` as people read it: about this site as it is now, complete, and without dead ends."""

import html
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from django.test import Client

from tests.support.fixtures import signed_in
from videos.api.openapi import changes, error_codes, examples, pages, reference
from videos.api.requests import ALIASES
from videos.code_samples import Sample, first_video
from videos.models import Audience, Price, VideoModel
from videos.serializers import VideoObject

pytestmark = pytest.mark.django_db

API = Path(pages.__file__).parents[1]


def page(client=None):
    return (client or Client()).get("/api/docs").content.decode()


def text_of(markup):
    """What a browser shows of it, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def code_of(markup):
    """Each piece of code on it, as it is copied."""
    return [
        html.unescape(re.sub(r"<[^>]*>", "", one))
        for one in re.findall(r"<pre[^>]*>(.*?)</pre>", markup, re.DOTALL)
    ]


def section(name):
    return text_of(re.search(rf'<section [^>]*id="{name}">(.*?)</section>', page(), re.DOTALL)[1])


# --- Of this site ---------------------------------------------------------------------------------


def test_models_are_listed_with_the_names_that_programs_use():
    listed = section("models")
    for alias, model in ALIASES.items():
        assert alias in listed
        assert model in listed
    assert "1–60 default 4" in listed
    assert "720x1280" in listed


def test_models_are_listed_with_the_prices_of_this_site():
    model = VideoModel.objects.get(slug="sora-2")
    VideoModel.objects.filter(pk=model.pk).update(credits=7)
    Price.objects.create(model=model, size="1920x1080", seconds=8, audio="on", credits=31)
    listed = section("models")
    assert "7–31 Prices 1920x1080, 8 s, with sound: 31 anything else: 7" in listed


def test_models_that_are_off_or_for_staff_are_not_listed_to_others(as_owner, as_staff):
    VideoModel.objects.filter(slug="sora-2").update(enabled=False)
    VideoModel.objects.filter(slug="sora-2-pro").update(audience=Audience.STAFF)
    for client in (Client(), as_owner):
        assert "No model is available right now." in page(client)
    assert '<code class="model-id">sora-2-pro</code>' in page(as_staff)
    assert '<code class="model-id">sora-2</code>' not in page(as_staff)


def test_examples_name_a_model_of_this_site():
    VideoModel.objects.filter(slug="sora-2").update(enabled=False)
    first = code_of(page())[:3]
    assert ["sora-2-pro" in one for one in first] == [True, True, True]


@pytest.mark.parametrize(
    ("a_minute", "sentence"),
    [
        (600, "Each key can send 600 requests per minute."),
        (0, "This site does not limit the number of requests."),
    ],
)
def test_the_rate_limit_is_that_of_this_site(settings, a_minute, sentence):
    settings.API_REQUESTS_A_MINUTE = a_minute
    limits = section("limits")
    assert sentence in limits
    assert ("RateLimit-Remaining" in limits) == bool(a_minute)
    assert f"for each key {a_minute or 'unlimited'}" in limits
    assert (f"{a_minute} requests per minute" in Client().get("/llms.txt").content.decode()) == bool(a_minute)


def test_other_limits_are_those_of_this_site_too(settings):
    settings.USER_RUNNING_VIDEOS, settings.LINK_SECONDS, settings.JOB_DEADLINE_SECONDS = 3, 7200, 90
    limits = section("limits")
    assert "3; more wait in the queue" in limits
    assert "work for 2 hours" in limits
    assert "refunded 90 seconds" in limits


# --- Complete -------------------------------------------------------------------------------------


def test_every_error_code_of_the_api_is_explained():
    files = [path for path in API.rglob("*.py") if "openapi" not in path.parts]
    raised = {code for path in files for code in re.findall(r'code="([a-z_]+)"', path.read_text())}
    assert raised - {one.code for one in error_codes.CODES} == set()
    errors = section("errors")
    assert all(f"{one.code} {one.status}" in errors for one in error_codes.CODES)


def test_the_order_comes_before_the_quote():
    shown = page()
    assert 0 < shown.index('id="create_video"') < shown.index('id="quote_video"')


def test_the_example_of_a_video_has_all_of_its_fields():
    shown = [one for one in code_of(page()) if one.startswith("{") and '"status": "completed"' in one]
    assert list(json.loads(shown[0])) == list(VideoObject.__annotations__)


def test_changes_of_the_api_come_from_the_changelog(tmp_path, monkeypatch, settings):
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- **API:** a `seed`,\n  which is new.\n- A page.\n\n"
        "## [0.9.0] - 2026-11-29\n\n- **API:** The first.\n"
    )
    monkeypatch.setattr(changes, "FILE", changelog)
    settings.VERSION = "0.9.0"
    changes.of_the_api.cache_clear()
    found = changes.of_the_api()
    changes.of_the_api.cache_clear()
    assert found == [
        ("Since 0.9.0", ["A <code>seed</code>, which is new."]),
        ("0.9.0 (2026-11-29)", ["The first."]),
    ]
    assert "Changes of the API" in section("changes")


def test_a_call_is_shown_with_the_response_and_the_values_that_the_document_has():
    example = {"application/json": {"example": {"url": f"{examples.SITE}/x"}}}
    operation = {
        "operationId": "x",
        "tags": ["Videos"],
        "description": "Do it. Then rest.",
        "parameters": [],
        "responses": {"200": {"content": example}, "400": {}},
    }
    call = reference._of_site(reference._call("get", "/v1/x", operation), "http://here")
    assert html.unescape(re.sub(r"<[^>]*>", "", call["example"])) == '{\n  "url": "http://here/x"\n}'
    assert (call["summary"], call["answers"], call["refusals"]) == ("Do it.", ["200"], ["400"])
    assert reference._kind({"enum": ["a", "b"], "type": "string"}) == "one of a, b"


# --- Without dead ends ----------------------------------------------------------------------------


def test_every_link_within_the_page_leads_somewhere():
    shown = page()
    ids = Counter(re.findall(r'\bid="([^"]+)"', shown))
    assert {name: count for name, count in ids.items() if count > 1} == {}
    assert set(re.findall(r'href="#([^"]+)"', shown)) - set(ids) == set()


def test_links_to_a_section_from_other_pages_lead_somewhere(as_owner):
    ids = set(re.findall(r'\bid="([^"]+)"', page()))
    account = as_owner.post("/account/", {"name": "x"}).content.decode()
    assert set(re.findall(r'/api/docs#([^"]+)"', account)) <= ids
    assert 'id="make-title"' in account  # where the page sends people for a key


def test_each_group_of_tabs_shows_one_language_without_a_script():
    groups = Counter(re.findall(r'name="(code-[^"]+)" value="[^"]+" checked', page()))
    assert len(groups) > 30
    assert set(groups.values()) == {1}


def test_code_is_colored_and_can_be_copied_as_it_is():
    sample = Sample("Python", 'from a import b  # it\'s "here"\nprint("a <b>", \'c\')  # https://x\n')
    assert html.unescape(re.sub(r"<[^>]*>", "", sample.html)) == sample.source
    assert '<span class="code-word">from</span>' in sample.html
    assert '<span class="code-comment"># it&#x27;s &quot;here&quot;</span>' in sample.html
    assert '<span class="code-string">&quot;a &lt;b&gt;&quot;</span>' in sample.html


def test_the_addresses_in_code_are_not_comments():
    curl = first_video("http://testserver", "av_live_...", [])[0]
    assert "http://testserver/v1/videos" in curl.html


# --- The page of a new key ------------------------------------------------------------------------


def test_a_new_key_comes_with_an_example_that_is_ready_to_run(owner):
    answer = signed_in(owner).post("/account/", {"name": "x", "models": ["sora-2-pro"]})
    curl, python, javascript, variables = code_of(answer.content.decode())
    key = re.search(r"av_live_\w{49}", python)[0]
    assert [curl, python, javascript] == [
        one.source for one in first_video("http://testserver", key, ["sora-2-pro"])
    ]
    assert variables.splitlines() == [
        'export OPENAI_BASE_URL="http://testserver/v1"',
        f'export OPENAI_API_KEY="{key}"',
    ]
