"""That every bench runs and says what it promises; how fast anything is, is not asked here."""

import json
import os
import subprocess
import sys

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


def test_each_bench_says_what_it_promises_in_json():
    """All in one run, which sets up one installation for them."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *SHORT, "--tiny", "--seed", "7"],
        cwd=BASE_DIR,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        assert line.keys() >= KEYS
        assert line["value"] >= 0
        assert line["seed"] == 7
    said = {line["name"] for line in lines}
    for name, promised in SHORT.items():
        assert said & set(promised), name
    assert said <= {name for promised in SHORT.values() for name in promised}
