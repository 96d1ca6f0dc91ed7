"""`make chaos`: run everything on every available database. One JSON object per line; exits with 1 on any violation.

RUNS random runs of SECONDS seconds each on each database, and the fault matrix. SEED replays a plan: run n has the
seed SEED+n. ONLY=runs|matrix, DATABASES=sqlite,postgres and ONLY_CELL=text select parts of it.
"""

import logging
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from chaos import report, runs
from chaos.servers import ROOT, Postgres, clean_env, create_database, drop_database

log = logging.getLogger("chaos")

# Enough for a plan to kill more than 500 times on each database.
RUNS, SECONDS = 6, 95


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="{asctime} {message}", style="{", stream=sys.stderr)
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    only = os.environ.get("ONLY", "")
    log.info("SEED=%s replays this plan", seed)
    is_ok = True
    for name, database in _databases().items():
        if only in ("", "matrix"):
            is_ok &= _matrix(database, seed)
        if only in ("", "runs"):
            is_ok &= _runs(name, database, seed)
    return 0 if is_ok else 1


def _databases() -> dict[str, str]:
    """The argument of `Installation` for each database. A private PostgreSQL is crashed, a given server is not."""
    found = {"sqlite": "sqlite"}
    if Postgres.is_here():
        found["postgres"] = "postgres"
    elif url := os.environ.get("DATABASE_URL", ""):
        log.warning("initdb not found: using the given server, without crashing it.")
        found["postgres"] = url
    else:
        log.warning("Neither initdb nor DATABASE_URL found: SQLite only.")
    wanted = os.environ.get("DATABASES", ",".join(found)).split(",")
    return {name: database for name, database in found.items() if name in wanted}


def _runs(name: str, database: str, seed: int) -> bool:
    count = int(os.environ.get("RUNS") or RUNS)
    seconds = float(os.environ.get("SECONDS") or SECONDS)
    outcomes = []
    for number in range(seed, seed + count):
        outcome = runs.run(str(number), database, seconds)
        log.info("%s %s: %s kills, %s", name, number, outcome.kills, outcome)
        for violation in outcome.violations:
            log.error("VIOLATION %s, SEED=%s RUNS=1: %s", name, number, violation)
        outcomes.append(outcome)

    violations = sum(len(outcome.violations) for outcome in outcomes)
    totals = sum((Counter(outcome.counts) for outcome in outcomes), Counter())
    facts: dict[str, Any] = {"n": count, "seed": seed, "database": name}
    report.line("chaos_violations", violations, "violations", target="0", met=not violations, **facts)
    report.line("chaos_kills", sum(outcome.kills for outcome in outcomes), "kills", **facts)
    for what in ("videos", "completed", "failed", "canceled", "jobs", "jobs nobody got", "jobs given away"):
        report.line(f"chaos_{what.replace(' ', '_')}", totals[what], "rows", **facts)
    slowest = max(outcome.drained for outcome in outcomes)
    report.line("chaos_drain", slowest, "s", target=f"< {runs.DRAIN}", met=slowest < runs.DRAIN, **facts)
    report.line("chaos_orphans", sum(len(outcome.left) for outcome in outcomes), "processes", **facts)
    return violations == 0


def _matrix(database: str, seed: int) -> bool:
    """Run the matrix in its own process, because Django can be loaded for only one database."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-matrix-"))
    folder.chmod(0o755)
    (folder / "control").mkdir()
    env = {
        **clean_env(),
        **{name: os.environ[name] for name in ("ONLY_CELL", "SAMPLE") if name in os.environ},
        "DJANGO_SETTINGS_MODULE": "chaos.settings",
        "CHAOS_CONTROL": str(folder / "control"),
        "DATA_DIR": str(folder),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # unused: each channel has its own URL
        "SEED": str(seed),
    }
    server = Postgres(folder / "postgres") if database == "postgres" else None
    name = f"chaos_{secrets.token_hex(6)}"
    try:
        if server:
            server.start()
            server.await_start()
        if database != "sqlite":
            env["DATABASE_URL"] = create_database(server.url if server else database, name)
        return subprocess.run([sys.executable, "-m", "chaos.matrix"], env=env, cwd=ROOT).returncode == 0
    finally:
        if server:
            server.stop()
        elif database != "sqlite":
            drop_database(database, name)


if __name__ == "__main__":
    sys.exit(main())
