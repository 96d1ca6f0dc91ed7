"""Child processes that do not outlive their parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from django.db import connections

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


def start(
    command: list[str],
    env: Mapping[str, str] | None = None,
    when_orphaned: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Run a command in a session of its own; `env` is added to the environment."""
    return subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid(), when_orphaned),
    )


def fork(name: str, run: Callable[[], None], when_orphaned: signal.Signals) -> BaseProcess:
    """Call `run` in a fork of this process, which shares its memory and is in a process group of its own.

    `ps` and `top` show its name. Closes the connections to databases, which two processes cannot share.
    """
    connections.close_all()
    child = get_context("fork").Process(target=_run_fork, args=(name, run, os.getpid(), when_orphaned))
    child.start()
    assert child.pid is not None
    # Here as well as in the child: from now on, its group can be killed.
    os.setpgid(child.pid, child.pid)
    return child


def _run_fork(name: str, run: Callable[[], None], parent: int, when_orphaned: signal.Signals) -> None:
    os.setpgid(0, 0)
    for signal_of_parent in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_of_parent, signal.SIG_DFL)
    die_with_parent(parent, when_orphaned)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())
    run()


def stop(children: list[subprocess.Popen[bytes]], seconds: float) -> None:
    """SIGTERM to each child (not its group, which would hang a q2 cluster), then SIGKILL to its group after `seconds`."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    end = time.monotonic() + seconds
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, end - time.monotonic()))
        kill_group(child)


def kill_group(child: subprocess.Popen[bytes] | BaseProcess) -> None:
    """SIGKILL to a child and everything in its process group."""
    assert child.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if isinstance(child, BaseProcess):
        child.join()
    else:
        child.wait()


def die_with_parent(parent: int, death_signal: signal.Signals = signal.SIGTERM) -> None:
    """In a new child of `parent`: have the kernel send this signal when the parent dies, however it dies. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), death_signal)


def let_no_fork_outlive_its_parent() -> None:
    """For a q2 cluster: its workers would otherwise wait forever on the queue of a guard that was killed."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(parent, signal.SIGKILL))
