"""Pictures that a request names by their address: within narrow limits, and after all that is quick."""

import threading
import time
from contextlib import contextmanager
from ipaddress import ip_network

import pytest
from django.db import connections

from accounts.models import ApiKey, User
from tests.support import fixtures
from tests.support.api_client import Program, error_of
from tests.support.fixtures import TEST_TIMEOUT, give, new_user, wait_until
from tests.support.sabotage import becomes, never, without
from tests.support.silent_server import SilentServer
from videos.api import pictures
from videos.generation import lifecycle
from videos.models import Channel, Video
from videos.moderation.costly_blocks import TOLERATED
from videos.providers.base import JobState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def silent(settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]
    with SilentServer() as server:
        yield server


def order(url, **fields):
    return {"prompt": "A kite", "input_reference": {"image_url": url}, **fields}


def poor():
    user = new_user()
    User.objects.filter(pk=user.pk).update(balance=0)
    return Program(User.objects.get(pk=user.pk))


@contextmanager
def asking(*programs, url):
    """Each asks for a video with this picture, in a thread of its own; the answers as they come."""
    answers = []

    def ask(program):
        try:
            answers.append(program.send("/v1/videos", order(url)))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=[program]) for program in programs]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join(TEST_TIMEOUT)


@without(
    "the credit check before a picture is fetched", "videos.api.spending.afford", never("key.user.balance")
)
def test_A65_without_credits_nothing_is_fetched(silent):
    program = poor()
    began = time.monotonic()
    for _ in range(48):
        assert error_of(program.send("/v1/videos", order(silent.url))) == (402, None, "insufficient_credits")
    assert time.monotonic() - began < pictures.SECONDS * 3  # each alone would take SECONDS
    assert silent.taken == []


def too_many_blocked(key):
    """The model's provider charged for what it blocked, several times."""
    Channel.objects.update(charges_for_blocked=True)
    for _ in range(TOLERATED + 1):
        video = fixtures.order(key.user)
        lifecycle.mark_submitting(video)
        lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
        lifecycle.fail(video, "moderation_blocked")


LIMITS = {
    "daily_limit_reached": lambda key: ApiKey.objects.update(credits_a_day=9),
    "key_limit_reached": lambda key: ApiKey.objects.update(max_credits=9),
    "daily_limit_reached of the account": lambda key: User.objects.update(credits_a_day=9),
    "too_many_blocked": too_many_blocked,
}


@without(
    "the check of limits before a fetch",
    "videos.api.requests.check_now",
    becomes("spending.check_now(key, price, *models)", "spending.afford(key, price)"),
    attack="A65",
)
@pytest.mark.parametrize("limit", LIMITS)
def test_A65_beyond_a_limit_nothing_is_fetched(silent, limit):
    program = Program(new_user())
    LIMITS[limit](program.key)
    picture = order(silent.url)
    bodies = {
        "/v1/videos": picture,
        "/v1/batches/videos": {"items": [picture]},
        "/v1/campaigns": {**picture, "platforms": ["youtube"]},
    }
    for path, body in bodies.items():
        answer = program.send(path, body)
        assert (answer.status_code, error_of(answer)[2]) == (429, limit.partition(" ")[0]), path
    assert silent.taken == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "no-such-model"}, "model"),
        ({"seconds": "61"}, "seconds"),
        ({"size": "1x1"}, "size"),
        ({"prompt": " "}, "prompt"),
        ({"webhook_url": "http://127.0.0.2/"}, "webhook_url"),
        ({"aspect_ratio": "5:1"}, "aspect_ratio"),
    ],
)
def test_what_cannot_be_made_is_told_before_anything_is_fetched(silent, fields, param):
    answer = Program(new_user()).send("/v1/videos", order(silent.url, **fields))
    assert error_of(answer)[:2] == (400, param)
    assert silent.taken == []


def test_a_batch_that_costs_too_much_fetches_nothing(silent):
    items = [order(f"{silent.url}?{number}") for number in range(8)] + [{"prompt": "A"}] * 3
    answer = Program(new_user()).send("/v1/batches/videos", {"items": items})
    assert error_of(answer) == (402, None, "insufficient_credits")
    assert silent.taken == []


@without("the limit of fetches at a time", "videos.api.pictures._fetches", becomes("at_once=2", "at_once=3"))
@without("the limit of one fetch per user", "videos.api.pictures._turn_of", never("user.pk in _fetching"))
def test_A65_one_person_fetches_one_picture_at_a_time_and_all_people_two(silent):
    people = [Program(new_user()) for _ in range(3)]
    with asking(people[0], url=silent.url) as answers:
        wait_until(lambda: len(silent.taken) == 1)
        assert error_of(people[0].send("/v1/videos", order(silent.url))) == (429, None, "too_many_fetches")
        with asking(people[1], url=silent.url):
            wait_until(lambda: len(silent.taken) == 2)
            refused = people[2].send("/v1/videos", order(silent.url))
            assert error_of(refused) == (429, None, "too_many_fetches")
            assert int(refused["Retry-After"]) >= 1
            # What needs no fetch goes on.
            assert people[2].send("/v1/videos", {"prompt": "A kite"}).status_code == 200
            silent.hang_up()
    assert [error_of(answer)[:2] for answer in answers] == [(400, "input_reference")]
    assert Video.objects.count() == 1
    # Both have given their turns back.
    assert error_of(people[2].send("/v1/videos", order(silent.url)))[:2] == (400, "input_reference")


def test_A65_all_pictures_of_a_request_share_one_deadline(silent, monkeypatch):
    monkeypatch.setattr(pictures, "SECONDS", 1)
    program = Program(new_user())
    give(program.key.user, 1000)
    items = [order(f"{silent.url}?{number}") for number in range(8)]
    answer = program.send("/v1/batches/videos", {"items": items})
    assert error_of(answer)[:2] == (400, "items.0.input_reference")
    both = order(silent.url, last_frame={"image_url": f"{silent.url}?last"})
    taken = len(silent.taken)
    assert error_of(program.send("/v1/videos", both))[:2] == (400, "input_reference")
    assert len(silent.taken) <= taken + 1
