"""A provider that does not let us in: staff read it with the steps that mend it, until the channel takes an order."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from aivideo.management.commands import doctor
from tests.support.fixtures import entries, new_user, order, pump_until_done, signed_in
from videos.catalogue import refusals
from videos.generation import lifecycle
from videos.models import REFUSED_BY, Channel, Video, VideoEvent

pytestmark = pytest.mark.django_db

UNVERIFIED = "HTTP 403: Your organization must be verified to use the model `sora-2`."


def refused(user, why=UNVERIFIED):
    video = order(user)
    Video.objects.filter(pk=video.pk).update(status="submitting")
    video.refresh_from_db()
    lifecycle.reject(video, "provider_refused", why)
    return video


def accepted(user):
    video = order(user)
    Video.objects.filter(pk=video.pk).update(
        status="in_progress", ref=str(video.pk), accepted_at=timezone.now()
    )


@pytest.mark.django_db(transaction=True)
def test_an_unverified_organization_is_told_to_staff_with_the_steps_until_it_is_let_in(
    simulator, owner, as_staff
):
    for _ in range(2):
        refusal = order(owner, "A kite [sim:unverified]")
    pump_until_done(20)
    refusal.refresh_from_db()
    assert (refusal.status, refusal.error_code) == ("failed", "provider_refused")
    assert entries(refusal) == [("charge", -10), ("refund", 10)]
    page = as_staff.get("/admin/").text
    for words in (
        "The provider of simulator has rejected 2 requests",
        "Your organization must be verified to use the model",
        'href="https://platform.openai.com/settings/organization/general"',
        "Wait 15 to 30 minutes",
        "press Resume on its page",
        "doctor --providers",
    ):
        assert words in page
    assert "must be verified" in doctor.refused()
    assert "15 to 30 minutes" in doctor.refused()
    assert "must be verified" not in signed_in(owner).get(f"/videos/{refusal.pk}/").text
    order(owner, "A kite")
    pump_until_done(20)
    assert "staff-notice" not in as_staff.get("/admin/").text
    assert doctor.refused() is None


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("HTTP 401: Incorrect API key provided.", "The key in KITE_KEY is invalid"),
        ("HTTP 402: Insufficient credits", "Add funds"),
        ("HTTP 403: no", "The key in KITE_KEY lacks permission"),
        ("HTTP 404: no such model", "http://127.0.0.1:9/v1, and the provider's name for the model"),
        ("HTTP 405: no", "does not accept jobs"),
        ("who knows", "Check the key in KITE_KEY"),
    ],
)
def test_each_refusal_comes_with_what_to_check(owner, settings, words, step):
    settings.SIMULATOR_URL = "http://127.0.0.1:9/v1"
    Channel.objects.filter(slug="simulator").update(key_variable="KITE_KEY")
    refused(owner, words)
    (found,) = refusals.current_refusals()
    assert (found.channel.slug, found.count, found.words) == ("simulator", 1, words)
    assert step in found.steps[0]
    assert "doctor --providers" in found.steps[-1]


def test_only_what_was_refused_since_the_last_order_that_was_taken_counts(owner):
    refused(owner, "HTTP 401: long ago")
    accepted(owner)
    assert refusals.current_refusals() == []
    video = refused(owner)
    (found,) = refusals.current_refusals()
    assert (found.count, found.words) == (1, UNVERIFIED)
    VideoEvent.objects.filter(video=video).update(at=timezone.now() - timedelta(days=8))
    assert refusals.current_refusals() == []


def test_a_video_that_failed_for_another_reason_is_no_refusal(owner):
    lifecycle.fail(order(owner), "generation_failed", "HTTP 401: no")
    assert refusals.current_refusals() == []


def test_a_channel_that_is_switched_off_refuses_nobody(owner):
    refused(owner)
    Channel.objects.update(enabled=False)
    assert refusals.current_refusals() == []


@pytest.mark.parametrize(
    ("right", "sees"), [("view_video", True), ("view_channel", True), ("view_payment", False)]
)
def test_who_may_see_videos_or_channels_is_told(owner, right, sees):
    refused(owner, "HTTP 401: <b>no</b>")
    member = new_user(is_staff=True)
    member.user_permissions.add(Permission.objects.get(codename=right))
    page = signed_in(member).get("/admin/").text
    assert ("HTTP 401: &lt;b&gt;no&lt;/b&gt;" in page) == sees
    assert ("Open channel simulator" in page) == (right == "view_channel")


def test_it_costs_the_same_few_reads_however_many_events_there_are(owner):
    video = refused(owner)
    with CaptureQueriesContext(
        connection,
    ) as few:
        refusals.current_refusals()
    VideoEvent.objects.bulk_create(
        [VideoEvent(video=video, came_from="queued", went_to="submitting") for _ in range(500)]
    )
    with CaptureQueriesContext(connection) as many:
        assert len(refusals.current_refusals()) == 1
    assert len(few) == len(many) == 4
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            (reading,) = [one["sql"] for one in many if "pk" not in one["sql"] and REFUSED_BY in one["sql"]]
            cursor.execute(f"EXPLAIN QUERY PLAN {reading}")
            plan = [row[-1] for row in cursor.fetchall()]
            assert plan[0] == "SEARCH videos_videoevent USING INTEGER PRIMARY KEY (rowid>?)"
