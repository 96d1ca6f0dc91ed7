"""People, a simulator, and a whole site of real processes."""

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import BaseServer
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client

MANAGE = [sys.executable, str(Path(__file__).parents[2] / "manage.py")]
numbers = itertools.count(1)

# `make quick` sets this; random runs that are long otherwise are then short.
QUICK = bool(os.environ.get("QUICK"))

# Seconds that a test waits for anything at the most. It is long, since it only ends a test that fails anyway.
TEST_TIMEOUT = 300
# How many times as long as on an idle machine anything may take on a slow and busy one.
SLOWEST = 10


def new_user(**fields: Any) -> Any:
    """A user as a first sign-in makes one: with SIGNUP_CREDITS."""
    from accounts import credits
    from accounts.models import User

    name = f"person-{next(numbers)}"
    user = User(**{"username": name, "email": f"{name}@example.com", **fields})
    user.set_unusable_password()
    user.save()
    credits.grant_signup(user)
    user.refresh_from_db()
    return user


def give(user: Any, amount: int, expires_at: Any = None) -> None:
    """Credits of staff, by the command line."""
    from accounts import staff_grants

    staff_grants.grant(user, amount, giver=None, reason="tests", form=uuid4(), expires_at=expires_at)


def spend(user: Any, credits: int) -> Any:
    """A video that costs as much."""
    from accounts import credits as ledger
    from videos.models import Video

    wanted = video_order()
    video = Video(
        user=user,
        model=wanted.model,
        channel=wanted.model.offers.first().channel,
        prompt=wanted.prompt,
        size=wanted.size,
        seconds=wanted.seconds,
        credits=credits,
    )
    with transaction.atomic():
        ledger.charge(user, credits, reference=video.reference)
        video.save()
    return video


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def owner(db: None) -> Any:
    return new_user()


@pytest.fixture
def stranger(db: None) -> Any:
    return new_user()


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still for what is shown of a video: between two looks nothing changes, however slow the machine is."""
    from videos.status import progress

    now = progress.timezone.now()
    monkeypatch.setattr(progress, "timezone", SimpleNamespace(now=lambda: now))


@pytest.fixture
def as_owner(owner: Any) -> Client:
    return signed_in(owner)


@pytest.fixture
def as_stranger(stranger: Any) -> Client:
    return signed_in(stranger)


@pytest.fixture
def as_staff(db: None) -> Client:
    return signed_in(new_user(is_staff=True, is_superuser=True))


@pytest.fixture
def program(owner: Any) -> Client:
    from tests.support.api_client import Program

    return Program(owner)


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any) -> None:
    """Django's test client needs no collected files."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


def start_simulator(
    data_dir: Path, port: int = 0, *options: str, **env: str
) -> tuple[subprocess.Popen[str], str]:
    """A real simulator process and its base URL."""
    process = subprocess.Popen(
        [*MANAGE, "simulator", "--port", str(port), "--data-dir", str(data_dir), *options],
        env={**os.environ, "SIMULATOR_DRAFT": "true", **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"http://\S+", line):
            return process, match.group()
    raise AssertionError("The simulator ended without listening.")


@pytest.fixture(scope="session")
def simulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator that renders within a second, for the whole session."""
    process, url = start_simulator(tmp_path_factory.mktemp("simulator"), SIMULATOR_SECONDS="1")
    yield url
    process.terminate()
    process.wait(TEST_TIMEOUT)


@pytest.fixture
def simulator(simulator_url: str, settings: Any) -> str:
    settings.SIMULATOR_URL = simulator_url
    return simulator_url


@pytest.fixture(autouse=True)
def _empty_cache(settings: Any) -> None:
    """Rate limits and failed sign-ins of earlier tests, or of another process on the same Redis, do not count."""
    prefix = f"{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}-{time.time_ns()}"
    caches = settings.CACHES
    settings.CACHES = {**caches, "default": {**caches["default"], "KEY_PREFIX": prefix}}


@pytest.fixture(autouse=True)
def _media_of_its_own(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between questions and tries, shorter: for tests that look at what comes in the end, not at when."""
    from videos import timing

    monkeypatch.setattr(timing, "FIRST_POLL", 0.3)
    monkeypatch.setattr(timing, "LONGEST_WAIT", 0.5)


def order(user: Any, prompt: str = "A red kite over the sea", **fields: Any) -> Any:
    """Order a video by the verb that page and API use."""
    from videos.generation import ordering

    return ordering.place(user, video_order(prompt, **fields))


def video_order(prompt: str = "A red kite over the sea", **fields: Any) -> Any:
    """What is ordered: four seconds of the first model, if not said otherwise."""
    from videos.catalogue import availability
    from videos.order import VideoOrder

    defaults = {"model": availability.models().first(), "size": "1280x720", "seconds": 4}
    return VideoOrder(prompt=prompt, **{**defaults, **fields})


def entries(video: Any) -> list[tuple[str, int]]:
    """What the ledger says of a video: [("charge", -10), ("refund", 10)]."""
    from accounts.models import CreditEntry

    found = CreditEntry.objects.filter(reference=video.reference).order_by("id")
    return list(found.values_list("kind", "amount"))


def queued_messages() -> int:
    """How many messages wait for both clusters, whichever broker holds them."""
    from django_q.brokers import get_broker

    from videos import queue

    return sum(get_broker(cluster).queue_size() for cluster in (queue.DISPATCH, queue.CHORES))


def wait_until(condition: Callable[[], object], pause: float = 0.05) -> None:
    """Wait until it is so, however long this machine needs for it; `pause` is the seconds between two looks."""
    end = time.monotonic() + TEST_TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"not so after {TEST_TIMEOUT} s"
        time.sleep(pause)


def serve(server: BaseServer) -> None:
    """Answer in a thread until `server.shutdown()`, which by default takes half a second to be noticed."""
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()


def scaled_timeout(seconds: float) -> float:
    """What this machine, as busy as it is at this moment, may need for what takes an idle one so many seconds."""
    began = time.process_time()
    sum(number * number for number in range(300_000))
    slowness = (time.process_time() - began) / 0.03  # seconds of an ordinary processor in 2026
    queue = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(1.0, slowness) * max(1.0, queue)


def pump_until_done(seconds: float) -> None:
    """Be the dispatcher, slice after slice, until nothing is unfinished. An idle machine needs `seconds` at the most."""
    from videos.models import Video
    from videos.worker import dispatcher

    end = time.monotonic() + seconds * SLOWEST
    # A dispatcher ends now and then, so that one whose video never ends is noticed here.
    with patch.object(dispatcher, "LIFETIME", min(dispatcher.LIFETIME, seconds)):
        while Video.objects.live().exists():
            live = Video.objects.live().values_list("prompt", "status", "attempts")
            assert time.monotonic() < end, list(live)
            dispatcher.run()
