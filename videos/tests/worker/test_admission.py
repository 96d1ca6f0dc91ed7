"""Whose turn it is: limits of a channel, of a person, the breaker, and a queue that keeps its order."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tests.support.fixtures import entries, new_user, order, pump_until_done
from videos.catalogue import breaker
from videos.generation import lifecycle
from videos.models import Channel, Status, Video
from videos.providers.base import Busy, JobState
from videos.worker import admission, leases

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _places_are_counted_anew(monkeypatch):
    monkeypatch.setattr(admission, "PLACES_FRESH", 0.0)


def channel(**fields):
    Channel.objects.filter(slug="simulator").update(**fields)
    return Channel.objects.get(slug="simulator")


def admit(room=100):
    with transaction.atomic():
        return [video.prompt for video in admission.admit(room)]


def orders(user, *prompts):
    return [order(user, prompt) for prompt in prompts]


def places(*videos):
    return [admission.place(Video.objects.get(pk=video.pk)) for video in videos]


def test_an_admitted_video_is_submitting_and_its_intent_is_written():
    video = order(new_user())
    admit()
    video = Video.objects.get(pk=video.pk)
    assert video.status == Status.SUBMITTING
    assert video.posted_at is not None
    assert [(e.came_from, e.went_to) for e in video.events.all()] == [
        ("", "queued"),
        ("queued", "submitting"),
    ]
    assert admit() == []


def test_a_choice_that_takes_long_is_not_repeated_at_once(monkeypatch):
    """Among a hundred thousand, it costs the database more than what it chooses."""
    pace, asked = admission.Pace(), []

    def slowly(chosen_for, _room):
        asked.append(chosen_for.slug)
        time.sleep(0.05)
        return []

    monkeypatch.setattr(admission, "_choose", slowly)
    order(new_user())
    for _ in range(2):
        with transaction.atomic():
            admission.admit(10, pace=pace)
    assert asked == ["simulator"]
    pace.not_before[channel().pk] -= admission.Pace.LONGEST
    with transaction.atomic():
        admission.admit(10, pace=pace)
    assert asked == ["simulator"] * 2


def test_everybodys_first_video_goes_before_anybodys_second():
    greedy, modest = new_user(), new_user()
    orders(greedy, "g1", "g2", "g3")
    orders(modest, "m1")
    assert admit(2) == ["g1", "m1"]
    orders(modest, "m2")
    assert sorted(admit(2)) == ["g2", "m2"]


def test_A55_a_thousand_videos_of_one_person_keep_nobody_waiting(settings):
    settings.USER_RUNNING_VIDEOS = 2
    channel(max_running=5)
    greedy = new_user()
    Video.objects.bulk_create(copies_of(order(greedy, "greedy"), 1000))
    assert admit() == ["greedy"] * 2
    order(new_user(), "another")
    assert admit() == ["another"]


def copies_of(video, count):
    for _ in range(count):
        yield Video(
            user=video.user,
            model=video.model,
            channel=video.channel,
            prompt=video.prompt,
            size=video.size,
            seconds=video.seconds,
            credits=0,
            next_attempt_at=timezone.now(),
        )


def test_no_more_jobs_run_at_the_provider_than_the_channel_allows():
    channel(max_running=3)
    user = new_user()
    orders(user, "1", "2", "3", "4", "5")
    assert admit() == ["1", "2", "3"]
    assert admit() == []
    running = Video.objects.get(prompt="2")
    lifecycle.accept(running, JobState("job-2", "in_progress"))
    assert admit() == []
    lifecycle.fail(running, "generation_failed")
    assert admit() == ["4"]


def test_pumps_that_admit_at_the_same_time_do_not_exceed_the_limit_together():
    channel(max_running=4)
    user = new_user()
    orders(user, *"abcdefghij")
    admitted = []

    def pump_thread():
        for _ in range(5):
            admitted.extend(admit(2))
        connection.close()

    threads = [threading.Thread(target=pump_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    admitted.extend(admit())
    assert sorted(admitted) == ["a", "b", "c", "d"]


def test_no_more_requests_leave_in_a_minute_than_the_channel_allows():
    channel(max_submits_per_minute=2)
    orders(new_user(), "1", "2", "3")
    assert admit() == ["1", "2"]
    assert admit() == []
    a_minute_ago = timezone.now().timestamp() - 61
    channel(recent_submits=[a_minute_ago, a_minute_ago])
    assert admit() == ["3"]


def test_the_daily_stop_counts_what_was_accepted_today():
    channel(max_credits_per_day=20)
    orders(new_user(), "1", "2", "3")
    assert admit() == ["1", "2"]
    for number in "12":
        video = Video.objects.get(prompt=number)
        lifecycle.accept(video, JobState(number, "in_progress"))
        lifecycle.fail(video, "generation_failed")  # the provider may still want its money
    assert admit() == []
    Video.objects.filter(prompt="1").update(accepted_at=timezone.now() - timedelta(days=1))
    assert admit() == ["3"]


def test_three_lost_submits_in_a_row_open_the_breaker_and_one_probe_closes_it():
    orders(new_user(), "1", "2")
    for _ in range(2):
        breaker.record_failure(channel(), timezone.now())
    assert channel().resumes_at is None
    breaker.record_failure(channel(), timezone.now())
    assert admit() == []
    channel(resumes_at=timezone.now())
    assert admit() == ["1"]
    assert admit() == []
    lifecycle.accept(Video.objects.get(prompt="1"), JobState("1", "in_progress"))
    breaker.record_success(channel())
    assert admit() == ["2"]


def test_a_lost_probe_keeps_the_breaker_open_for_longer():
    breaks = []
    for failures in (3, 4, 5, 20):
        channel(failures=failures - 1, resumes_at=None)
        breaker.record_failure(channel(), timezone.now())
        breaks.append(round((channel().resumes_at - timezone.now()).total_seconds(), -1))
    assert breaks == sorted(breaks)
    assert breaks[-1] == breaker.LONGEST_BREAK


@pytest.mark.parametrize("lost", [8, 20])
def test_requests_that_are_lost_at_one_moment_are_one_verdict(lost):
    sent_at = timezone.now()
    for _ in range(lost):
        breaker.record_failure(channel(), sent_at)
    assert channel().resumes_at <= timezone.now() + timedelta(seconds=breaker.SHORTEST_BREAK)
    assert channel().failures == breaker.BREAKS_AFTER


def test_a_request_that_was_lost_before_the_pause_does_not_prolong_it():
    """It was under way for longer than the pause, and so is told only after it; one that was sent since is a probe."""
    sent_at = timezone.now() - timedelta(seconds=30)
    resumed_at = timezone.now() - timedelta(seconds=10)
    channel(failures=3, resumes_at=resumed_at)
    breaker.record_failure(channel(), sent_at)
    assert (channel().failures, channel().resumes_at) == (3, resumed_at)
    breaker.record_failure(channel(), timezone.now())
    assert channel().failures == 4
    assert channel().resumes_at > timezone.now()


def test_requests_from_before_the_pause_do_not_keep_the_probe_waiting():
    user = new_user()
    orders(user, "1", "2", "3")
    assert admit(2) == ["1", "2"]
    channel(failures=3, resumes_at=timezone.now())
    assert admit() == ["3"]


def test_a_paused_channel_keeps_its_queue():
    video = order(new_user(), "1")
    channel(enabled=False)
    assert admit() == []
    assert places(video) == [1]
    channel(enabled=True)
    assert admit() == ["1"]


def test_a_rest_that_a_jumped_clock_left_behind_is_none():
    order(new_user(), "1")
    channel(resumes_at=timezone.now() + timedelta(hours=1))
    assert admit() == ["1"]


def test_waiting_videos_keep_their_place():
    channel(max_running=0)
    first, second = new_user(), new_user()
    a, b = orders(first, "a", "b")
    (c,) = orders(second, "c")
    assert places(a, b, c) == [1, 3, 2]
    lifecycle.cancel(Video.objects.get(pk=a.pk))
    assert places(a, b, c) == [None, 1, 2]


def test_who_was_turned_away_does_not_stand_in_the_way_of_others():
    channel(max_running=1)
    user = new_user()
    turned_away, _patient = orders(user, "turned away", "patient")
    assert admit() == ["turned away"]
    lifecycle.postpone(Video.objects.get(pk=turned_away.pk), Status.QUEUED, Busy("429", after=60))
    channel(resumes_at=None)
    assert admit() == ["patient"]


def test_a_busy_provider_gets_the_rest_it_asks_for(simulator):
    busy = order(new_user(), "A kite [sim:busy]")
    calm = order(new_user(), "Another kite")
    pump_until_done(60)
    assert Video.objects.filter(pk__in=[busy.pk, calm.pk], status=Status.COMPLETED).count() == 2
    assert channel().resumes_at is None or channel().resumes_at < timezone.now() + timedelta(seconds=130)


def test_a_queue_of_a_full_channel_is_worked_off(simulator):
    channel(max_running=2)
    for number in range(6):
        order(new_user(), f"Kite {number}")
    pump_until_done(60)
    assert Video.objects.filter(status=Status.COMPLETED).count() == 6


# --- Cancel ---------------------------------------------------------------------------------------


def test_canceling_a_queued_video_twice_returns_its_credits_once():
    user = new_user()
    video = order(user)
    twin = Video.objects.get(pk=video.pk)
    assert lifecycle.cancel(video) is True
    assert lifecycle.cancel(twin) is False
    assert entries(video) == [("charge", -10), ("refund", 10)]
    assert admit() == []


def test_A35_a_cancel_that_races_the_submit_is_either_or_never_both():
    user = new_user()
    seen = set()
    for _ in range(20):
        video = order(user, "raced")
        results = []

        def cancel(pk=video.pk, results=results):
            results.append(lifecycle.cancel(Video.objects.get(pk=pk)))
            connection.close()

        def submit(results=results):
            results.append(bool(admit()))
            connection.close()

        threads = [threading.Thread(target=cancel), threading.Thread(target=submit)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = Video.objects.get(pk=video.pk).status
        assert sorted(results) == [False, True]
        seen.add(status)
        if status == Status.SUBMITTING:
            lifecycle.fail(Video.objects.get(pk=video.pk), "generation_failed")
        user.refresh_from_db()
        assert user.balance == 100
    assert seen <= {Status.CANCELED, Status.SUBMITTING}


def test_what_is_at_the_provider_cannot_be_canceled():
    video = order(new_user())
    admit()
    assert lifecycle.cancel(Video.objects.get(pk=video.pk)) is False
    assert entries(video) == [("charge", -10)]


def test_a_claim_leaves_the_queue_alone():
    order(new_user())
    assert leases.claim(10) == []
