"""Compare things side by side, and read Linux's statistics of processes."""

import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

TIMEOUT_SECONDS = 400
HERTZ = os.sysconf("SC_CLK_TCK")


def alternate(rounds: int, contestants: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """The result of each contestant in each round. They alternate, A B C A B C, so that a slow moment affects all."""
    results: dict[str, list[Any]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            results[name].append(contestant())
    return results


def ratio(these: list[float], to_those: list[float]) -> float:
    """The median of the ratios of the rounds: a slow moment of the machine affects both halves of a round."""
    return median(this / that for this, that in zip(these, to_those, strict=True))


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` percent of the values are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def wait_until(condition: Callable[[], bool]) -> None:
    """Check five times per second. Raises AssertionError after TIMEOUT_SECONDS."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"condition not met after {TIMEOUT_SECONDS} s")
        time.sleep(0.2)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for known in found:
        for task in Path(f"/proc/{known}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu(pid: int) -> float:
    """User and system time, in seconds, of a process and its ended children."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / HERTZ


def family_cpu(pid: int) -> float:
    """The same for a process and all its descendants."""
    total = 0.0
    for member in family(pid):
        with suppress(OSError):  # it has just ended, and counts with its parent
            total += cpu(member)
    return total


def own_cpu(pids: list[int]) -> float:
    """User and system time, in seconds, of these processes only."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return total / HERTZ


def memory(pid: int) -> int:
    """Bytes of a process, of which what it shares with others counts in part (PSS); 0 if it is gone."""
    with suppress(OSError):
        (line,) = re.findall(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(line) * 1024
    return 0


def peak_memory(pid: int) -> int:
    """A process's peak memory in bytes (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def connected_to(port: int, pids: list[int]) -> list[int]:
    """The processes that have a connection to a local TCP port."""
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
