"""What surely cannot be made in time is refused at the door, and a wait in the queue costs the operator nothing."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import entries, new_user, order, pump_until_done, signed_in
from tests.support.sabotage import becomes, without
from tests.support.studio_page import form
from videos import timing
from videos.catalogue import routing, waiting
from videos.models import Channel, Status, Video, VideoModel
from videos.status import progress
from videos.worker import admission

pytestmark = pytest.mark.django_db(transaction=True)

RENDER = 600  # seconds


@pytest.fixture(autouse=True)
def _always_counted(monkeypatch, settings):
    monkeypatch.setattr(waiting, "FRESH", 0.0)
    monkeypatch.setattr(waiting, "_lines", {})
    monkeypatch.setattr(admission, "_places", {})
    monkeypatch.setattr(admission, "PLACES_FRESH", 0.0)
    monkeypatch.setattr(progress, "_channel_states", {})
    settings.QUEUE_PATIENCE_SECONDS = 3600


def channel(**fields):
    Channel.objects.filter(slug="simulator").update(**fields)
    return Channel.objects.get(slug="simulator")


def renders(*seconds, **fields):
    """Completed videos that took so long at their provider."""
    user = new_user()
    for took in seconds:
        video = completed(user, **fields)
        now = timezone.now()
        began = now - timedelta(seconds=took)
        Video.objects.filter(pk=video.pk).update(created_at=began, accepted_at=began, ended_at=now)


def queue(count, user=None, **fields):
    """So many orders that wait, of one user or else of a different one each, in one statement."""
    first = order(user or new_user(), **fields)
    copies = [Video.objects.get(pk=first.pk) for _ in range(count - 1)]
    for copy in copies:
        copy.pk = Video._meta.pk.get_default()
        copy.user = user or new_user()
    Video.objects.bulk_create(copies)


def test_a_channel_without_limits_keeps_nobody_waiting():
    renders(RENDER, RENDER, RENDER)
    queue(50)
    assert waiting.wait_at(channel(), None) == waiting.Wait()


def test_the_wait_follows_from_the_queue_the_limit_and_recent_renders():
    renders(500, 600, 700)
    channel(max_running=2)
    queue(9)
    wait = waiting.wait_at(channel(), None)
    # Eight have to end before it is the tenth's turn, two at a time.
    assert wait.expected == pytest.approx(4 * 600, rel=0.01)
    assert not wait.is_too_long


def test_the_wait_follows_from_the_requests_a_minute():
    channel(max_submits_per_minute=2)
    queue(10)
    assert waiting.wait_at(channel(), None) == waiting.Wait(expected=300)


def test_of_a_channel_that_has_made_nothing_yet_nothing_is_known():
    renders(RENDER, RENDER)
    channel(max_running=1)
    queue(50)
    assert waiting.wait_at(channel(), None) == waiting.Wait()


@without(
    "turns in the wait",
    "videos.catalogue.waiting.Line.ahead_of",
    becomes("min(count, max(0, turn - self.running[other]))", "count"),
    attack="A55",
)
def test_A55_a_thousand_videos_of_one_person_do_not_close_the_door_to_others(owner):
    """Everybody's first video goes before anybody's second one."""
    renders(RENDER, RENDER, RENDER)
    greedy = new_user()
    queue(1000, greedy)
    channel(max_running=5)
    assert waiting.wait_at(channel(), greedy).is_too_long
    assert waiting.wait_at(channel(), owner) == waiting.Wait(0, pytest.approx(RENDER, rel=0.01))
    order(owner)
    # The second one waits for the greedy one's first two.
    assert waiting.line_at(channel().pk).ahead_of(owner) == 3
    with pytest.raises(routing.Overloaded):
        order(greedy)


def test_a_video_in_a_long_line_is_expected_as_its_quote_says(owner):
    renders(RENDER, RENDER, RENDER)
    channel(max_running=2)
    queue(5)
    program = Program(owner)
    quoted = program.send("/v1/videos/quote", {"prompt": "A kite", "seconds": 4}).json()["expected_seconds"]
    made = program.send("/v1/videos", {"prompt": "A kite", "seconds": 4}).json()
    assert program.get(f"/v1/videos/{made['id']}").json()["expected_seconds"] == pytest.approx(quoted, abs=5)


@pytest.mark.parametrize("seed", range(5))
def test_the_turns_that_are_promised_are_those_that_are_given(seed):
    """One rule in two languages: Python's for an order that is not placed yet, and SQL's for those that wait."""
    chance = random.Random(seed)
    channel(max_running=2)
    people = [new_user() for _ in range(4)]
    for person in people:
        for status in [Status.QUEUED] * chance.randrange(5) + [Status.IN_PROGRESS] * chance.randrange(4):
            video = order(person)
            Video.objects.filter(pk=video.pk).update(status=status)
    for person in people:
        promised = waiting.line_at(channel().pk).ahead_of(person)
        assert admission.place(order(person)) == promised + 1


@pytest.fixture
def overloaded():
    renders(RENDER, RENDER, RENDER)
    channel(max_running=1)
    queue(9)


@without(
    "the refusal at the door",
    "videos.catalogue.routing.best",
    becomes("not wait.is_too_long", "True"),
    attack="A78",
)
def test_A78_an_order_whose_turn_would_come_too_late_is_refused_and_charges_nothing(owner, overloaded):
    program, page = Program(owner), signed_in(owner)
    answer = program.send("/v1/videos", {"prompt": "A kite"})
    assert error_of(answer) == (503, None, "overloaded")
    assert 10 <= int(answer["Retry-After"]) <= 3600
    answer = page.post("/", form())
    assert (answer.status_code, "Nothing was charged" in answer.content.decode()) == (503, True)
    assert int(answer["Retry-After"]) >= 10
    assert not owner.videos.exists()
    quote = program.send("/v1/videos/quote", {"prompt": "A kite"}).json()
    assert (quote["accepted"], quote["error"]["code"]) == (False, "overloaded")


def test_an_order_that_only_the_luckiest_course_would_serve_in_time_is_refused(owner):
    """Or it waits for an hour, and is then given up: one that is fast does not make up for all the others."""
    renders(RENDER / 10, RENDER, RENDER)
    channel(max_running=1)
    queue(9)
    with pytest.raises(routing.Overloaded, match="would start in about 90 minutes"):
        order(owner)


def test_who_orders_is_told_the_wait_before(owner):
    renders(RENDER, RENDER, RENDER)
    page = signed_in(owner)
    quote = {"prompt": "A kite", "seconds": 4}
    assert "would start in about" not in page.get("/").content.decode()
    usually = Program(owner).send("/v1/videos/quote", quote).json()["expected_seconds"]
    channel(max_running=2)
    queue(5)
    assert "yours would start in about 20 minutes" in page.get("/").content.decode()
    assert Program(owner).send("/v1/videos/quote", quote).json()["expected_seconds"] == usually + 2 * RENDER


def test_a_repeat_of_an_order_that_was_taken_is_no_new_one(owner, overloaded):
    Channel.objects.update(max_running=None)
    video = order(owner, client_key="k")
    Channel.objects.update(max_running=1)
    assert order(owner, client_key="k") == video
    with pytest.raises(routing.Overloaded):
        order(owner, client_key="another")


def test_an_order_goes_to_a_channel_where_it_has_its_turn_in_time(owner, settings):
    settings.USE_MOCK_SORA = False
    model = VideoModel.objects.create(slug="kite", name="Kite", sizes=["1280x720"], lengths=[4])
    for priority, slug in enumerate(["first", "second"]):
        at = Channel.objects.create(slug=slug, base_url="http://127.0.0.1:9/v1")
        model.offers.create(channel=at, provider_model="kite", priority=priority)
    renders(RENDER, RENDER, RENDER, model=model)
    queue(9, model=model)
    assert order(owner, model=model).channel.slug == "first"
    Channel.objects.filter(slug="first").update(max_running=1)
    assert order(owner, model=model).channel.slug == "second"


@without(
    "the deadline that counts from the acceptance",
    "videos.models.video.Video.deadline_in",
    becomes("self.accepted_at or self.posted_at or self.created_at", "self.created_at"),
    attack="A78",
)
def test_A78_a_wait_in_the_queue_does_not_shorten_the_time_for_the_render(simulator, settings, monkeypatch):
    """It waited for longer than a render may take, is bought all the same, and so is delivered and paid."""
    monkeypatch.setattr(timing, "FIRST_POLL", 0.0)  # while it renders
    settings.JOB_DEADLINE_SECONDS = 60
    video = order(new_user())
    long_ago = timezone.now() - timedelta(minutes=10)
    Video.objects.update(created_at=long_ago, queued_at=long_ago)
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.status, video.is_free, entries(video)) == (Status.COMPLETED, False, [("charge", -10)])
