"""That every bench runs and says what it promises; how fast anything is, is not asked here."""

import json
import os
import subprocess
import sys

import pytest

from bench.__main__ import BENCHES
from bench.site import BASE_DIR

# A steady state and a recovery are of no meaning on a machine that runs other tests beside them,
# and a moment of the one burst is a moment of the other. What the API is compared with is large to install.
SHORT = {
    name: lines
    for name, lines in BENCHES.items()
    if not name.startswith(("inflight.burst_10000", "inflight.poll", "inflight.web", "recovery", "api"))
}
KEYS = {"name", "value", "unit", "ratio", "against", "n", "seed", "commit"}


def bench(*arguments):
    """What `python -m bench` prints, as lines; fails unless it ends well."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=BASE_DIR,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("name", "promised"), SHORT.items())
def test_each_bench_says_what_it_promises_in_json(name, promised):
    lines = bench(name, "--tiny", "--seed", "7")
    for line in lines:
        assert line.keys() >= KEYS
        assert line["value"] >= 0
        assert line["seed"] == 7
    assert {line["name"] for line in lines} <= set(promised)
