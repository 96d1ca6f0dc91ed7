"""Database calls of the event loop: one thread runs them, under load many in one transaction."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction

from videos.models import Video

BATCH_EVERY = 0.2  # between two commits under load
SMALL_BATCH = 8  # after one so small, the next commit need not wait for company


class WriteQueue:
    """Runs database functions in one thread; under load, all that is asked within BATCH_EVERY in one transaction.

    `await db(function, *args)` returns or raises what the function did, after the commit. A function
    that raises takes back its own writes only. One that is marked `for_many` is called once with the
    arguments of all who asked for it.
    """

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="pump-db")
        self.asked: asyncio.Queue[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )
        self.loop = asyncio.get_running_loop()
        self.worker = asyncio.create_task(self._run())

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.asked.put_nowait((function, args, answer))
        return await answer

    async def close(self) -> None:
        with suppress(DatabaseError):
            await self(bool)  # what was asked before this is then written
        self.worker.cancel()
        # A connection belongs to its thread, and the name resolves to the asking thread's own.
        await self.loop.run_in_executor(self.thread, lambda: connection.close())
        self.thread.shutdown()

    async def _run(self) -> None:
        not_before = 0.0
        while True:
            batch = [await self.asked.get()]
            # A single video is in a hurry; thousands share one commit.
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            while not self.asked.empty():
                batch.append(self.asked.get_nowait())
            calls = [(function, args) for function, args, _answer in batch]
            try:
                answers = await self.loop.run_in_executor(self.thread, _in_one_transaction, calls)
            except Exception as broken:
                # Whoever waits for an answer must get one, or the whole pump stands still.
                answers = [(None, broken)] * len(batch)
            not_before = time.monotonic() + (BATCH_EVERY if len(batch) > SMALL_BATCH else 0)
            for (_function, _args, future), (result, error) in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


Call = tuple[Callable[..., Any], tuple[Any, ...]]
Answer = tuple[Any, Exception | None]


def _in_one_transaction(calls: list[Call]) -> list[Answer]:
    """All in one transaction; when one of them raises, each in its own."""
    # A move that is taken back leaves a moved object behind and an unmoved row.
    videos = [arg for _function, args in calls for arg in args if isinstance(arg, Video)]
    as_before = [(video, vars(video).copy()) for video in videos]
    answers, error = _attempt(calls)
    for video, values in as_before if error else ():
        vars(video).clear()
        vars(video).update(values)
    if error is None:
        return [(answer, None) for answer in answers]
    if len(calls) == 1 or isinstance(error, OperationalError | InterfaceError):
        # The database is away, or the disk is full: nothing happened, and nothing else would.
        connection.close()
        return [(None, error)] * len(calls)
    return [answer for call in calls for answer in _in_one_transaction([call])]


def _attempt(calls: list[Call]) -> tuple[list[Any], Exception | None]:
    together: dict[Callable[..., Any], list[tuple[Any, ...]]] = defaultdict(list)
    for function, args in calls:
        if hasattr(function, "for_many"):
            together[function].append(args)
    try:
        with transaction.atomic():
            for function, all_args in together.items():
                function(all_args)
            return [None if function in together else function(*args) for function, args in calls], None
    except Exception as error:
        return [], error
