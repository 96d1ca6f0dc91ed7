"""Models end: who is told, when, and what takes their place."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from tests.support.api_client import error_of
from tests.support.fixtures import order, signed_in
from videos.catalogue import availability
from videos.models import Video, VideoModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def models():
    """sora-2, and sora-2-pro, which will take its place."""
    fast, pro = VideoModel.objects.get(slug="sora-2"), VideoModel.objects.get(slug="sora-2-pro")
    fast.successor = pro
    fast.save()
    return fast, pro


def retires(model, days):
    VideoModel.objects.filter(pk=model.pk).update(retires_on=timezone.localdate() + timedelta(days=days))


def test_on_its_day_a_model_is_refused_and_its_successor_named(models, program, as_owner):
    retires(models[0], 1)
    assert program.send("/v1/videos", {"prompt": "A", "model": "sora-2"}).status_code == 200
    retires(models[0], 0)
    refused = program.send("/v1/videos", {"prompt": "A", "model": "sora-2"})
    assert error_of(refused) == (400, "model", "model_retired")
    assert "Use Studio Pro (sora-2-pro) instead." in refused.json()["error"]["message"]
    sent = {
        "prompt": "A kite",
        "model": "sora-2",
        "seconds": "4",
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    page = as_owner.post("/", sent)
    assert (page.status_code, "Use Studio Pro (sora-2-pro) instead." in page.content.decode()) == (422, True)
    page = as_owner.post("/videos/batch/", {**sent, "prompts": "A", "step": "check"})
    assert "Use Studio Pro (sora-2-pro) instead." in page.content.decode()


def test_a_model_that_never_was_is_not_called_retired(models, program):
    assert error_of(program.send("/v1/videos", {"prompt": "A", "model": "other"}))[2] == "model_not_found"


def test_a_remix_and_use_again_move_to_the_successor(models, program, owner, as_owner):
    video = order(owner, seconds=8)
    Video.objects.filter(pk=video.pk).update(status="completed", file="videos/x.mp4", sha256="x")
    retires(models[0], 0)
    remix = program.send(f"/v1/videos/video_{video.pk.hex}/remix", {"prompt": "By night"})
    assert (remix.status_code, remix.json()["model"]) == (200, "sora-2-pro")
    page = as_owner.get(f"/?again={video.pk}").content.decode()
    assert 'value="sora-2-pro" checked' in page
    assert 'name="seconds" value="8" checked' in page


def test_a_successor_makes_what_comes_nearest_and_leaves_out_what_it_does_not_take(
    models, program, owner, as_owner
):
    video = order(owner, seconds=8, preset="coffee", extras={"seed": 7, "negative_prompt": "Text"})
    Video.objects.filter(pk=video.pk).update(status="completed", file="videos/x.mp4", sha256="x")
    VideoModel.objects.filter(slug="sora-2-pro").update(
        sizes=["720x1280", "1920x1080"], lengths=[5, 10], takes=["seed"]
    )
    retires(models[0], 0)
    remix = program.send(f"/v1/videos/video_{video.pk.hex}/remix", {"prompt": "By night"})
    assert remix.status_code == 200, remix.json()
    made = Video.objects.exclude(pk=video.pk).get()
    assert (made.size, made.seconds, made.extras, made.preset) == ("1920x1080", 10, {"seed": 7}, "")
    page = as_owner.get(f"/?again={video.pk}").content.decode()
    assert 'name="seconds" value="10" checked' in page
    assert 'name="aspect_ratio" value="16:9" checked' in page
    assert 'name="resolution" value="1080p" checked' in page


def test_successors_that_follow_each_other_in_a_ring_lead_nowhere(models):
    fast, pro = models
    VideoModel.objects.filter(pk=pro.pk).update(successor=fast)
    for model in models:
        retires(model, 0)
    assert availability.current(VideoModel.objects.get(pk=fast.pk)) is None
    assert "retired on" in availability.retirement_notice("sora-2")


def test_users_see_the_date_beside_the_model(models, as_owner):
    retires(models[0], 30)
    day = timezone.localdate() + timedelta(days=30)
    assert f"until {day:%b} {day.day}, {day:%Y}" in as_owner.get("/").content.decode()


@pytest.mark.parametrize(("days", "is_warned"), [(60, True), (61, False)])
def test_staff_are_warned_sixty_days_ahead(models, days, is_warned, django_user_model):
    retires(models[1], days)
    staff = django_user_model.objects.create_superuser("boss")
    page = signed_in(staff).get(reverse("admin:index")).content.decode()
    assert ("no successor" in page) == is_warned


def test_doctor_lists_what_retires_and_wants_a_successor(models, capsys):
    retires(models[0], 90)
    retires(models[1], 10)
    with pytest.raises(SystemExit):
        call_command("doctor")
    shown = capsys.readouterr().out
    assert "sora-2 retires on" in shown
    assert "retirements: models that will retire without a successor: sora-2-pro on" in shown
