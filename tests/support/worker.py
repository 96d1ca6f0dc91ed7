"""One turn of the worker at a time."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta

from django.utils import timezone

from tests.support.fixtures import new_user, order
from videos.media.decoder import Decoder
from videos.models import Status, Video
from videos.worker import dispatcher, leases, steps, write_queue
from videos.worker.polling import Polling


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
    async with dispatching() as engine:
        await engine.turn()
        await asyncio.gather(*(item.task for item in engine.in_flight.values()))


@asynccontextmanager
async def dispatching():
    """A dispatcher whose turns the test takes; steps that it began are canceled at the end."""
    engine = dispatcher.Dispatcher(leases.acquire_slot())
    engine.db = write_queue.WriteQueue()
    engine.tools = steps.Tools(engine.db, Decoder(), Polling(engine.db))
    engine.began = engine.renewed = engine.refreshed = time.monotonic()
    try:
        yield engine
    finally:
        tasks = [item.task for item in engine.in_flight.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.tools.decoder.close()
        for provider in engine.providers.values():
            await provider.close()
        await engine.db.close()
        engine.release()


def make_due(video, **fields):
    Video.objects.filter(pk=video.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1), **fields)
