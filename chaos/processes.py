"""Find an installation's processes and their roles, from /proc."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# All processes of gunicorn, and of a worker, have the same command line; their place in the tree gives their role.
ROLES = ("serve", "web", "web-worker", "worker", "cluster", "guard", "queue")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str
    ticks: int  # CPU time used so far


def send(pid: int, number: int) -> bool:
    """Send a signal. False if the process was gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def of_installation(control: Path) -> dict[str, list[Process]]:
    """The live processes with this control folder in their environment, by role, ordered by id."""
    mark = f"CHAOS_CONTROL={control}\0".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, IndexError, ValueError):
            if mark not in (entry / "environ").read_bytes() + b"\0":
                continue
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z":
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            ticks = int(fields[11]) + int(fields[12])
            found[int(entry.name)] = Process(int(entry.name), int(fields[1]), command, ticks)

    roles: dict[str, list[Process]] = {role: [] for role in ROLES}
    for process in sorted(found.values(), key=lambda process: process.pid):
        roles.setdefault(_role(process, found), []).append(process)
    return roles


def dispatcher_of(roles: dict[str, list[Process]]) -> list[Process]:
    """The queue process that has used the most CPU: the one that runs the dispatcher, if any does."""
    return sorted(roles["queue"], key=lambda process: -process.ticks)[:1]


def end_all(control: Path) -> list[str]:
    """Kill all processes that are left, and return their descriptions."""
    left = [(role, process) for role, group in of_installation(control).items() for process in group]
    for _role_name, process in left:
        send(process.pid, signal.SIGKILL)
    return [f"{role} {process.pid} (child of {process.parent})" for role, process in left]


def _role(process: Process, others: dict[int, Process]) -> str:
    parent = others.get(process.parent)
    if "manage.py serve" in process.command:
        return "serve"
    if "gunicorn" in process.command:
        return "web-worker" if parent and "gunicorn" in parent.command else "web"
    if "manage.py videoworker" in process.command:
        depth = 0
        while parent and "manage.py videoworker" in parent.command:
            parent, depth = others.get(parent.parent), depth + 1
        return ("worker", "cluster", "guard", "queue")[min(depth, 3)]
    return "other"
