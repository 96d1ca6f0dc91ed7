"""`python -m bench [ONLY …] [--seed N] [--tiny]`: one JSON object per line on stdout, progress on stderr."""

import argparse
import json
import os
import signal
import subprocess
import sys
from typing import Any

from bench.site import BASE_DIR, Site

# The benchmarks in running order, and the names of the lines that each prints.
BENCHES = {
    "polling.run": ("card", "card_in_full", "card_at_200"),
    "spend.run": ("spend_hot_account", "spend_1000_accounts"),
    "api.run": ("api_retrieve", "api_at_300"),
    "playback.run": ("playback", "playback_nginx"),
    "growth.run": (
        "growth_library",
        "growth_studio",
        "growth_credits",
        "growth_card",
        "growth_spend",
        "growth_claim",
        "growth_admit",
    ),
    "staff.run": ("dashboard", "check_ledger", "close_days"),
    "inflight.burst_1000": ("pump_vs_usual",),
    "inflight.burst_10000": ("pump_vs_usual_10000",),
    "inflight.polling_1000": ("lag_1000_polling", "pump_cpu_polling"),
    "inflight.polling_10000": ("lag_10000_polling", "pump_memory"),
    "inflight.webhooks_1000": ("lag_1000_webhooks", "pump_cpu_webhooks"),
    "inflight.webhooks_10000": ("lag_10000_webhooks",),
    "scale.dispatchers": ("scale_1", "scale_2", "scale_4", "scale_8"),
    "scale.choosing": ("scale_admission",),
    "overload.run": ("overload_1.5", "overload_3"),
    "isolation.run": (
        "isolation_connect",
        "isolation_body",
        "isolation_trickle",
        "isolation_500",
        "isolation_401",
        "isolation_endless",
        "isolation_redirects",
        "isolation_tls",
    ),
    "idle.run": ("idle",),
    "idle.memory": ("worker_memory",),
    "recovery.run": ("recovery_killed_pump", "recovery_hung_cluster"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("only", nargs="*", help="modules (polling) or lines (card_at_200); all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="run each only briefly, to check that it works")
    options = parser.parse_args()
    chosen = [
        bench
        for bench, names in BENCHES.items()
        if not options.only or {bench, bench.partition(".")[0], *names} & set(options.only)
    ]
    if not chosen:
        known = sorted({bench.partition(".")[0] for bench in BENCHES})
        parser.error(f"there is no benchmark {' or '.join(options.only)}. Choose from: {', '.join(known)}.")

    # Clean up databases and processes even if the run is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    database = os.environ.get("DATABASE_URL", "").partition(":")[0] or "sqlite"
    facts = {"seed": options.seed, "commit": _commit()}
    facts["database"] = "postgresql" if database.startswith("postgres") else "sqlite"
    facts["redis"] = bool(os.environ.get("REDIS_URL"))
    with Site(as_pattern=True):
        return max(_run(bench, facts, options.tiny) for bench in chosen)


def _run(bench: str, facts: dict[str, Any], tiny: bool) -> int:
    """Run one benchmark in its own process and installation, and pass on its reports."""
    print(f"{bench} …", file=sys.stderr)
    with Site() as site, site.log.open("w") as log:
        reading, writing = os.pipe()
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.child", bench, str(facts["seed"]), str(writing), *["tiny"] * tiny],
            cwd=BASE_DIR,
            env=site.env,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
        )
        os.close(writing)
        try:
            with os.fdopen(reading) as reports:
                for report in map(json.loads, reports):
                    if isinstance(report, str):
                        print(f"  {report}", file=sys.stderr)
                    else:
                        print(json.dumps({**report, **facts}), flush=True)
            status = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
        if status:
            print("".join(site.log.read_text().splitlines(keepends=True)[-60:]), file=sys.stderr)
            print(f"{bench} failed.", file=sys.stderr)
    return 1 if status else 0


def _commit() -> str:
    git = ["git", "-C", str(BASE_DIR), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
