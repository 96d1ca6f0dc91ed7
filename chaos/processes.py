"""Who is who among the processes of an installation, read from /proc."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# gunicorn's and q2's processes share one command line each, so the place in the tree says who is who.
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
    """The live processes that have this control folder in their environment, by role, in the order of their ids."""
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


def pump_of(roles: dict[str, list[Process]]) -> list[Process]:
    """The q2 process that has worked most: a worker that is the pump, if any is."""
    return sorted(roles["queue"], key=lambda process: -process.ticks)[:1]


def end_all(control: Path) -> list[str]:
    """Kill whatever is left; who that was."""
    left = [(role, process) for role, group in of_installation(control).items() for process in group]
    for _role_name, process in left:
        send(process.pid, signal.SIGKILL)
    return [f"{role} {process.pid} (child of {process.parent})" for role, process in left]


def _role(process: Process, others: dict[int, Process]) -> str:
    parent = others.get(process.parent)
    if "manage.py serve" in process.command:
        return "serve"
    if "manage.py videoworker" in process.command:
        return "worker"
    if "gunicorn" in process.command:
        return "web-worker" if parent and "gunicorn" in parent.command else "web"
    if "manage.py qcluster" in process.command:
        if not parent or "qcluster" not in parent.command:
            return "cluster"
        grandparent = others.get(parent.parent)
        return "queue" if grandparent and "qcluster" in grandparent.command else "guard"
    return "other"
