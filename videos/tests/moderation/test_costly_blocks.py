"""Whoever has videos blocked at a provider that charges for them has to wait, longer each time."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from tests.support.api_client import Program, error_of
from tests.support.fixtures import entries, new_user, order, pump_until_done, signed_in
from tests.support.sabotage import becomes, without
from tests.support.studio_page import form
from videos.generation import lifecycle, purchases
from videos.models import Channel, Offer, Status, Video
from videos.moderation import costly_blocks
from videos.moderation.costly_blocks import TOLERATED, SlowedDown
from videos.providers.base import JobState
from videos.worker import admission

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def costly():
    Channel.objects.update(charges_for_blocked=True)
    return Channel.objects.get(slug="simulator")


def blocked(user, count, ago=timedelta()):
    """Videos that their provider accepted and then blocked, so long ago."""
    for _ in range(count):
        video = order(user)
        lifecycle.mark_submitting(video)
        lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
        lifecycle.fail(video, "moderation_blocked")
        if ago:
            Video.objects.filter(pk=video.pk).update(ended_at=timezone.now() - ago)


def waits(user, channel):
    """Minutes that the user still has to wait."""
    until = costly_blocks.pauses(channel).get(user.pk)
    return round((until - timezone.now()).total_seconds() / 60) if until else 0


def test_a_few_blocked_videos_slow_nobody_down(owner, costly):
    blocked(owner, TOLERATED)
    assert order(owner).status == Status.QUEUED


@without(
    "the pause after blocked videos that cost",
    "videos.generation.ordering.offer_for",
    becomes("costly_blocks.check(user, offer.channel)", "None"),
    attack="A82",
)
def test_A82_whoever_goes_on_has_to_wait_and_is_charged_nothing(owner):
    program, page = Program(owner), signed_in(owner)
    blocked(owner, TOLERATED + 1)
    made, balance = owner.videos.count(), type(owner).objects.get(pk=owner.pk).balance
    answer = program.send("/v1/videos", {"prompt": "A kite"})
    assert error_of(answer) == (429, None, "too_many_blocked")
    assert 1 <= int(answer["Retry-After"]) <= 60
    answer = page.post("/", form())
    assert (answer.status_code, "blocked by the model" in answer.content.decode()) == (429, True)
    quote = program.send("/v1/videos/quote", {"prompt": "A kite"}).json()
    assert (quote["accepted"], quote["error"]["code"]) == (False, "too_many_blocked")
    assert (owner.videos.count(), type(owner).objects.get(pk=owner.pk).balance) == (made, balance)
    assert order(new_user()).status == Status.QUEUED


def test_A82_each_further_one_doubles_the_pause_up_to_an_hour(owner, costly, monkeypatch):
    monkeypatch.setattr(costly_blocks, "check", lambda user, channel: None)
    found = []
    for count in (TOLERATED, *[1] * 9):
        blocked(owner, count)
        found.append(waits(owner, costly))
    assert found == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_pause_ends_by_itself(owner, costly):
    blocked(owner, TOLERATED)
    blocked(owner, 1, ago=timedelta(seconds=50))
    with pytest.raises(SlowedDown):
        order(owner)
    Video.objects.update(ended_at=timezone.now() - timedelta(seconds=61))
    assert order(owner).status == Status.QUEUED
    Video.objects.exclude(ended_at=None).update(ended_at=timezone.now() - timedelta(days=1))
    assert waits(owner, costly) == 0


@without(
    "the turns of who is slowed down",
    "videos.worker.admission._choose",
    becomes("list(costly_blocks.pauses(channel))", "[]"),
    attack="A82",
)
def test_A82_what_waits_already_gets_no_turn_meanwhile(owner):
    """A batch is ordered at once, before any of its videos is blocked."""
    waiting, other = order(owner, "A kite"), order(new_user(), "A boat")
    blocked(owner, TOLERATED + 1)
    with transaction.atomic():
        assert [video.prompt for video in admission.admit(100)] == ["A boat"]
    assert Video.objects.get(pk=waiting.pk).status == Status.QUEUED
    assert Video.objects.get(pk=other.pk).status == Status.SUBMITTING
    Video.objects.exclude(ended_at=None).update(ended_at=timezone.now() - timedelta(seconds=61))
    with transaction.atomic():
        assert [video.prompt for video in admission.admit(100)] == ["A kite"]


def test_only_what_the_provider_charges_for_counts(owner, costly, simulator):
    videos = [order(owner, f"A kite [sim:{fault}]") for fault in ["rejected"] * 5 + ["fail"] * 2]
    pump_until_done(60)
    assert {entries(video) == [("charge", -10), ("refund", 10)] for video in videos} == {True}
    assert waits(owner, costly) == 0
    Channel.objects.update(charges_for_blocked=False)
    blocked(owner, TOLERATED + 1)
    assert order(owner).status == Status.QUEUED


def test_a_repeat_of_an_order_that_was_taken_is_no_new_one(owner):
    video = order(owner, client_key="k")
    blocked(owner, TOLERATED + 1)
    assert order(owner, client_key="k") == video


def test_staff_see_who_waits_and_what_it_cost(owner, as_staff):
    Offer.objects.update(cost_a_second=Decimal("0.07"))
    blocked(owner, TOLERATED + 1)
    page = as_staff.get("/admin/money/").content.decode()
    assert "Users slowed down" in page
    assert f"/admin/accounts/user/{owner.pk}/change/" in page
    (found,) = purchases.check()
    assert (found.blocked, found.blocked_cost, found.cost) == (4, Decimal("1.12"), Decimal("1.12"))
