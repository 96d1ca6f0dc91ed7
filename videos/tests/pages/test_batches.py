"""The pages for many videos at once."""

import io
import re
import uuid
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.support.batches import some
from tests.support.fixtures import new_user, pump_until_done, signed_in
from tests.support.sabotage import becomes, without
from videos.generation import batches, lifecycle
from videos.models import Batch, Status, VideoModel

pytestmark = pytest.mark.django_db

PATH = "/videos/batch/"
ASKED = {"model": "sora-2", "seconds": "4", "aspect_ratio": "16:9", "resolution": "720p"}


def text_of(answer):
    return answer.content.decode()


def test_the_total_is_known_before_anything_is_charged(as_owner, owner):
    answer = as_owner.post(PATH, {**ASKED, "prompts": "A kite\nA boat\n", "step": "check"})
    assert answer.status_code == 200
    for words in ("2 videos", "20 credits in total", "A boat", "Start for 20 credits"):
        assert words in text_of(answer)
    owner.refresh_from_db()
    assert (owner.balance, Batch.objects.count()) == (100, 0)


def test_a_list_is_started_and_its_page_shows_each(as_owner, owner):
    answer = as_owner.post(
        PATH, {**ASKED, "prompts": "A kite\nA boat", "step": "start", "nonce": uuid.uuid4()}
    )
    batch = owner.batches.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/videos/batches/{batch.pk}/")
    page = as_owner.get(answer["Location"])
    assert page["Retry-After"]
    for words in ("A kite", "A boat", "0 ready · 0 failed · 2 total", 'value="0"', "Cancel 2 queued videos"):
        assert words in text_of(page)


def test_a_second_click_is_no_second_batch(as_owner, owner):
    sent = {**ASKED, "prompts": "A kite", "step": "start", "nonce": uuid.uuid4()}
    answers = [as_owner.post(PATH, sent) for _ in range(2)]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert (owner.batches.count(), owner.videos.count()) == (1, 1)


def test_a_csv_is_read_and_stays_when_the_total_is_shown(as_owner):
    file = SimpleUploadedFile("list.csv", b'prompt,note\n"A kite, red",1\nA boat,2\n', "text/csv")
    page = text_of(as_owner.post(PATH, {**ASKED, "file": file, "step": "check"}))
    assert "2 videos" in page
    assert "A kite, red\nA boat</textarea>" in page


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"prompts": "  \n"}, "Enter one prompt per line"),
        ({"prompts": "\n".join(["x"] * 501)}, "You entered 501 prompts; the limit is 500."),
        ({"prompts": "A\n" + "x" * 33000, "step": "start"}, "Video 2: The prompt has 33000 characters"),
        ({"prompts": "A", "seconds": "61", "step": "start"}, "does not support this length"),
        ({"prompts": "A", "seconds": "four"}, "whole number of seconds"),
        ({"prompts": "A", "aspect_ratio": "4:3"}, "does not support this aspect ratio"),
        ({"prompts": "A", "resolution": "1440p"}, "does not support 16:9 at 1440p"),
        ({"prompts": "A", "model": "sora-9"}, "This model is not available"),
        ({"file": SimpleUploadedFile("list.csv", b"\xff\xfe\x00")}, "not UTF-8 text"),
        ({"file": SimpleUploadedFile("list.csv", b"x" * 1_000_001)}, "at most 1 MB"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_ordered(as_owner, sent, sentence):
    answer = as_owner.post(PATH, {**ASKED, "step": "check", **sent})
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    assert not Batch.objects.exists()


def test_too_few_credits_order_none(as_owner, owner):
    answer = as_owner.post(PATH, {**ASKED, "prompts": "\n".join(["A kite"] * 11), "step": "start"})
    assert answer.status_code == 402
    assert "These videos cost 110 credits in total and you have 100." in text_of(answer)
    assert "You need 10 more credits" in text_of(answer)
    assert not owner.videos.exists()


def test_a_campaign_shows_its_sentences_and_takes_changed_ones(as_owner, owner):
    path = f"{PATH}?kind=campaign"
    assert batches.PLATFORMS["tiktok"].style in text_of(as_owner.get(path))
    sent = {
        "model": "sora-2",
        "idea": "A kite",
        "platforms": ["youtube", "tiktok"],
        "style_youtube": "In black and white.",
        "style_tiktok": "",
        "step": "start",
    }
    assert as_owner.post(path, sent).status_code == 302
    batch = owner.batches.get()
    assert batch.kind == "campaign"
    made = list(batch.videos.order_by("position").values_list("prompt", "size"))
    assert made == [("In black and white. A kite", "1280x720"), ("A kite", "720x1280")]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [({"idea": ""}, "Describe the campaign."), ({"platforms": []}, "Choose at least one platform.")],
)
def test_a_campaign_needs_an_idea_and_a_platform(as_owner, sent, sentence):
    whole = {"model": "sora-2", "idea": "A kite", "platforms": ["x"], "step": "start", **sent}
    answer = as_owner.post(f"{PATH}?kind=campaign", whole)
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)


def test_there_is_no_third_kind(as_owner):
    assert as_owner.get(f"{PATH}?kind=other").status_code == 404


@without(
    "the owner check on a batch",
    "videos.pages.batches.cancel",
    becomes("request.user.batches", "Batch"),
    attack="A02",
)
def test_A01_A02_a_strangers_batch_is_404(as_stranger, owner):
    batch = some(owner, 2)
    for path in ("", "zip/"):
        assert as_stranger.get(f"/videos/batches/{batch.pk}/{path}").status_code == 404
    assert as_stranger.post(f"/videos/batches/{batch.pk}/cancel/").status_code == 404
    assert batch.videos.filter(status=Status.QUEUED).count() == 2


def test_a_page_that_shows_all_there_is_gets_no_second_copy(as_owner, owner, still):
    batch = some(owner, 2)
    path = f"/videos/batches/{batch.pk}/"
    seen = {"If-None-Match": re.search(r'W/\\"\w+\\"', text_of(as_owner.get(path)))[0].replace("\\", "")}
    assert as_owner.get(path, headers=seen).status_code == 204
    lifecycle.mark_submitting(batch.videos.get(position=0))
    assert as_owner.get(path, headers=seen).status_code == 200


def test_the_rest_can_be_canceled(as_owner, owner):
    batch = some(owner, 3)
    as_owner.post(f"/videos/batches/{batch.pk}/cancel/")
    batches.advance()
    page = text_of(as_owner.get(f"/videos/batches/{batch.pk}/"))
    assert "Finished" in page
    assert "0 ready · 3 failed · 3 total" in page
    owner.refresh_from_db()
    assert owner.balance == 100


@pytest.mark.django_db(transaction=True)
def test_all_that_are_ready_come_in_one_zip(simulator):
    user = new_user()
    batch = some(user, 3)
    pump_until_done(60)
    gone = batch.videos.get(position=1)
    lifecycle.delete(gone)
    answer = signed_in(user).get(f"/videos/batches/{batch.pk}/zip/")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.namelist() == ["001-kite-0.mp4", "003-kite-2.mp4"]
        assert archive.testzip() is None
        assert all(archive.read(name)[4:8] == b"ftyp" for name in archive.namelist())


def test_without_a_video_that_is_ready_there_is_no_zip(as_owner, owner):
    assert as_owner.get(f"/videos/batches/{some(owner, 1).pk}/zip/").status_code == 404


def test_a_price_that_rose_since_the_total_was_shown_is_shown_again_and_charges_nothing(as_owner, owner):
    sent = {**ASKED, "prompts": "A kite\nA boat", "step": "start", "nonce": uuid.uuid4(), "seen_price": 20}
    VideoModel.objects.filter(slug="sora-2").update(credits=11)
    answer = as_owner.post(PATH, sent)
    assert (answer.status_code, owner.batches.count()) == (409, 0)
    assert "This costs 22 credits, more than was shown. Nothing was charged." in text_of(answer)
    assert 'name="seen_price" value="22"' in text_of(answer)
    assert as_owner.post(PATH, sent | {"seen_price": 22}).status_code == 302
    assert owner.batches.get().credits == 22


def test_a_form_that_carries_somebody_elses_batch_is_refused(as_owner, owner):
    theirs = uuid.uuid4()
    sent = {**ASKED, "prompts": "A kite", "step": "start", "nonce": theirs}
    signed_in(new_user()).post(PATH, sent)
    answer = as_owner.post(PATH, sent)
    assert (answer.status_code, owner.batches.count()) == (409, 0)
    assert "This form was used before." in text_of(answer)
    assert str(theirs) not in text_of(answer)


def test_a_batch_that_nobody_could_pay_is_refused_before_anything_is_written(as_owner, owner):
    VideoModel.objects.filter(slug="sora-2").update(credits=9_999_999)
    prompts = "\n".join(f"Kite {number}" for number in range(300))
    answer = as_owner.post(PATH, {**ASKED, "prompts": prompts, "step": "start", "nonce": uuid.uuid4()})
    assert answer.status_code == 402
    assert "cost 2999999700 credits in total and you have 100." in text_of(answer)
