"""The queue's messages. Their task names are a wire format: workers of other versions read them."""

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


def ring() -> None:
    """Ask for a pump, whoever it may be."""
    async_task("videos.tasks.sweep")


def bell_for(video: Video) -> Callable[[], None]:
    """What tells a worker, when called in a transaction, that there is something to do: with it or, with Redis, after it."""
    task = partial(async_task, "videos.tasks.generate", str(video.pk))
    if settings.REDIS_URL:
        return lambda: transaction.on_commit(task, robust=True)
    package = Package()
    task(broker=package)
    return fast_sql.insertion(OrmQ(key=package.list_key, payload=package.task, lock=timezone.now()))


class Package(Broker):
    """Takes a task as a queue would, and keeps it, pickled and signed, for a row of q2's own queue."""

    def enqueue(self, task: str) -> None:
        self.task = task
