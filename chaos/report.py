"""One JSON object per line on stdout, in the same format as the benchmarks; everything else goes to stderr."""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

from bench import report


def line(name: str, value: float, unit: str, *, seed: int, **more: Any) -> None:
    """See `bench.report.line`."""
    print(
        json.dumps({**report.line(name, value, unit, **more), "seed": seed, "commit": _commit()}), flush=True
    )


@functools.cache
def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
