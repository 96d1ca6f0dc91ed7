"""Database calls of the event loop: run in one thread and, under load, many per transaction."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.db import Error as DatabaseError
from django.db import InterfaceError, InternalError, OperationalError, connection, transaction

from accounts import locks
from videos.models import Video

SMALL_BATCH = 8  # calls; after a batch this small, the next one does not wait
# After a larger one, the next waits PAUSE times as long as it took, so that more calls share a commit the more there is
# to do; but at most LONGEST_PAUSE seconds.
PAUSE, LONGEST_PAUSE = 5, 0.2
# Seconds that a batch waits for a row that another session has locked, and then each of its calls by itself. Short, since
# everybody's changes wait with it, and the dispatcher's lease ends after timing.LEASE.
LOCK_WAIT, LOCK_WAIT_ALONE = 0.5, 0.05
# The database cannot be reached, its disk is full, or it has ended our session (InternalError) because this process stood
# still in a transaction for DATABASE_IDLE_SECONDS.
UNAVAILABLE = (OperationalError, InterfaceError, InternalError)


class WriteQueue:
    """Runs database functions in one thread; all calls that come between two batches share a transaction.

    `await db(function, *args)` returns or raises what the function did, after the commit. A function that
    raises rolls back only its own writes. A function marked `for_many` is called once per batch, with the
    list of the arguments of all its calls, and returns the list of their results.
    """

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="dispatcher-db")
        self.calls: asyncio.Queue[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )
        self.loop = asyncio.get_running_loop()
        self.worker = asyncio.create_task(self._run())

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.calls.put_nowait((function, args, answer))
        return await answer

    async def close(self) -> None:
        with suppress(DatabaseError):
            await self(bool)  # waits until all earlier calls are committed
        self.worker.cancel()
        # A lambda, because connections are thread-local: a bound `connection.close` would be this thread's own.
        await self.loop.run_in_executor(self.thread, lambda: connection.close())
        self.thread.shutdown()

    async def _run(self) -> None:
        not_before = 0.0
        while True:
            batch = [await self.calls.get()]
            # A few calls are committed at once; thousands share a commit.
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            while not self.calls.empty():
                batch.append(self.calls.get_nowait())
            calls = [(function, args) for function, args, _answer in batch]
            began = time.monotonic()
            try:
                answers = await self.loop.run_in_executor(self.thread, _in_one_transaction, calls)
            except Exception as broken:
                # Every caller must get an answer, or the whole dispatcher hangs.
                answers = [(None, broken)] * len(batch)
            now = time.monotonic()
            not_before = now + (min(PAUSE * (now - began), LONGEST_PAUSE) if len(batch) > SMALL_BATCH else 0)
            for (_function, _args, future), (result, error) in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


Call = tuple[Callable[..., Any], tuple[Any, ...]]
Answer = tuple[Any, Exception | None]


def _in_one_transaction(calls: list[Call], lock_wait: float = LOCK_WAIT) -> list[Answer]:
    """Run all calls in one transaction; if one of them raises, run each in its own."""
    # A rollback restores rows but not the model instances, so their fields are restored by hand.
    videos = [arg for _function, args in calls for arg in args if isinstance(arg, Video)]
    saved_fields = [(video, vars(video).copy()) for video in videos]
    answers, error = _attempt(calls, lock_wait)
    for video, values in saved_fields if error else ():
        vars(video).clear()
        vars(video).update(values)
    if error is None:
        return [(answer, None) for answer in answers]
    is_down = isinstance(error, UNAVAILABLE) and not locks.is_locked(error)
    if is_down:
        # Nothing was written, and retrying now would not help.
        connection.close()
    if is_down or len(calls) == 1:
        return [(None, error)] * len(calls)
    return [answer for call in calls for answer in _in_one_transaction([call], LOCK_WAIT_ALONE)]


def _attempt(calls: list[Call], lock_wait: float) -> tuple[list[Any], Exception | None]:
    grouped: dict[Callable[..., Any], list[int]] = defaultdict(list)
    for position, (function, _args) in enumerate(calls):
        if hasattr(function, "for_many"):
            grouped[function].append(position)
    answers = [None] * len(calls)
    try:
        with transaction.atomic():
            locks.wait_at_most(lock_wait)
            for position, (function, args) in enumerate(calls):
                if function not in grouped:
                    answers[position] = function(*args)
                elif position == grouped[function][-1]:
                    # By now, all that came before any of them has been done.
                    results = function([calls[each][1] for each in grouped[function]])
                    for each, result in zip(grouped[function], results, strict=True):
                        answers[each] = result
        return answers, None
    except Exception as error:
        return [], error
