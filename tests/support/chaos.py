"""Short runs of `make chaos`."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def chaos(**narrowed):
    """The figures of a run that found nothing wrong, by name."""
    database = "postgres" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    env = {**os.environ, "DATABASES": database, "SEED": "1", **narrowed}
    done = subprocess.run([sys.executable, "-m", "chaos"], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return {figure["name"]: figure for figure in map(json.loads, done.stdout.splitlines())}
