"""Taking the time of two things side by side, and what Linux knows of a process."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

PATIENCE = 400  # seconds
HERTZ = os.sysconf("SC_CLK_TCK")


def alternate(rounds: int, contestants: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """What each gave in each round. They take turns, A B C A B C, so that a slow moment of the machine hits all."""
    results: dict[str, list[Any]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            results[name].append(contestant())
    return results


def ratio(these: list[float], to_those: list[float]) -> float:
    """The median of what the rounds say, each for itself: a slow minute of the machine is in both of its halves."""
    return median(this / that for this, that in zip(these, to_those, strict=True))


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` per cent of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def wait_until(condition: Callable[[], bool]) -> None:
    """Look five times a second. AssertionError after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not so after {PATIENCE} s")
        time.sleep(0.2)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for known in found:
        for task in Path(f"/proc/{known}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu(pid: int) -> float:
    """Seconds of user and system time of a process and of its children that have ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / HERTZ


def family_cpu(pid: int) -> float:
    """The same of a process and all that descend from it."""
    total = 0.0
    for member in family(pid):
        with suppress(OSError):  # it has just ended, and is counted with its parent
            total += cpu(member)
    return total


def own_cpu(pids: list[int]) -> float:
    """Seconds of user and system time of these processes alone."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return total / HERTZ


def peak_memory(pid: int) -> int:
    """The most bytes that a process ever held at once (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def connected_to(port: int, pids: list[int]) -> list[int]:
    """Those of the processes that hold a connection to a local TCP port."""
    sockets = set()
    for connection in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _number, _local, remote, _state, *_rest = columns = connection.split()
        if int(remote.rpartition(":")[2], 16) == port:
            sockets.add(f"socket:[{columns[9]}]")
    return [pid for pid in pids if sockets & set(_open_files(pid))]


def _open_files(pid: int) -> list[str]:
    with suppress(OSError):
        return [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return []
