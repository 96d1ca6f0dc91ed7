"""What was bought at a provider beside what was sold here: every job has its video, and what was given away is told."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from aivideo import tasks
from aivideo.models import PurchaseCheck
from tests.support.fixtures import new_user, order, pump_until_done
from tests.support.sabotage import becomes, without
from tests.support.silent_server import SilentServer
from tests.support.video_server import job, server
from videos.generation import lifecycle, purchases
from videos.models import Channel, Offer, Status, Video
from videos.providers.base import JobState

pytestmark = pytest.mark.django_db(transaction=True)

AN_HOUR_AGO = -3600  # on a job's clock


def bought(ref, **fields):
    """A running video whose job was accepted an hour ago."""
    video = order(new_user())
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=ref, status="in_progress"))
    Video.objects.filter(pk=video.pk).update(
        accepted_at=timezone.now() + timedelta(seconds=AN_HOUR_AGO), **fields
    )
    return Video.objects.get(pk=video.pk)


def listing(*refs, clock=AN_HOUR_AGO, **fields):
    """A provider whose list shows these jobs."""
    data = [job(clock, id=ref, **fields) for ref in refs]
    return server(lambda method, path: (200, {"object": "list", "data": data, "has_more": False}))


def checked():
    (found,) = purchases.check()
    return found


def test_what_was_sold_and_bought_is_paid(simulator):
    pump = [order(new_user()), order(new_user(), "A kite [sim:fail]")]
    pump_until_done(30)
    found = checked()
    assert (found.paid, found.failed, found.given_away, found.is_wrong) == (1, 1, {}, False)
    assert len(pump) == 2


@without(
    "the look for jobs that no row names",
    "videos.generation.purchases._compare_with_list",
    becomes("ref not in known", "False"),
)
def test_a_job_that_no_video_names_is_told(settings):
    bought("job-1")
    with listing("job-1", "job-2") as settings.SIMULATOR_URL:
        found = checked()
        assert (found.paid, found.unknown_refs, found.missing) == (1, ["job-2"], 0)
        out = StringIO()
        with pytest.raises(SystemExit) as end:
            call_command("check_purchases", stdout=out)
    assert end.value.code == 1
    assert "1 bought and unknown: job-2" in out.getvalue()


def test_a_job_of_this_moment_may_still_be_on_its_way_into_its_row(settings):
    with listing("job-1", clock=-60) as settings.SIMULATOR_URL:
        assert checked().unknown == 0


def test_jobs_from_before_the_window_are_left_alone(settings):
    with listing("job-1", clock=-3 * 24 * 3600) as settings.SIMULATOR_URL:
        assert checked().unknown == 0


def test_a_running_video_whose_job_the_list_does_not_show_is_told(settings):
    video = bought("job-1")
    with listing("job-2") as settings.SIMULATOR_URL:
        found = checked()
    assert (found.missing_ids, found.is_wrong) == ([video.public_id], True)


def test_a_list_that_cannot_be_right_proves_no_absence(settings):
    bought("job-1")
    answers = {"object": "list", "data": [job(AN_HOUR_AGO, id="else", prompt="Else")], "has_more": True}
    with server(lambda method, path: (200, answers)) as settings.SIMULATOR_URL:
        found = checked()
    assert (found.missing, found.doubt) == (0, "the list repeats itself instead of going on")


def test_what_was_given_away_is_counted_by_its_reason_with_what_it_cost(settings):
    Offer.objects.update(cost_a_second=Decimal("0.10"))
    late, free, blocked = bought("job-1"), bought("job-2"), bought("job-3")
    lifecycle.fail(late, "timed_out")
    lifecycle.fail(free, "timed_out")
    lifecycle.finish(Video.objects.get(pk=free.pk))
    lifecycle.fail(blocked, "moderation_blocked")
    with listing("job-1", "job-2", "job-3") as settings.SIMULATOR_URL:
        found = checked()
    assert (found.given_away, found.failed, found.paid) == ({"timed_out": 1, "free": 1}, 1, 0)
    assert (found.given_away_cost, found.cost) == (Decimal("0.80"), Decimal("0.80"))
    assert not found.is_wrong


def test_a_list_that_takes_too_long_keeps_no_other_channel_from_being_checked(settings, monkeypatch):
    monkeypatch.setattr(purchases, "LONGEST_LIST", 0.2)
    bought("job-1")
    with SilentServer() as silent:
        settings.SIMULATOR_URL = silent.url.replace("/picture.jpg", "/v1")
        found = checked()
    assert (found.paid, found.is_wrong, found.doubt) == (1, False, "not read within 0.2 seconds")


def test_without_a_list_the_rows_are_counted_and_the_reason_is_told(settings):
    bought("job-1")
    Channel.objects.update(profile="litellm")
    out = StringIO()
    call_command("check_purchases", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["paid"], found["unknown"], found["doubt"]) == (1, 0, "this server has no list of jobs")


def test_every_night_staff_are_told(settings, as_staff):
    bought("job-1")
    with listing("job-1", "job-2") as settings.SIMULATOR_URL:
        tasks.check_purchases()
    check = PurchaseCheck.objects.get()
    assert (check.wrong, check.given_away) == (1, 0)
    assert "1 discrepancy" in as_staff.get("/admin/money/").content.decode()
    assert as_staff.get("/admin/aivideo/purchasecheck/").status_code == 200
    assert Video.objects.get().status == Status.IN_PROGRESS
