"""Child processes that never outlive the parent that watches them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from django.conf import settings

PR_SET_PDEATHSIG = 1


def manage(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `manage.py ARGUMENTS` in a process group of its own; `env` is added to the environment."""
    return start([sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments], env=env)


def start(command: list[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_die_with_parent
    )


def stop(children: list[subprocess.Popen[bytes]], seconds: float) -> None:
    """SIGTERM to each child (not to its group: that would hang a q2 cluster), SIGKILL to its group after `seconds`."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    end = time.monotonic() + seconds
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, end - time.monotonic()))
        kill_group(child)


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a child and to all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _die_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent dies, however it dies. Elsewhere nothing does that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
