"""One turn of the worker at a time."""

import asyncio
import time
from datetime import timedelta

from django.utils import timezone

from tests.support.fixtures import new_user, order
from videos.media.decoder import Decoder
from videos.models import Status, Video
from videos.worker import dispatcher, leases, steps, write_queue


def again(video):
    return Video.objects.get(pk=video.pk)


def running(simulator, prompt="A red kite over the sea"):
    """A video that its provider has accepted."""
    video = order(new_user(), prompt)
    asyncio.run(take_one_step())
    assert again(video).status == Status.IN_PROGRESS
    return again(video)


async def take_one_step():
    """One turn of a dispatcher, and what it began."""
    engine = dispatcher.Dispatcher(leases.acquire_slot())
    engine.db = write_queue.WriteQueue()
    engine.tools = steps.Tools(engine.db, asyncio.Semaphore(1), asyncio.Semaphore(1), Decoder())
    engine.began = engine.renewed = time.monotonic()
    await engine.turn()
    await asyncio.gather(*(item.task for item in engine.in_flight.values()))
    await engine.tools.decoder.close()
    for provider in engine.providers.values():
        await provider.close()
    await engine.db.close()
    leases.revoke_slots(leases.worker_name())


def make_due(video, **fields):
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1), **fields)
