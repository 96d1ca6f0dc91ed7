"""`manage.py serve` as an init system sees it: whatever kills it, it can be started again."""

import os
import signal
import socket

import pytest

from tests.support.fixtures import wait_until
from tests.support.installation import Site, processes_of
from tests.support.sabotage import becomes, without


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return bool(probe.connect_ex(("127.0.0.1", port)))


@without(
    "the end of an orphaned web server",
    "aivideo.management.commands.serve._start",
    becomes('signal.SIGKILL if name == "web" else signal.SIGTERM', "signal.SIGTERM"),
)
@pytest.mark.parametrize("is_paused", [False, True])
def test_after_a_kill_9_it_starts_again_on_the_same_port(tmp_path, is_paused):
    """Also if its web server cannot react: it is paused, or waits for a worker by a clock that was set back."""
    with Site(tmp_path) as site:
        web = min(processes_of(site, "gunicorn"))
        if is_paused:
            os.kill(web, signal.SIGSTOP)
        site.process.kill()
        site.process.wait()
        wait_until(lambda: is_free(site.port))
        site.start()
        assert min(processes_of(site, "gunicorn")) != web
