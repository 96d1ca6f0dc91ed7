"""Enqueues messages. Task names are a wire format: workers of other versions read them, so do not rename them."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.brokers import Broker
from django_q.models import OrmQ
from django_q.tasks import async_task

from accounts import fast_sql
from videos.models import Video


def wake_worker(video: Video) -> Callable[[], None]:
    """Returns a callable that enqueues the wake-up message: in this transaction (ORM broker) or on commit (Redis)."""
    task = partial(async_task, "videos.tasks.generate", str(video.pk))
    if settings.REDIS_URL:
        return lambda: transaction.on_commit(task, robust=True)
    captured = CapturingBroker()
    task(broker=captured)
    return fast_sql.insertion(OrmQ(key=captured.list_key, payload=captured.task, lock=timezone.now()))


def wake_any() -> None:
    """Enqueue a wake-up message for any worker, at once."""
    async_task("videos.tasks.sweep")


def deliver_later() -> None:
    """Enqueue the delivery of due outbox events."""
    async_task("videos.tasks.deliver")


def cancel_later(video: Video) -> None:
    """Enqueue, on commit, the cancellation of a video's job at its provider, which only workers talk to."""
    if video.ref is not None:
        transaction.on_commit(partial(async_task, "videos.tasks.cancel", str(video.pk)), robust=True)


class CapturingBroker(Broker):
    """Captures the pickled and signed task instead of enqueueing it."""

    def enqueue(self, task: str) -> None:
        self.task = task
