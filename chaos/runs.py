"""Random runs: a real installation under load, a seeded plan of faults, then a quiet phase and a check of everything."""

import json
import logging
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos import faults
from chaos.installation import Installation
from chaos.servers import until
from chaos.visitors import Visitor

log = logging.getLogger(__name__)

KILL_EVERY = 0.9  # seconds, on average
FIRST_VIDEO = 300  # seconds within which even a slow machine must accept a click without faults
DRAIN = 300  # seconds after the last fault within which everything must have ended


@dataclass(frozen=True)
class Outcome:
    kills: int
    faults: dict[str, int]
    counts: dict[str, int]
    drained: float  # seconds from the last fault to the end of the last video
    unanswered: int
    left: list[str]  # processes that were still running after a regular stop
    violations: list[str]


def run(seed: str, database: str, seconds: float) -> Outcome:
    """One run with `seconds` of faults. Its folder is kept if something is wrong.

    The time starts at the first accepted click: before that, a fault has nothing to lose, and how long it takes
    depends on the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)  # PostgreSQL is another user
    storm: dict[str, str] = {}
    with Installation(folder, database) as site:
        visitors = [
            Visitor(site.url, name, site.sessions.get(name), seed, storm) for name in ["demo", *site.sessions]
        ]
        for visitor in visitors:
            visitor.start()
        until(
            lambda: any(visitor.book.accepted for visitor in visitors),
            f"the first video (see {folder})",
            FIRST_VIDEO,
        )
        injector = faults.Injector(site, storm)
        injector.carry_out(faults.plan(seed, seconds, KILL_EVERY), seconds)
        log.info("%s: faults are over: %s", seed, dict(injector.done))
        for visitor in visitors:
            visitor.closing.set()
        for visitor in visitors:
            visitor.join(60)
            visitor.given_up.set()
        for visitor in visitors:
            visitor.join()
        verdict = judge(site, visitors)

    wrong = [problem for visitor in visitors for problem in visitor.book.wrong]
    outcome = Outcome(
        kills=injector.kills,
        faults=dict(injector.done),
        counts=verdict["counts"],
        drained=verdict["drained"],
        unanswered=sum(visitor.book.unanswered for visitor in visitors),
        left=site.left,
        violations=[*verdict["violations"], *wrong],
    )
    if outcome.violations:
        log.error("%s: all files are kept in %s", seed, folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def judge(site: Installation, visitors: list[Visitor]) -> dict[str, Any]:
    clicks: dict[str, Any] = {"accepted": {}, "refused": [], "canceled": [], "deleted": []}
    for visitor in visitors:
        book = asdict(visitor.book)
        clicks["accepted"] |= book["accepted"]
        for name in ("refused", "canceled", "deleted"):
            clicks[name] += book[name]
    (site.folder / "clicks.json").write_text(json.dumps(clicks))
    journals = {name: str(simulator.journal) for name, simulator in site.simulators.items()}
    arguments = f"Path({str(site.folder)!r}), {journals!r}, {DRAIN}"
    site.shell(f"from pathlib import Path\nfrom chaos import invariants\ninvariants.main({arguments})")
    return json.loads((site.folder / "verdict.json").read_text())
