"""Which faults happen when: a plan made from a seed, and the injector that carries it out."""

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chaos import points, processes
from chaos.installation import Installation
from chaos.servers import Server

log = logging.getLogger(__name__)

# Which process is killed, with the weight among all kills.
VICTIMS = {
    "dispatcher": 24,
    "queue": 16,
    "web-worker": 22,
    "web": 5,
    "guard": 6,
    "cluster": 5,
    "worker": 5,
    "serve": 2,
    "simulator": 8,
    "redis": 4,
    "backend": 3,
}
# Other faults: how often per minute, and for how many seconds; short ones more often than long ones.
TROUBLES = {
    "postgres crash": (1.5, (0.5, 3)),
    "trap": (8, (1, 1)),
    "hang": (2.5, (1, 300)),
    "clock": (2, (3, 8)),
    "full disk": (1, (4, 10)),
    "storm": (2, (4, 10)),
}
BRIEF = 15  # seconds
JUMPS = (20, -20, 3600, -3600)  # seconds
STORMS = ("[sim:busy]", "[sim:error-500]", "[sim:down]", "[sim:lost-reply]", "[sim:poll-500]")


@dataclass(frozen=True)
class Event:
    """A fault `at` seconds after the start, for `seconds`. `pick` (0–1) selects one of the candidates at that time."""

    at: float
    what: str
    pick: float
    seconds: float = 0.0


def plan(seed: str, seconds: float, kill_every: float) -> list[Event]:
    """The plan in chronological order, the same for the same arguments."""
    chance = random.Random(seed)
    events = []
    at = 0.0
    while (at := at + chance.expovariate(1 / kill_every)) < seconds:
        [victim] = chance.choices(list(VICTIMS), list(VICTIMS.values()))
        events.append(Event(at, f"kill {victim}", chance.random()))
    for what, (per_minute, (shortest, longest)) in TROUBLES.items():
        # At least once in every run, however short.
        for _ in range(max(1, round(per_minute * seconds / 60))):
            lasts = shortest * (longest / shortest) ** chance.random()
            events.append(Event(chance.uniform(0, seconds), what, chance.random(), lasts))
    return sorted(events, key=lambda event: event.at)


class Injector:
    """Carries out a plan on an installation, and counts what actually happened."""

    def __init__(self, site: Installation, storm: dict[str, str]) -> None:
        self.site, self.storm = site, storm
        self.done: Counter[str] = Counter()
        self.threads: list[threading.Thread] = []
        self.over = threading.Event()  # ends all lasting faults immediately

    @property
    def kills(self) -> int:
        return sum(count for what, count in self.done.items() if what.startswith("kill "))

    def carry_out(self, events: list[Event], seconds: float) -> None:
        began = time.monotonic()
        for event in events:
            time.sleep(max(0.0, began + event.at - time.monotonic()))
            if event.what.startswith("kill "):
                self.kill(event)
            else:
                # In a thread, so that a lasting fault does not delay the next ones.
                thread = threading.Thread(target=self.trouble, args=(event,), daemon=True)
                thread.start()
                self.threads.append(thread)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        self.over.set()
        for thread in self.threads:
            thread.join()
        (self.site.control / "trap").unlink(missing_ok=True)
        self.done["kill at a crash point"] = sum(
            trap["fault"] == "kill" for trap in points.struck(self.site.control)
        )

    # --- Kills --------------------------------------------------------------------------------------

    def kill(self, event: Event) -> None:
        """Kill the planned victim or, if there is none at this moment, another one."""
        wanted = event.what.removeprefix("kill ")
        for victim in [wanted, "dispatcher", "web-worker", "queue", "simulator"]:
            if self._kill_one(victim, event.pick):
                self.done[f"kill {victim}"] += 1
                return
        log.info("nobody to kill")

    def _kill_one(self, victim: str, pick: float) -> bool:
        servers: list[Server] = list(self.site.simulators.values()) if victim == "simulator" else []
        if victim == "redis" and self.site.redis:
            servers = [self.site.redis]
        if servers:
            server = servers[int(pick * len(servers))]
            if server.is_dead:
                return False
            server.kill()
            return True
        if victim == "backend":
            pids = self._backends()
        else:
            roles = processes.of_installation(self.site.control)
            found = processes.dispatcher_of(roles) if victim == "dispatcher" else roles.get(victim, [])
            pids = [process.pid for process in found]
        return bool(pids) and processes.send(pids[int(pick * len(pids))], signal.SIGKILL)

    def _backends(self) -> list[int]:
        with suppress(OSError):  # the server is down, or on its way up
            return self.site.postgres.backends() if self.site.postgres else []
        return []

    # --- Lasting faults -----------------------------------------------------------------------------

    def trouble(self, event: Event) -> None:
        acts: dict[str, Callable[[Event], bool]] = {
            "postgres crash": self.crash_postgres,
            "trap": self.set_trap,
            "hang": self.hang,
            "clock": self.jump,
            "full disk": self.fill_disk,
            "storm": self.make_storm,
        }
        try:
            if acts[event.what](event):
                self.done[event.what] += 1
        except Exception:
            log.exception("%s", event)

    def crash_postgres(self, event: Event) -> bool:
        if not self.site.postgres:
            return False
        self.site.resting.add(self.site.postgres)
        self.site.postgres.kill()
        self.over.wait(event.seconds)
        self.site.resting.discard(self.site.postgres)
        return True

    def set_trap(self, event: Event) -> bool:
        """Arm a crash point: the next process to reach it is killed."""
        names = [f"{name}:{moment}" for name in sorted(points.REQUIRED) for moment in ("before", "after")]
        points.arm(self.site.control, names[int(event.pick * len(names))], "kill")
        return True

    def hang(self, event: Event) -> bool:
        """Suspend a process of the worker or web server, and resume it later.

        One that starts others only briefly: the installation would stand still, and no other fault would find anything.
        """
        roles = processes.of_installation(self.site.control)
        parents = ("cluster", "guard", "worker") if event.seconds < BRIEF else ()
        candidates = [
            *(process for role in (*parents, "queue") for process in roles[role]),
            *processes.dispatcher_of(roles) * 4,
            *roles["web-worker"],
        ]
        if not candidates:
            return False
        victim = candidates[int(event.pick * len(candidates))]
        if not processes.send(victim.pid, signal.SIGSTOP):
            return False
        self.over.wait(event.seconds)
        processes.send(victim.pid, signal.SIGCONT)
        return True

    def jump(self, event: Event) -> bool:
        (self.site.control / "clock").write_text(str(JUMPS[int(event.pick * len(JUMPS))]))
        self.over.wait(event.seconds)
        (self.site.control / "clock").write_text("0")
        return True

    def fill_disk(self, event: Event) -> bool:
        if not self.site.disk_is_ours:
            return False
        disk = os.statvfs(self.site.data)
        left = int(event.pick * 300_000)  # bytes, so that the disk becomes full in the middle of a write
        filler = self.site.data / "filler"
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - left))
        self.over.wait(event.seconds)
        filler.unlink(missing_ok=True)  # another such fault may have ended first
        return True

    def make_storm(self, event: Event) -> bool:
        self.storm["tag"] = STORMS[int(event.pick * len(STORMS))]
        self.over.wait(event.seconds)
        self.storm.clear()
        return True
