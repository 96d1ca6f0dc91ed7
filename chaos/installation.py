"""A whole installation of real processes, restarted as by an init system, and the servers it depends on."""

import base64
import json
import logging
import os
import secrets
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from chaos import processes
from chaos.servers import (
    PYTHON,
    ROOT,
    Postgres,
    Redis,
    Server,
    Simulator,
    clean_env,
    create_database,
    drop_database,
    free_port,
    start_all,
    until,
)

log = logging.getLogger(__name__)

MANAGE = [PYTHON, str(ROOT / "manage.py")]
RENDER = 2  # seconds of a simulated render
DEADLINE = 150  # JOB_DEADLINE_SECONDS
DISK = 4096  # size in MB of the disk that is filled up at times; an hour of videos must fit on it
USERS = ["ada", "ben", "cy", "dee", "eve"]


class Site(Server):
    """`manage.py serve`: web and worker, which it restarts when they die."""

    name = "serve"

    def __init__(self, folder: Path, port: int, env: dict[str, str]) -> None:
        super().__init__(folder, port)
        self.settings = env

    def command(self) -> list[str]:
        return [*MANAGE, "serve"]

    def interrupt(self) -> None:
        """Like Ctrl-C."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)

    def env(self) -> dict[str, str]:
        return {**self.settings, "PORT": str(self.port)}


class Installation:
    """Use in a `with` statement. `database` is "sqlite", "postgres" (a private one, with Redis) or a server's URL."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.control = folder / "control"
        self.data = folder / "data"
        self.control.mkdir(parents=True)
        self.data.mkdir()
        self.disk_is_ours = _mount(self.data)
        self.port = free_port()
        self.webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        hooks = (f"{self.url}/webhooks/openai/", self.webhook_secret)
        self.simulators = {
            "keyed": Simulator(folder / "keyed", RENDER, keys=True, lists=True),
            "hooked": Simulator(folder / "hooked", RENDER, keys=True, lists=False, hooks=hooks),
            "listed": Simulator(folder / "listed", RENDER, keys=False, lists=True),
            "blind": Simulator(folder / "blind", RENDER, keys=False, lists=False),
        }
        self.redis = Redis(folder / "redis") if database != "sqlite" and Redis.is_here() else None
        self.postgres = Postgres(folder / "postgres") if database == "postgres" else None
        self.server = self.postgres.url if self.postgres else database
        self.name = f"chaos_{secrets.token_hex(6)}"
        self.env = self._env()
        self.site = Site(folder / "site", self.port, self.env)
        self.resting: set[Server] = set()  # down on purpose: not restarted
        self.closing = threading.Event()
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Installation":
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        start_all([server for server in self.servers() if server is not self.site])
        if self.database != "sqlite":
            self.env["DATABASE_URL"] = create_database(self.server, self.name)
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        urls = {name: simulator.url for name, simulator in self.simulators.items()}
        sessions = self.folder / "sessions.json"
        arguments = f"{USERS!r}, {urls!r}, Path({str(sessions)!r})"
        self.shell(f"from pathlib import Path\nfrom chaos import people\npeople.prepare({arguments})")
        self.sessions: dict[str, str] = json.loads(sessions.read_text())
        self.site.start()
        until(
            lambda: "is running at" in (self.site.folder / "log").read_text(),
            f"the site (see {self.folder}/site/log)",
        )
        self.keeper.start()

    def __exit__(self, *_: object) -> None:
        # The keeper thread ends last: the processes that a thread has started die with it.
        self.resting.add(self.site)
        self.site.interrupt()
        # Processes orphaned by a kill -9 of their parent.
        self.left = processes.end_all(self.control)
        for server in self.servers():
            self.resting.add(server)
            if server is not self.site:
                server.stop()
        self.closing.set()
        if self.database not in ("sqlite", "postgres"):
            drop_database(self.server, self.name)
        if self.disk_is_ours:
            subprocess.run(["umount", "--lazy", str(self.data)], check=False)

    def servers(self) -> list[Server]:
        return [
            server for server in (*self.simulators.values(), self.redis, self.postgres, self.site) if server
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *arguments: str) -> str:
        done = subprocess.run([*MANAGE, *arguments], env=self.env, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, code: str) -> str:
        return self.manage("shell", "--no-imports", "-c", code)

    def _keep(self) -> None:
        """Restart servers that died, like systemd."""
        while not self.closing.wait(0.3):
            for server in self.servers():
                if server.is_dead and server not in self.resting:
                    with suppress(subprocess.CalledProcessError):
                        server.start()

    def _env(self) -> dict[str, str]:
        return {
            **clean_env(),
            "DJANGO_SETTINGS_MODULE": "chaos.settings",
            "CHAOS_CONTROL": str(self.control),
            "DATA_DIR": str(self.data),
            "USE_MOCK_SORA": "false",
            # Unused: each channel has its own URL.
            "OPENAI_BASE_URL": self.simulators["keyed"].url,
            "OPENAI_WEBHOOK_SECRET": self.webhook_secret,
            "JOB_DEADLINE_SECONDS": str(DEADLINE),
            "SIGNUP_CREDITS": "100",
            "REDIS_URL": self.redis.url if self.redis else "",
        }


def _mount(folder: Path) -> bool:
    """Mount a small separate disk that can be filled up. Requires root."""
    if os.getuid() != 0:
        log.warning("Not root: cannot mount a disk, so there will be no full disk.")
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "chaos", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        log.warning("There will be no full disk: %s", done.stderr.strip())
    return done.returncode == 0
