"""That every bench runs and says what it promises; how fast anything is, is not asked here."""

import json
import os
import socketserver
import subprocess
import sys
import threading

from bench import load
from bench.__main__ import BENCHES
from bench.site import BASE_DIR, PATTERN
from tests.support.database import POSTGRES, static_files, template

# A steady state and a recovery are of no meaning on a machine that runs other tests beside them,
# and a moment of the one burst is a moment of the other. What the API is compared with is large to install.
SHORT = {
    name: lines
    for name, lines in BENCHES.items()
    if not name.startswith(
        ("inflight.burst_10000", "inflight.poll", "inflight.web", "isolation", "recovery", "api")
    )
}
KEYS = {"name", "value", "unit", "ratio", "against", "n", "seed", "commit"}


def test_each_bench_says_what_it_promises_in_json():
    """All in one run, whose installations are copies of what the other tests use."""
    database, folder = template(), static_files().parent  # of SQLite, the database is in that folder
    pattern = f"{database if POSTGRES else ''}@{folder}"
    done = subprocess.run(
        [sys.executable, "-m", "bench", *SHORT, "--tiny", "--seed", "7"],
        cwd=BASE_DIR,
        env={**os.environ, PATTERN: pattern},
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


class ClosesWhenAskedAgain(socketserver.StreamRequestHandler):
    """Answers the first request of a connection and closes it at the second, as if it had been idle for too long."""

    def handle(self):
        self.head()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.head()

    def head(self):
        while self.rfile.readline().strip():
            pass


def test_the_load_generator_asks_again_on_a_new_connection_when_an_idle_one_was_closed():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ClosesWhenAskedAgain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        order = load.Order(server.server_address[1], [("/", "")], seconds=0.2, connections=1)
        answer = load.get(order)
        server.shutdown()
    assert answer["statuses"].keys() == {"200"}
