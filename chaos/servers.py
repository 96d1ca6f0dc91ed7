"""The servers that an installation depends on: databases, queue, providers. Started here so that they can be killed."""

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg

PYTHON = sys.executable
ROOT = Path(__file__).resolve().parents[1]
SECRET_KEY = secrets.token_urlsafe(50)
START_TIMEOUT = 300  # seconds for anything to start, however busy the machine is
PR_SET_PDEATHSIG = 1


def clean_env() -> dict[str, str]:
    """The environment without the settings of any other installation, plus what each of ours needs."""
    foreign: tuple[str, ...] = ("AWS_", "GOOGLE_", "OPENAI_", "SIMULATOR_", "STRIPE_", "CHAOS_", "DJANGO_")
    foreign += (
        "PGOPTIONS",
        "DATABASE_URL",
        "REDIS_URL",
        "USE_MOCK_SORA",
        "JOB_DEADLINE_SECONDS",
        "PORT",
        "HOST",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {"ENV_FILE": os.devnull, "DEBUG": "true", "SECRET_KEY": SECRET_KEY, "PYTHONPATH": str(ROOT)}
    return {**kept, **ours}


class Server:
    """A process with its own port and folder, that can be killed and restarted with both."""

    name = ""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        return clean_env()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=self.env(), stdout=log, stderr=log, cwd=ROOT, preexec_fn=die_with_parent
            )

    def await_start(self) -> None:
        until(lambda: listens(self.port), f"{self.name} on port {self.port} (see {self.folder}/log)")

    def kill(self) -> None:
        """Kill the process without warning, like a power failure."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.kill()


class Simulator(Server):
    """A provider. `keys`: honors Idempotency-Key; `lists`: has a list of jobs; `hooks`: (URL, secret) of its webhooks."""

    def __init__(
        self, folder: Path, seconds: int, *, keys: bool, lists: bool, hooks: tuple[str, str] = ("", "")
    ) -> None:
        super().__init__(folder)
        self.name = folder.name
        self.seconds, self.keys, self.lists, self.hooks = seconds, keys, lists, hooks

    def command(self) -> list[str]:
        manage = [PYTHON, str(ROOT / "manage.py")]
        hooks = ["--webhook-url", self.hooks[0], "--webhook-secret", self.hooks[1]] if self.hooks[0] else []
        return [*manage, "simulator", "--port", str(self.port), "--data-dir", str(self.folder), *hooks]

    def env(self) -> dict[str, str]:
        return {
            **clean_env(),
            "DJANGO_SETTINGS_MODULE": "aivideo.settings",
            "SIMULATOR_SECONDS": str(self.seconds),
            "SIMULATOR_IDEMPOTENCY": str(self.keys),
            "SIMULATOR_LIST": str(self.lists),
            "SIMULATOR_DRAFT": "true",  # nobody looks at the videos
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def journal(self) -> Path:
        return self.folder / "jobs.sqlite3"


class Redis(Server):
    """Redis without persistence: its contents are lost when it dies."""

    name = "redis"

    def command(self) -> list[str]:
        options = {"--port": self.port, "--bind": "127.0.0.1", "--dir": self.folder, "--appendonly": "no"}
        return ["redis-server", *(str(part) for option in options.items() for part in option), "--save", ""]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @staticmethod
    def is_here() -> bool:
        return shutil.which("redis-server") is not None


class Postgres(Server):
    """A private cluster in a temporary folder: the machine's own is never touched."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.user = _postgres_user()
        self.data = folder / "data"
        os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self._as_user("initdb", "-D", str(self.data), "-U", "chaos", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(
                f"\nport = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
                "max_connections = 200\nautovacuum = on\nlog_min_messages = error\n"
            )

    @staticmethod
    def is_here() -> bool:
        return _postgres_bin() is not None

    def start(self) -> None:
        # -W: do not wait here, but in `await_start`, so that other servers can start at the same time.
        self._as_user("pg_ctl", "start", "-W", "-D", str(self.data), "-l", str(self.folder / "log"))

    def await_start(self) -> None:
        until(lambda: self._answers(), f"PostgreSQL (see {self.folder}/log)")

    def kill(self) -> None:
        """Like a crash: nothing is flushed, and the next start recovers from the log."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._as_user("pg_ctl", "stop", "-m", "immediate", "-D", str(self.data))

    @property
    def is_dead(self) -> bool:
        return not (self.data / "postmaster.pid").exists()

    def stop(self) -> None:
        self.kill()

    def backends(self) -> list[int]:
        """The processes that serve a connection. If one is killed, the server restarts all of them."""
        postmaster = (self.data / "postmaster.pid").read_text().splitlines()[0]
        found = []
        for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"127.0.0.1" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    @property
    def url(self) -> str:
        return f"postgres://chaos@127.0.0.1:{self.port}/postgres"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_user(self, program: str, *arguments: str) -> None:
        """Run a program as another user: PostgreSQL refuses to run as root."""
        binaries = _postgres_bin()
        assert binaries is not None
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid} if os.getuid() == 0 else {}
        subprocess.run(
            [str(binaries / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else None,
            cwd=self.folder,
            **who,  # type: ignore[call-overload]
        )


def _postgres_bin() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def _postgres_user() -> pwd.struct_passwd:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def create_database(server: str, name: str) -> str:
    """Create a database on the server of another database's URL; returns its URL."""
    _on_server(server, f'CREATE DATABASE "{name}"')
    return f"{server.rpartition('/')[0]}/{name}"


def drop_database(server: str, name: str) -> None:
    _on_server(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _on_server(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def start_all(servers: Iterable[Server]) -> None:
    servers = list(servers)
    for server in servers:
        server.start()
    for server in servers:
        server.await_start()


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, for whatever reason."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition: Callable[[], bool], what: str, seconds: float = START_TIMEOUT) -> None:
    """Wait for a condition. Raises TimeoutError, which names `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
