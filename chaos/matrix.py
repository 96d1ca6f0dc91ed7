"""The fault matrix: every crash point × every fault, each exactly once, isolated from the others.

A cell is one story in which one fault happens at one point. It has its own database, files and processes, so that
anything wrong afterwards was caused by this fault; only the providers are shared. One process loads Django and forks
a child for each cell. If the child is killed, another one runs the story again.

Run as `python -m chaos.matrix` in an environment prepared by `__main__`.
"""

import importlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import django
import psycopg
from django.conf import settings
from django.db import connections

from chaos import report
from chaos.servers import Simulator, start_all

log = logging.getLogger(__name__)

ROOT_FOLDER = Path(os.environ["DATA_DIR"])  # each cell's processes have their own DATA_DIR in it
CONCURRENCY = 4 * (os.cpu_count() or 1)  # cells wait more than they compute
TIMEOUT_SECONDS = 90  # after which a supervisor would have restarted the worker
PLAIN_TIMEOUT_SECONDS = 150  # for a story without a fault, which only a slow machine delays
TRIES = 4  # processes per cell, one after another
RETELL, RETOLD = 4, 10_000  # how often a story is run again or replaced, and what is then added to its number


@dataclass
class Cell:
    """One fault at one point of one story, or no fault if there is no point. `naive`: a variant that must be caught."""

    number: int
    story: str
    point: str = ""
    fault: str = ""
    naive: str = ""
    started: int = 0
    hung: int = 0
    process: int = 0
    since: float = 0.0
    rival: int = 0

    def __str__(self) -> str:
        return " / ".join(filter(None, [self.point, self.fault, self.story, self.naive]))

    @property
    def folder(self) -> Path:
        return ROOT_FOLDER / f"cell-{self.number}"

    @property
    def mark(self) -> str:
        """The prefix of the marks of this cell's jobs, and only of these."""
        return f"cell-{self.number}-"

    @property
    def verdict(self) -> list[str] | None:
        path = self.folder / "verdict"
        return json.loads(path.read_text()) if path.exists() else None


def main() -> int:
    django.setup()
    from chaos import haste

    seed = int(os.environ["SEED"])
    vendor = connections.settings["default"]["ENGINE"].rpartition(".")[2]
    haste.shorten_waits(haste.MATRIX)
    began = time.monotonic()
    with _simulators() as simulators:
        run = Run(Template({name: simulator.url for name, simulator in simulators.items()}), simulators)
        plain = _plain_cells()
        many = len(plain)
        run.all(plain)
        stories = _stories_by_point(plain)
        for again in range(1, RETELL):
            if not _unmet(stories):
                break
            # On a slow machine a job may end before it is polled, so that its story misses the intended point.
            more = [replace(cell, number=cell.number + again * many) for cell in _plain_cells()]
            run.all(more)
            plain += more
            stories = _stories_by_point(plain)
        cells = _chosen(_cells(stories, random.Random(seed), first=len(plain)))
        log.info("%s: %s points, %s cells", vendor, len(stories), len(cells))
        run.all(cells)
        for _ in range(RETELL):
            # A story may miss a point that it reached before: a poll more or less, a slice that ended earlier.
            cells = [run.retold(cell, stories[cell.point]) if run.is_missed(cell) else cell for cell in cells]
            run.all([cell for cell in cells if not cell.started])
        variants = _naive_cells(vendor, first=len(plain) + 100_000)
        run.all(variants)
        for _again in range(2):
            # If a slow machine cut off a request before it arrived, a blind repeat does no harm.
            variants = [cell if run.problems_of(cell) else run.once_more(cell) for cell in variants]
            run.all([cell for cell in variants if not cell.started])

    problems = [problem for cell in [*plain, *cells] for problem in run.problems_of(cell)]
    problems += _unmet(stories)
    mended = [cell for cell in cells if cell.hung]
    missed = [cell for cell in variants if not run.problems_of(cell)]
    for cell in mended:
        log.warning("needed a supervisor: %s", cell)
    for problem in problems:
        log.error("VIOLATION %s", problem)
    for cell in missed:
        log.error("NOT CAUGHT: %s", cell)

    seconds = round(time.monotonic() - began, 1)
    facts = {"n": len(cells), "seed": seed, "database": vendor}
    report.line("matrix_violations", len(problems), "violations", target="0", met=not problems, **facts)
    report.line("matrix_mended", len(mended), "cells", **facts)
    report.line("matrix_seconds", seconds, "s", **facts)
    for cell in variants:
        caught = len(run.problems_of(cell))
        facts = {"n": 1, "seed": seed, "database": vendor}
        report.line(f"naive_{cell.naive}", caught, "violations", target="> 0", met=caught > 0, **facts)
    return 1 if problems or missed else 0


def _plain_cells() -> list[Cell]:
    from chaos.stories import STORIES

    return [Cell(number, story.name) for number, story in enumerate(STORIES)]


def _stories_by_point(plain: list[Cell]) -> dict[str, list[str]]:
    """The stories that reach each point, as seen in their runs without a fault."""
    stories: dict[str, list[str]] = {}
    for cell in plain:
        if cell.verdict is None:
            continue
        told = json.loads((cell.folder / "told").read_text())
        for point in told["met"]:
            stories.setdefault(point, []).append(cell.story)
        # Import here what the first children had to import, so that the others find it loaded.
        for module in told["modules"]:
            importlib.import_module(module)
    return stories


def _unmet(stories: dict[str, list[str]]) -> list[str]:
    from chaos import points

    met = {point.partition(":")[0].partition("-")[0] for point in stories}
    return [f"no story reaches {name}" for name in sorted(points.names - met - points.UNMET.keys())]


def _cells(stories: dict[str, list[str]], chance: random.Random, first: int) -> list[Cell]:
    """Every point with every fault, in one of the stories that reach the point."""
    from chaos.points import FAULTS

    pairs = [(point, fault) for point in sorted(stories) for fault in FAULTS]
    cells = [
        Cell(first + n, chance.choice(stories[point]), point, fault) for n, (point, fault) in enumerate(pairs)
    ]
    chance.shuffle(cells)
    return cells


def _chosen(cells: list[Cell]) -> list[Cell]:
    """The cells selected by ONLY_CELL (a text in their names) and SAMPLE (how many)."""
    cells = [cell for cell in cells if os.environ.get("ONLY_CELL", "") in str(cell)]
    return cells[: int(os.environ.get("SAMPLE") or len(cells))]


def _naive_cells(vendor: str, first: int) -> list[Cell]:
    cells = [
        Cell(first, "by the list", "openai.Adapter.submit:after", "timeout", "blind_resend"),
        Cell(first + 1, "plain", "lifecycle.complete:after-commit", "kill", "completed_before_stored"),
        Cell(first + 2, "failed by a process with a stale row", naive="refund_without_asking"),
    ]
    if vendor == "postgresql":
        cells.append(Cell(first + 3, "many processes, one account", naive="read_test_save"))
    return cells


def _union(met: dict[str, list[str]]) -> set[str]:
    return {point for points in met.values() for point in points}


class Run:
    """Runs cells to completion, CONCURRENCY at a time."""

    def __init__(self, template: "Template", simulators: dict[str, Simulator]) -> None:
        self.template, self.simulators = template, simulators

    def all(self, cells: list[Cell]) -> None:
        waiting = list(cells)
        live: list[Cell] = []
        try:
            while waiting or live:
                while waiting and len(live) < CONCURRENCY:
                    cell = waiting.pop(0)
                    self.begin(cell)
                    live.append(cell)
                time.sleep(0.05)
                live = [cell for cell in live if not self.has_ended(cell)]
        finally:
            for cell in live:
                self.end(cell)

    def begin(self, cell: Cell) -> None:
        from chaos import points

        shutil.rmtree(cell.folder, ignore_errors=True)
        cell.folder.mkdir()
        self.template.copy(cell)
        if cell.point:
            points.arm(cell.folder, cell.point, cell.fault)
        self.start(cell)
        if cell.fault in ("timeout", "stall"):
            # While the first process hangs, another one takes over.
            cell.rival = _fork(cell, self.dispatch_in_parallel)

    def start(self, cell: Cell) -> None:
        """Start a process that runs the story, or continues it."""
        cell.started += 1
        cell.since = time.monotonic()
        cell.process = _fork(cell, self.tell)

    def has_ended(self, cell: Cell) -> bool:
        if time.monotonic() - cell.since > (TIMEOUT_SECONDS if cell.point else PLAIN_TIMEOUT_SECONDS):
            cell.hung += 1
            _kill(cell.process)
        if not os.waitpid(cell.process, os.WNOHANG)[0]:
            return False
        cell.process = 0
        if cell.verdict is None and cell.started < TRIES:
            self.start(cell)
            return False
        self.end(cell)
        return True

    def end(self, cell: Cell) -> None:
        for pid in filter(None, (cell.process, cell.rival)):
            _kill(pid)
            os.waitpid(pid, 0)
        cell.process = cell.rival = 0
        self.template.drop(cell)

    def tell(self, cell: Cell) -> None:
        from chaos import haste, invariants, naive, points
        from chaos.stories import DEADLINE, STORIES, tell

        if cell.naive:
            naive.VARIANTS[cell.naive]()
        if not cell.point:
            points.met = set()
        known = set(sys.modules)
        story = next(story for story in STORIES if story.name == cell.story)
        settings.JOB_DEADLINE_SECONDS = DEADLINE
        haste.shorten_waits(story.waits)
        (cell.folder / "clock").write_text(str(story.clock))
        found = tell(story, cell.mark)
        found += invariants.judge(self.journals(cell)).violations
        told = {"met": sorted(points.met or ()), "modules": sorted(set(sys.modules) - known)}
        (cell.folder / "told").write_text(json.dumps(told))
        draft = cell.folder / "verdict.draft"
        draft.write_text(json.dumps(found))
        draft.rename(cell.folder / "verdict")

    def dispatch_in_parallel(self, cell: Cell) -> None:
        from chaos.stories import dispatch_until_done

        while True:
            dispatch_until_done()
            time.sleep(0.2)

    def journals(self, cell: Cell) -> list[Any]:
        from chaos.invariants import Journal

        mark = f"[sim:mark-{cell.mark}"
        return [Journal(simulator.journal, mark=mark) for simulator in self.simulators.values()]

    def is_missed(self, cell: Cell) -> bool:
        """Whether nothing is wrong because the fault never happened."""
        from chaos import points

        return cell.verdict == [] and not points.struck(cell.folder)

    def retold(self, cell: Cell, stories: list[str]) -> Cell:
        """The same fault in the next of the stories that reach its point."""
        story = stories[(stories.index(cell.story) + 1) % len(stories)]
        return Cell(cell.number + RETOLD, story, cell.point, cell.fault)

    def once_more(self, cell: Cell) -> Cell:
        """The same cell again, with a new database and folder."""
        return replace(cell, number=cell.number + RETOLD, started=0, hung=0, process=0, since=0.0, rival=0)

    def problems_of(self, cell: Cell) -> list[str]:
        """The problems of a cell that has ended, each with what is needed to reproduce it."""
        from chaos import points

        found = cell.verdict
        problems = [f"it did not end (see {cell.folder}/log)"] if found is None else list(found)
        times = len(points.struck(cell.folder))
        if times != bool(cell.point):
            problems.append(f"the fault happened {times} times")
        return [f"{cell}: {problem}" for problem in problems]


def _fork(cell: Cell, act: Callable[[Cell], None]) -> int:
    """Fork a child, in its own process group, that runs `act` in the cell's environment and exits."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        descriptor = os.open(cell.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        _enter(cell)
        act(cell)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _enter(cell: Cell) -> None:
    from chaos import clock, points

    random.seed()
    settings.DATA_DIR = cell.folder
    settings.MEDIA_ROOT = cell.folder / "media"
    points.control = cell.folder
    clock.file = cell.folder / "clock"
    database = connections.settings["default"]
    is_file = database["ENGINE"].endswith("sqlite3")
    database["NAME"] = str(cell.folder / "db.sqlite3") if is_file else f"cell_{cell.number}"


def _kill(pid: int) -> None:
    """Kill a process and everything it has started. Right after its fork it has no process group yet."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Template:
    """The database that every cell starts with: migrated, with the rows that the stories need."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.database = dict(connections.settings["default"])
        self.is_file = self.database["ENGINE"].endswith("sqlite3")
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], check=True)
        pid = os.fork()
        if not pid:
            _prepare(urls)
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError("could not create the rows of the stories")
        if not self.is_file:
            server = {
                "host": self.database["HOST"],
                "port": self.database["PORT"],
                "user": self.database["USER"],
            }
            self.server = psycopg.connect(**server, dbname="postgres", autocommit=True)

    def copy(self, cell: Cell) -> None:
        if self.is_file:
            shutil.copy(self.database["NAME"], cell.folder / "db.sqlite3")
        else:
            self.server.execute(f'CREATE DATABASE cell_{cell.number} TEMPLATE "{self.database["NAME"]}"')

    def drop(self, cell: Cell) -> None:
        if not self.is_file:
            self.server.execute(f"DROP DATABASE cell_{cell.number} WITH (FORCE)")


def _prepare(urls: dict[str, str]) -> None:
    from chaos.stories import prepare

    status = 1
    try:
        prepare(urls)
        connections.close_all()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@contextmanager
def _simulators() -> Iterator[dict[str, Simulator]]:
    """Two providers: one that honors keys, and one that only has a list."""
    simulators = {
        name: Simulator(settings.DATA_DIR / name, 1, keys=name == "keyed", lists=True)
        for name in ("keyed", "listed")
    }
    try:
        start_all(simulators.values())
        yield simulators
    finally:
        for simulator in simulators.values():
            simulator.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="{asctime} {levelname} {message}", style="{")
    sys.exit(main())
