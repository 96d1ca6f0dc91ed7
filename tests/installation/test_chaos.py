"""A minute of `make chaos`: some cells of its matrix, and one short run of a whole installation under faults."""

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


def test_some_faults_at_some_crash_points_do_no_harm_and_the_checks_see_what_would():
    figures = chaos(ONLY="matrix", SAMPLE="10")
    assert figures["matrix_violations"]["value"] == 0
    assert figures["matrix_violations"]["n"] == 10
    assert all(figure["value"] > 0 for name, figure in figures.items() if name.startswith("naive_"))


def test_a_site_whose_processes_are_killed_all_the_time_loses_nothing():
    figures = chaos(ONLY="runs", RUNS="1", SECONDS="8")
    assert figures["chaos_violations"]["value"] == 0
    assert figures["chaos_kills"]["value"] > 0
    assert figures["chaos_videos"]["value"] > 0
