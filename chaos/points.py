"""Crash points: where in the product's code a fault can happen. The functions are wrapped from outside.

A point is `<function>:<moment>`, such as `lifecycle.accept:after-commit`. The functions are found by inspecting the
modules, so that new ones become crash points automatically; REQUIRED lists those that must be there.

    before         nothing has happened yet
    after          the function has returned; inside a transaction, its changes are not committed yet
    after-commit   the transaction is committed, and nothing has happened since
    first-piece    of a download: a part has arrived
"""

import asyncio
import errno
import functools
import inspect
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from django.db import OperationalError, connection, transaction

FAULTS = ("kill", "exception", "timeout", "stall", "locked", "full")
HANG = 5  # seconds, longer than a dispatcher's (shortened) lease in the matrix

REQUIRED = {
    *(f"steps.{name}" for name in ("step", "submit", "reconcile", "check", "save", "make_poster")),
    "ordering.place",
    *(
        f"lifecycle.{verb}"
        for verb in ("mark_submitting", "postpone", "mark_unconfirmed", "requeue", "accept", "adopt")
    ),
    *(f"lifecycle.{verb}" for verb in ("retry_later", "finish", "complete", "fail", "stop_watching")),
    *(
        f"lifecycle.{verb}"
        for verb in ("renew_leases", "attach_poster", "time_out_overdue", "cancel", "delete")
    ),
    "poll_results.record",
    "admission.admit",
    *(f"breaker.{verb}" for verb in ("record_failure", "pause", "record_success")),
    *("dispatcher.run", "queue.wake_any"),
    *(f"leases.{name}" for name in ("acquire_slot", "claim", "renew", "free_orphans", "release")),
    "polling.Polling.record",
    "write_queue._in_one_transaction",
    *(f"dispatcher.Dispatcher.{name}" for name in ("turn", "find_work", "drive", "drain")),
    *(f"storage.{name}" for name in ("download", "store", "store_poster", "fetch", "discard", "fsync")),
    *(f"decoder.Decoder.{name}" for name in ("look", "close")),
    *(f"openai.Adapter.{name}" for name in ("submit", "create", "check", "find", "download", "close")),
    *(f"credits.{name}" for name in ("charge", "refund")),
}
# Private functions that are crash points as well.
PRIVATE = {"steps._accept_surely", "write_queue._in_one_transaction", "write_queue.WriteQueue.__call__"}
# Not crash points: called before any story begins, or read-only.
ELSEWHERE = {f"credits.{name}" for name in ("grant", "grant_signup", "leave_out_expired", "read_balance")}
LOOKS = {
    *("leases.worker_name", "leases.is_leader", "dispatcher.is_work_left"),
    *(f"dispatcher.Dispatcher.{name}" for name in ("has_costly_steps", "provider", "room")),
    *(f"polling.Polling.{name}" for name in ("plan", "due", "forget")),
    "poll_results.progress_after",
    *("admission.place", "admission.room_of", "admission.credits_left_today", "breaker.is_paused"),
}
# Points that no story reaches, with the reason. Any other point that is not reached is a gap in the stories.
UNMET = {
    "lifecycle.reroute": "each story's model has one channel; videos/tests/catalogue/test_routing.py tests two",
    "openai.Adapter.post": "only dialects of the protocol use it",
    "openai.Adapter.cancel": "nothing depends on its outcome; videos/tests/generation/test_cancellation.py",
    "openai.Adapter.capabilities": "only used by staff to compare catalogs",
    "ordering.place_all": "repeats `place` in one transaction; videos/tests/catalogue/test_capabilities.py",
    "queue.attend_to_low_balances_later": "no story has one; accounts/tests/test_low_balance.py",
    "queue.cancel_later": "it enqueues what openai.Adapter.cancel does; videos/tests/generation/test_cancellation.py",
    "queue.deliver_later": "no story has a webhook; videos/tests/webhooks/test_outbox.py",
    "leases.forget_old_slots": "daily, and involves no video; videos/tests/worker/test_polling.py",
    "openai.Adapter.jobs": "read-only: what `check_purchases` asks for",
    "openai.Adapter.probe": "only used by `doctor --providers`",
    "lifecycle.fail_unplayable": "needs a file with a complete index and undecodable frames",
    **dict.fromkeys(
        ("lifecycle.refund_completed", "lifecycle.retry_now"),
        "only used by staff; aivideo/staff/tests/test_actions.py interrupts each at every statement",
    ),
    **dict.fromkeys(
        ("credits.purchase", "credits.claw_back", "credits.expire", "credits.expire_all"),
        "involves no video; accounts/tests/test_credits.py interrupts each at every statement",
    ),
}

control: Path | None = None  # the folder with the file `trap`, if one is armed
names: set[str] = set()  # all functions that are crash points
met: set[str] | None = None  # if set, records every point that is reached


class ChaosError(Exception):
    """Stands for an exception raised by a bug, ours or a library's."""


# What a crash point may raise: callers that stand in for a browser or a queue handle these.
RAISED = (ChaosError, TimeoutError, OperationalError, OSError)


def arm(folder: Path, point: str, fault: str) -> None:
    """Inject `fault` once, where `point` is reached next by a process with this control folder."""
    draft = folder / "trap.draft"
    draft.write_text(json.dumps({"point": point, "fault": fault}))
    draft.rename(folder / "trap")


def struck(folder: Path) -> list[dict[str, str]]:
    """The traps that have been triggered in this control folder."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("struck-*"))]


def wrap_all() -> None:
    """Make every function of these modules a crash point. Raises LookupError if a REQUIRED one is missing."""
    for name, owner, attribute, function in list(_functions()):
        setattr(owner, attribute, _wrapped(name, function))
        names.add(name)
    _wrap_fsync()
    if missing := REQUIRED - names - {"storage.fsync"}:
        raise LookupError(f"crash points that no longer exist: {', '.join(sorted(missing))}")


# --- Finding the functions ------------------------------------------------------------------------


def _functions() -> Iterator[tuple[str, Any, str, Callable[..., Any]]]:
    from accounts import credits
    from videos import queue
    from videos.catalogue import breaker
    from videos.generation import lifecycle, ordering, poll_results
    from videos.media import decoder, storage
    from videos.providers import openai
    from videos.worker import admission, dispatcher, leases, polling, steps, write_queue

    worker = (dispatcher, leases, write_queue, steps, polling, admission, breaker)
    for module in (ordering, lifecycle, poll_results, queue, *worker, storage, decoder, openai, credits):
        short = module.__name__.rpartition(".")[2]
        owners: list[tuple[str, Any]] = [(short, module)]
        owners += [(f"{short}.{name}", owner) for name, owner in _classes(module) if _is_actor(owner)]
        for prefix, owner in owners:
            for attribute, function in list(vars(owner).items()):
                name = f"{prefix}.{attribute}"
                is_public = not attribute.startswith("_") and name not in ELSEWHERE | LOOKS
                is_ours = inspect.isfunction(function) and function.__module__ == module.__name__
                # In a provider's module, only the class is called from outside.
                if is_ours and (is_public or name in PRIVATE) and owner is not openai:
                    yield name, owner, attribute, function


def _classes(module: ModuleType) -> list[tuple[str, type]]:
    return [(n, c) for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__]


def _is_actor(owner: type) -> bool:
    """A class with behavior, such as a dispatcher or a provider; not a record or an exception."""
    return not issubclass(owner, Exception) and any(
        inspect.iscoroutinefunction(function) for function in vars(owner).values()
    )


# --- Wrapping them --------------------------------------------------------------------------------


def _wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream(*args: Any, **kwargs: Any) -> Any:
            await _pass_async(f"{name}:before")
            is_first = True
            async for piece in function(*args, **kwargs):
                yield piece
                if is_first:
                    await _pass_async(f"{name}:first-piece")
                is_first = False
            await _pass_async(f"{name}:after")

        return stream

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            await _pass_async(f"{name}:before")
            result = await function(*args, **kwargs)
            await _pass_async(f"{name}:after")
            return result

        return coroutine

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        _pass(f"{name}:before")
        result = function(*args, **kwargs)
        _pass(f"{name}:after")
        if connection.in_atomic_block:
            transaction.on_commit(lambda: _pass(f"{name}:after-commit"))
        return result

    return plain


def _wrap_fsync() -> None:
    """Make each fsync within `store` a crash point, by its number. Others (such as SQLite's) are left alone."""
    from videos.media import storage

    fsync, store = os.fsync, storage.store
    numbers: list[int] = []

    @functools.wraps(store)
    def counted_store(*args: Any, **kwargs: Any) -> Any:
        numbers[:] = range(1, 100)
        try:
            return store(*args, **kwargs)
        finally:
            numbers.clear()

    def pointed_fsync(descriptor: Any) -> None:
        number = numbers.pop(0) if numbers else None
        if number:
            _pass(f"storage.fsync-{number}:before")
        fsync(descriptor)
        if number:
            _pass(f"storage.fsync-{number}:after")

    storage.store = counted_store
    os.fsync = pointed_fsync  # type: ignore[assignment]


# --- Injecting the fault --------------------------------------------------------------------------


def _pass(point: str) -> None:
    fault = _fault_at(point)
    if fault in ("timeout", "stall"):
        time.sleep(HANG)
    if fault and fault != "stall":
        _strike(fault)


async def _pass_async(point: str) -> None:
    fault = _fault_at(point)
    if fault == "stall":
        time.sleep(HANG)  # noqa: ASYNC251  # blocks the whole process, like a machine that swaps
    elif fault == "timeout":
        await asyncio.sleep(HANG)
    if fault and fault != "stall":
        _strike(fault)


def _fault_at(point: str) -> str | None:
    """The fault that is armed for this point, if any. The process that renames the file gets it."""
    if met is not None:
        met.add(point)
    if control is None:
        return None
    try:
        trap = json.loads((control / "trap").read_text())
        if trap["point"] != point:
            return None
        (control / "trap").rename(control / f"struck-{time.time_ns()}")
    except FileNotFoundError:
        return None
    return trap["fault"]


def _strike(fault: str) -> None:
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exception":
        raise ChaosError("a bug")
    if fault == "timeout":
        raise TimeoutError("it took too long")
    in_transaction = connection.in_atomic_block
    if fault == "locked":
        if connection.vendor == "postgresql" and in_transaction:
            # A real disconnect, so that the transaction is really lost.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise OperationalError("database is locked")
    if fault == "full":
        if not in_transaction:
            raise OSError(errno.ENOSPC, "No space left on device")
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")  # as SQLite does by itself in this case
        raise OperationalError("database or disk is full")
    raise ValueError(f"unknown fault: {fault}")
