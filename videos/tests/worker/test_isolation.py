"""Two channels, one of which hangs: what is made at the other goes on as if nothing were."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest

from tests.support.fixtures import TEST_TIMEOUT, new_user, order
from tests.support.http_server import Handler, LocalServer
from tests.support.sabotage import becomes, becomes_text, insert_first, without
from tests.support.silent_server import SilentServer
from tests.support.video_server import job, server
from tests.support.worker import dispatching
from videos.generation import lifecycle
from videos.media import storage
from videos.models import Channel, Status, Video, VideoModel
from videos.providers.base import JobState, Unavailable
from videos.worker import dispatcher, steps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hasty")]

SLOTS = 2


@pytest.fixture(autouse=True)
def few_slots(settings, monkeypatch):
    settings.USE_MOCK_SORA = False
    monkeypatch.setattr(steps, "MAX_POSTS", SLOTS)
    monkeypatch.setattr(steps, "MAX_DOWNLOADS", SLOTS)
    monkeypatch.setattr(dispatcher, "MAX_SUBMITS", 2 * SLOTS)
    monkeypatch.setattr(dispatcher, "MAX_IN_FLIGHT", 3 * SLOTS)


def model_at(name, url):
    """A model that only the channel of this name makes, whose server is there."""
    model = VideoModel.objects.create(slug=name, name=name, sizes=["1280x720"], lengths=[4])
    channel = Channel.objects.create(slug=name, base_url=url)
    model.offers.create(channel=channel, provider_model="sora-2")
    return model


def orders(model, count, user=None):
    return [order(user or new_user(), model=model) for _ in range(count)]


def running(videos):
    for video in videos:
        lifecycle.mark_submitting(video)
        lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="in_progress"))
    Video.objects.filter(pk__in=[video.pk for video in videos]).update(next_attempt_at=video.created_at)


def status_of(video):
    return Video.objects.values_list("status", flat=True).get(pk=video.pk)


def turns_until(condition, patience=steps.LONGEST_SUBMIT / 2):
    """Take turns until it is so: long before anything that hangs is given up."""

    async def take_turns():
        async with dispatching() as engine, asyncio.timeout(patience):
            while not await engine.db(condition):
                await engine.turn()
                await asyncio.sleep(0.05)

    asyncio.run(take_turns())


def healthy(method, path):
    """A provider that takes every order, and refuses it in the end."""
    if method == "POST":
        return 200, job(status="queued")
    return 200, job(id=path.rpartition("/")[2], status="failed", error="seen")


@without(
    "submits of each channel",
    "videos.worker.steps.submit",
    becomes("tools.slots[channel.pk]", "tools.slots[0]"),
)
def test_submits_that_hang_at_one_channel_keep_no_other_channel_waiting():
    with SilentServer() as silent, server(healthy) as url:
        orders(model_at("hangs", silent.url.replace("/picture.jpg", "/v1")), 3 * SLOTS)
        (video,) = orders(model_at("well", url), 1)
        turns_until(lambda: len(silent.taken) >= SLOTS and status_of(video) == Status.FAILED)
        assert not silent.has_hung_up


@without(
    "the limit to videos in flight of each channel",
    "videos.worker.leases.claim",
    insert_first("except_of = ()"),
)
def test_questions_that_hang_at_one_channel_keep_no_other_channel_waiting(monkeypatch):
    monkeypatch.setattr(dispatcher, "CLAIM", SLOTS)
    with SilentServer() as silent, server(healthy) as url:
        running(orders(model_at("hangs", silent.url.replace("/picture.jpg", "/v1")), 6 * SLOTS))
        (video,) = orders(model_at("well", url), 1)
        turns_until(lambda: len(silent.taken) >= 3 * SLOTS and status_of(video) == Status.FAILED)
        assert len(silent.taken) == 3 * SLOTS


@contextmanager
def trickling(pieces):
    """A provider whose jobs are done, and whose files come byte by byte. Its `asked` are the files that it began to send."""
    asked, is_over = [], threading.Event()

    class Trickling(Handler):
        def do_GET(self):
            ref = self.path.split("/")[3]
            if not self.path.endswith("/content"):
                self.reply(200, b'{"id": "%s", "object": "video", "status": "completed"}' % ref.encode())
                return
            asked.append(ref)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not is_over.wait(pieces):
                self.wfile.write(b"\0")
                self.wfile.flush()

    with LocalServer(Trickling) as local:
        yield f"{local.url}/v1", asked
        is_over.set()


@without(
    "downloads of each channel",
    "videos.worker.steps.save",
    becomes("tools.slots[video.channel_id]", "tools.slots[0]"),
)
def test_downloads_that_trickle_at_one_channel_keep_no_other_channel_waiting(simulator, settings):
    settings.USE_MOCK_SORA = False
    with trickling(0.1) as (url, asked):
        running(orders(model_at("trickles", url), 2 * SLOTS))
        (video,) = orders(model_at("well", simulator), 1)
        turns_until(lambda: len(asked) >= SLOTS and status_of(video) == Status.COMPLETED)


def test_a_download_that_trickles_is_given_up_and_tried_again(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "SLOW_START", 0.3)

    class Trickle:
        async def download(self, ref):
            for _ in range(100):
                await asyncio.sleep(0.02)
                yield b"\0" * 100

    began = time.monotonic()
    with pytest.raises(Unavailable, match="bytes in"):
        asyncio.run(storage.download(Trickle(), "job-1", tmp_path / "part"))
    assert time.monotonic() - began < TEST_TIMEOUT


def test_a_download_that_is_slow_to_begin_is_not_taken_for_one_that_trickles(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "SLOW_START", 0.1)

    class SlowToBegin:
        async def download(self, ref):
            await asyncio.sleep(0.5)
            yield b"\0" * 100
            yield b"\0" * 100

    asyncio.run(storage.download(SlowToBegin(), "job-1", tmp_path / "part"))
    assert (tmp_path / "part").stat().st_size == 200


@without(
    "turns of a person at each channel",
    "videos.worker.admission.QUEUE",
    becomes_text("waiter AND channel_id = %s\n", "waiter AND channel_id >= %s * 0\n"),
)
def test_a_persons_videos_at_one_channel_take_no_place_at_another(settings):
    settings.USER_RUNNING_VIDEOS = 2
    user = new_user()
    with SilentServer() as silent, server(healthy) as url:
        running(orders(model_at("hangs", silent.url.replace("/picture.jpg", "/v1")), 2, user))
        (video,) = orders(model_at("well", url), 1, user)
        turns_until(lambda: status_of(video) == Status.FAILED)
