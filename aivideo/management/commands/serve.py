"""Everything a small installation needs in one terminal: web server, worker and, for the demo, the simulator."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from videos import child_processes

STOP_TIMEOUT = 9  # seconds from Ctrl-C until every child has ended
START_TIMEOUT = 60  # seconds to wait for the first page


class Command(BaseCommand):
    help = "Run the web server, the worker and, if no provider is configured, the simulator, until Ctrl-C."

    # The checks would load every page and the admin, which only the web server needs; `migrate` runs them.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        signal.signal(signal.SIGINT, lambda *_: stopping.set())
        parent = os.getppid()
        if not _is_free(settings.HOST, settings.PORT):
            raise CommandError(
                f"Port {settings.PORT} on {settings.HOST} is in use. Choose another one: PORT=8001 make run"
            )

        commands = command_lines()
        children = {name: _start(name, command) for name, command in commands.items()}
        url = f"http://{settings.HOST}:{settings.PORT}"
        try:
            for _ in range(START_TIMEOUT * 10):
                if stopping.wait(0.1) or _answers(url) or children["web"].poll() is not None:
                    break
            if children["web"].poll() is not None:
                raise CommandError("The web server did not start; see its message above.")
            if not stopping.is_set():
                self.stdout.write(f"aivideo is running at {url}")
                if settings.USE_MOCK_SORA:
                    self.stdout.write(
                        "All videos come from the simulator: no provider is configured, or USE_MOCK_SORA is true."
                    )
                self.stdout.flush()
            while not stopping.wait(1):
                if os.getppid() != parent:
                    break  # the process that started us is gone
                for name, child in children.items():
                    if child.poll() is not None:
                        self.stderr.write(f"{name} exited with status {child.returncode}; restarting it.")
                        child_processes.kill_group(child)
                        children[name] = _start(name, commands[name])
        finally:
            child_processes.stop(list(children.values()), STOP_TIMEOUT)


def command_lines() -> dict[str, list[str]]:
    """Each child's command line, in starting order."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    commands = {}
    if settings.USE_MOCK_SORA:
        port = _free_port()
        settings.SIMULATOR_URL_FILE.write_text(f"http://127.0.0.1:{port}/v1")
        commands["simulator"] = [*manage, "simulator", "--port", str(port)]
        if settings.OPENAI_WEBHOOK_SECRET:
            # In production the site serves only its public host name.
            own_url = f"http://{settings.HOST}:{settings.PORT}" if settings.DEBUG else settings.SITE_URL
            commands["simulator"] += ["--webhook-url", f"{own_url}/webhooks/openai/"]
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        str(settings.BASE_DIR / "gunicorn.conf.py"),
        "aivideo.wsgi",
        "--chdir",
        str(settings.BASE_DIR),
        "--bind",
        f"{settings.HOST}:{settings.PORT}",
    ]
    # Threads, or one client that downloads a video slowly would block a whole worker. Preloaded, since it never reloads.
    options = ["--preload", "--workers=2", "--threads=8", "--graceful-timeout=5", "--log-level=warning"]
    # Its default is one path for all installations of a user, by which anybody of theirs could stop this one.
    options.append("--no-control-socket")
    commands["web"] = gunicorn + options
    commands["worker"] = [*manage, "videoworker"]
    return commands


def _start(name: str, command: list[str]) -> subprocess.Popen[bytes]:
    # Without us, nobody would end a web server that takes its time, and its port would stay in use: one that is paused, or whose
    # clock is set back while it waits for a worker. Its workers notice that it is gone, and finish what they have begun.
    when_orphaned = signal.SIGKILL if name == "web" else signal.SIGTERM
    return child_processes.start(command, when_orphaned=when_orphaned)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    request = urllib.request.Request(f"{url}/healthz", headers={"Host": _host()})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _host() -> str:
    """A host name that the site serves: in production that need not include its own address."""
    first = settings.ALLOWED_HOSTS[0]
    return "localhost" if first == "*" else first.lstrip(".")
