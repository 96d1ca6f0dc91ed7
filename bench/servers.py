"""Run the real processes of this benchmark's installation: web, worker and simulator, as `manage.py serve` starts them."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from subprocess import Popen

from django.conf import settings

from aivideo.management.commands import serve
from bench.site import free_port
from videos import child_processes

TIMEOUT_SECONDS = 60


@contextmanager
def web(**env: str) -> Iterator[str]:
    """Run gunicorn with the product and the simple views of `bench.urls`; yields its URL."""
    url = f"http://{settings.HOST}:{settings.PORT}"
    with running(_command_lines()["web"], env) as process:
        wait_for(f"{url}/healthz", process)
        yield url


@contextmanager
def simulator(render: int, **env: str) -> Iterator[int]:
    """Run the provider, whose jobs take `render` seconds; yields its port. Start it before the worker."""
    command = _command_lines()["simulator"]
    with _simulator(command, render, int(command[-1]), env):
        yield int(command[-1])


@contextmanager
def another_simulator(render: int, folder: Path) -> Iterator[str]:
    """Run a simulator that the product does not know; yields its base URL."""
    port = free_port()
    command = [*_command_lines()["simulator"][:-1], str(port), "--data-dir", str(folder)]
    with _simulator(command, render, port, {}):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def managed(command: str, **env: str) -> Iterator[Popen[bytes]]:
    """Run a management command that runs until it is stopped, such as videoworker."""
    with running([sys.executable, str(settings.BASE_DIR / "manage.py"), command], env) as process:
        yield process


@cache
def _command_lines() -> dict[str, list[str]]:
    """Cached, because each call assigns a new port to the simulator."""
    return serve.command_lines()


@contextmanager
def _simulator(command: list[str], render: int, port: int, env: dict[str, str]) -> Iterator[None]:
    with running(command, {"SIMULATOR_SECONDS": str(render), **env}) as process:
        wait_for(f"http://127.0.0.1:{port}/v1/videos/none", process)
        yield


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[Popen[bytes]]:
    """Run a process, and stop it in the end."""
    process = child_processes.start(command, env=env)
    try:
        yield process
    finally:
        child_processes.stop([process], seconds=10)


def wait_for(url: str, process: Popen[bytes]) -> None:
    """Wait until `url` answers, with any status."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{url} does not answer.")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
