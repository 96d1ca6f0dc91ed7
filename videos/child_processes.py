"""Child processes that do not outlive their parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial

from django.conf import settings

PR_SET_PDEATHSIG = 1


def manage(
    *arguments: str, env: Mapping[str, str] | None = None, when_orphaned: signal.Signals = signal.SIGTERM
) -> subprocess.Popen[bytes]:
    """Start `manage.py ARGUMENTS` in a process group of its own; `env` is added to the environment."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    return start(command, env=env, when_orphaned=when_orphaned)


def start(
    command: list[str],
    env: Mapping[str, str] | None = None,
    when_orphaned: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid(), when_orphaned),
    )


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


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a child and everything in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
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
