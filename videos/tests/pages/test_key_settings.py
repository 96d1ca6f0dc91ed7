"""What people set on the page of a key: the form and the events of its webhook, and its repeat window."""

import pytest

from accounts import api_keys
from accounts.models import ApiKey
from tests.support.sabotage import becomes, without
from videos.catalogue import availability

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"


def text_of(answer):
    return answer.content.decode()


@pytest.fixture
def key(owner):
    return api_keys.create(owner, "nightly", webhook_url=URL)[0]


def test_form_and_events_are_chosen_and_shown(as_owner, key):
    page = f"/account/keys/{key.pk}/"
    fields = {"url": URL, "webhook_form": "plain", "events": ["video.failed", "video.started"]}
    assert as_owner.post(page, fields).status_code == 302
    key.refresh_from_db()
    assert (key.webhook_form, key.webhook_events) == ("plain", ["video.started", "video.failed"])
    shown = text_of(as_owner.get(page))
    assert '<option value="plain" selected>' in shown
    assert 'value="video.started" checked' in shown
    assert 'value="video.completed" checked' not in shown
    assert "the whole text of the secret" in shown


@pytest.mark.parametrize("chosen", [[], ["video.completed", "video.failed", "video_batch.completed"]])
def test_the_default_events_are_kept_as_such(as_owner, key, chosen):
    ApiKey.objects.update(webhook_events=["video.started"])
    as_owner.post(f"/account/keys/{key.pk}/", {"url": URL, "webhook_form": "standard", "events": chosen})
    key.refresh_from_db()
    assert (key.webhook_form, key.webhook_events) == ("standard", None)


@pytest.mark.parametrize("fields", [{"webhook_form": "other"}, {"events": ["video.exploded"]}])
def test_an_unknown_form_or_event_changes_nothing(as_owner, key, fields):
    answer = as_owner.post(f"/account/keys/{key.pk}/", {"url": "", **fields})
    assert (answer.status_code, 'role="alert"' in text_of(answer)) == (422, True)
    key.refresh_from_db()
    assert (key.webhook_url, key.webhook_form, key.webhook_events) == (URL, "standard", None)


def test_after_a_rotation_the_page_says_which_secret_signs(as_owner, key):
    for form, sentence in (("standard", "both the old and the new"), ("plain", "with the new secret")):
        ApiKey.objects.update(webhook_form=form)
        answer = as_owner.post(f"/account/keys/{key.pk}/secret/", follow=True)
        assert sentence in text_of(answer)


def test_the_repeat_window_is_set_and_taken_away(as_owner, key):
    for sent, kept in (("90", 90), ("", 0), ("3600", 3600), ("0", 0)):
        answer = as_owner.post(f"/account/keys/{key.pk}/repeats/", {"repeat_window": sent})
        assert answer.status_code == 302
        key.refresh_from_db()
        assert key.repeat_window == kept
        assert f'value="{kept}"' in text_of(as_owner.get(f"/account/keys/{key.pk}/"))


@pytest.mark.parametrize("sent", ["-1", "3601", "soon"])
def test_a_window_that_makes_no_sense_is_refused(as_owner, key, sent):
    answer = as_owner.post(f"/account/keys/{key.pk}/repeats/", {"repeat_window": sent})
    assert (answer.status_code, 'id="repeat-error"' in text_of(answer)) == (422, True)
    assert URL in text_of(answer), "the webhook is shown as it is saved"
    key.refresh_from_db()
    assert key.repeat_window == 0


@without(
    "the owner check on a repeat window",
    "videos.pages.developer.repeats",
    becomes("request.user.api_keys", "ApiKey"),
)
def test_A01_A02_a_strangers_repeat_window_is_404(as_stranger, key):
    answer = as_stranger.post(f"/account/keys/{key.pk}/repeats/", {"repeat_window": "60"})
    assert answer.status_code == 404
    key.refresh_from_db()
    assert key.repeat_window == 0


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "unlimited"),
        ({"max_credits": "500"}, "500 credits in all"),
        ({"credits_a_day": "1", "max_credits": "500"}, "1 credit per day · 500 credits in all"),
    ],
)
def test_the_limits_of_a_new_key_are_shown(as_owner, owner, limits, words):
    assert as_owner.post("/account/", {"name": "My program", **limits}).status_code == 201
    key = owner.api_keys.get()
    assert key.max_credits == (int(limits["max_credits"]) if "max_credits" in limits else None)
    for page in ("/account/", f"/account/keys/{key.pk}/"):
        assert words in text_of(as_owner.get(page))
    assert ("unlimited" in text_of(as_owner.get("/account/"))) == (words == "unlimited")


def test_a_limit_that_makes_no_sense_makes_no_key(as_owner):
    answer = as_owner.post("/account/", {"name": "My program", "max_credits": "0"})
    assert (answer.status_code, 'id="max-credits-error"' in text_of(answer)) == (422, True)
    assert not ApiKey.objects.exists()


def test_models_are_shown_with_the_names_that_programs_use(as_owner):
    shown = text_of(as_owner.get("/account/"))
    for model in availability.models():
        assert f'<code>{model.slug}</code> <span class="hint">{model.name}</span>' in shown
