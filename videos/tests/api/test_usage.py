"""Usage: what an account ordered in a period, by day, key or model, and what that cost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import CreditEntry
from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import order
from videos.api import usage
from videos.generation import lifecycle
from videos.models import Status, Video, VideoModel

pytestmark = pytest.mark.django_db

NAMES = (
    "videos",
    "completed",
    "failed",
    "canceled",
    "credits_charged",
    "credits_refunded",
    "credits_net",
)


def ordered_at(video, *at):
    Video.objects.filter(pk=video.pk).update(created_at=datetime(*at, tzinfo=UTC))
    return video


def usage_of(program, query=""):
    answer = program.get(f"/v1/usage?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def sums(bucket):
    return tuple(bucket[name] for name in NAMES)


def test_by_default_it_is_the_last_thirty_days_with_today(program, owner):
    lifecycle.cancel(order(owner))
    completed(owner)
    lifecycle.fail(order(owner), "generation_failed")
    order(owner)
    said = usage_of(program)
    days = [bucket["day"] for bucket in said["data"]]
    today = timezone.now().astimezone(UTC).date()
    assert (said["object"], said["group_by"]) == ("usage", "day")
    assert days == [(today - timedelta(days=29 - number)).isoformat() for number in range(30)]
    assert said["end"] - said["start"] == 30 * 24 * 3600
    assert sums(said["data"][-1]) == sums(said["total"]) == (4, 1, 1, 1, 40, 20, 20)
    assert {sums(bucket) for bucket in said["data"][:-1]} == {(0,) * len(NAMES)}


def test_the_sums_are_those_of_the_ledger(program, owner):
    completed(owner)
    late, given_back = order(owner), completed(owner)
    lifecycle.fail(late, "timed_out")
    lifecycle.refund_completed(Video.objects.get(pk=given_back.pk))
    Video.objects.filter(pk=late.pk).update(is_free=True, status=Status.SAVING)  # finished after its refund
    deleted = order(owner)
    lifecycle.cancel(deleted)
    lifecycle.delete(Video.objects.get(pk=deleted.pk))
    total = usage_of(program)["total"]
    moved = {
        kind: sum(CreditEntry.objects.filter(user=owner, kind=kind).values_list("amount", flat=True))
        for kind in ("charge", "refund")
    }
    assert (total["credits_charged"], total["credits_refunded"]) == (-moved["charge"], moved["refund"])
    assert total["credits_net"] == 10
    assert total["videos"] == 4


def test_a_period_begins_with_its_start_and_ends_before_its_end(program, owner):
    for at in ((2026, 3, 9, 23, 59, 59), (2026, 3, 10), (2026, 3, 11, 23, 59, 59), (2026, 3, 12)):
        ordered_at(order(owner), *at)
    said = usage_of(program, "start=2026-03-10&end=2026-03-12")
    assert [(bucket["day"], bucket["videos"]) for bucket in said["data"]] == [
        ("2026-03-10", 1),
        ("2026-03-11", 1),
    ]
    assert said["total"]["videos"] == 2
    in_seconds = usage_of(program, f"start={said['start']}&end={said['end']}")
    assert in_seconds == said
    assert said["start"] == datetime(2026, 3, 10, tzinfo=UTC).timestamp()


def test_a_part_of_a_day_is_a_bucket_of_its_own(program, owner):
    ordered_at(order(owner), 2026, 3, 10, 11)
    ordered_at(order(owner), 2026, 3, 10, 13)
    noon = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())
    said = usage_of(program, f"start={noon}&end={noon + 3600 * 24}")
    assert [(bucket["day"], bucket["videos"]) for bucket in said["data"]] == [
        ("2026-03-10", 1),
        ("2026-03-11", 0),
    ]


def test_an_end_alone_is_the_thirty_days_before_it(program):
    said = usage_of(program, "end=2026-03-01")
    assert (said["data"][0]["day"], said["data"][-1]["day"]) == ("2026-01-30", "2026-02-28")


def test_by_key_it_says_which_key_ordered(program, owner):
    other = Program(owner)
    for sender in (program, other, other):
        sender.send("/v1/videos", {"prompt": "A"})
    order(owner)
    data = usage_of(program, "group_by=key")["data"]
    assert [(bucket["key"], bucket["key_name"], bucket["videos"]) for bucket in data] == [
        (other.key.prefix, "tests", 2),
        (program.key.prefix, "tests", 1),
        (None, None, 1),
    ]
    assert other.text not in str(data)


def test_by_model_it_says_which_model_was_ordered(program, owner):
    order(owner)
    order(owner, model=VideoModel.objects.get(slug="sora-2-pro"))
    order(owner)
    data = usage_of(program, "group_by=model")["data"]
    assert [(bucket["model"], bucket["videos"]) for bucket in data] == [("sora-2", 2), ("sora-2-pro", 1)]
    assert set(data[0]) == {"model", *NAMES}


@pytest.mark.parametrize("group_by", ["day", "key", "model"])
def test_it_is_of_the_own_account_only(program, stranger, group_by):
    order(stranger)
    assert usage_of(program, f"group_by={group_by}")["total"]["videos"] == 0


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("group_by=prompt", "group_by", "invalid_value"),
        ("start=yesterday", "start", "invalid_value"),
        ("start=2026-02-30", "start", "invalid_value"),
        ("start=20260101T00", "start", "invalid_value"),
        ("end=-1", "end", "invalid_value"),
        ("end=99999999999", "end", "invalid_value"),
        ("end=0001-01-01", "end", "invalid_value"),
        ("start=2026-03-02&end=2026-03-01", "start", "invalid_value"),
        ("start=2026-03-01&end=2026-03-01", "start", "invalid_value"),
        ("start=2025-01-01&end=2026-01-03", "start", "invalid_value"),
        ("start=1970-01-01", "start", "invalid_value"),
        ("user=1", "user", "unknown_parameter"),
    ],
)
def test_a_wrong_period_or_group_is_400(program, query, param, code):
    assert error_of(program.get(f"/v1/usage?{query}")) == (400, param, code)


def test_a_leap_year_is_short_enough(program):
    assert len(usage_of(program, "start=2024-01-01&end=2025-01-01")["data"]) == 366


def test_it_is_one_query_by_the_index_of_the_users_videos(owner):
    period = usage.Period(timezone.now() - timedelta(days=30), timezone.now())
    for sums_by in usage.GROUPS.values():
        with CaptureQueriesContext(connection) as asked:
            sums_by(owner, period)
        (reading,) = asked
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {reading['sql']}")
                plan = " ".join(row[-1] for row in cursor.fetchall())
            assert "SEARCH videos_video USING INDEX videos_video_user_id" in plan, plan
