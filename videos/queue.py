"""Enqueues messages. Task names are a wire format: workers of other versions read them, so do not rename them.

Dispatchers have a q2 cluster of their own, DISPATCH. Whatever else there is to do, such as deliveries, goes to the default one,
so that nothing that hangs there keeps videos waiting.
"""

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

# The names of the two clusters. The default one has to be named, too: in a process of the other, it is not the default.
DISPATCH, CHORES = "dispatch", str(settings.Q_CLUSTER["name"])


def wake_worker(video: Video) -> Callable[[], None]:
    """Returns a callable that enqueues the wake-up message: in this transaction (ORM broker) or on commit (Redis)."""
    task = partial(async_task, "videos.tasks.generate", str(video.pk), cluster=DISPATCH)
    if settings.REDIS_URL:
        return lambda: transaction.on_commit(task, robust=True)
    captured = CapturingBroker(DISPATCH)
    task(broker=captured)
    return fast_sql.insertion(OrmQ(key=captured.list_key, payload=captured.task, lock=timezone.now()))


def wake_any() -> None:
    """Enqueue a wake-up message for any worker, at once."""
    async_task("videos.tasks.sweep", cluster=DISPATCH)


def deliver_later() -> None:
    """Enqueue the delivery of due outbox events."""
    async_task("videos.tasks.deliver", cluster=CHORES)


def attend_to_low_balances_later() -> None:
    """Enqueue what is due for accounts whose balance is low, or is not any more."""
    async_task("videos.tasks.attend_to_low_balances", cluster=CHORES)


def cancel_later(video: Video) -> None:
    """Enqueue, on commit, the cancellation of a video's job at its provider, which only workers talk to."""
    if video.ref is not None:
        transaction.on_commit(
            partial(async_task, "videos.tasks.cancel", str(video.pk), cluster=CHORES), robust=True
        )


class CapturingBroker(Broker):
    """Captures the pickled and signed task instead of enqueueing it."""

    def enqueue(self, task: str) -> None:
        self.task = task
