"""An installation for one benchmark: its own folder, database and Redis database, deleted at the end.

Nothing here needs Django's settings. `bench.servers` starts the processes in it.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psycopg
import redis

BASE_DIR = Path(__file__).resolve().parent.parent
OURS = "aivideo-bench"  # marks a Redis database as in use
PATTERN = "BENCH_PATTERN"  # environment variable: the database and folder that sites are copied from


class Site:
    """`with Site() as site:` a migrated production installation, with its settings in `site.env`.

    With `as_pattern`, all others until its end are copies of it, including those of child processes: migrating each
    of them would take most of the time.
    """

    def __init__(self, as_pattern: bool = False) -> None:
        self.as_pattern = as_pattern

    def __enter__(self) -> "Site":
        self.folder = Path(tempfile.mkdtemp(prefix="aivideo-bench-"))
        self.log = self.folder / "site.log"
        port = str(free_port())
        passed_on = {
            name: value
            for name, value in os.environ.items()
            if not re.match("OPENAI_|MODERATION_|GOOGLE_|STRIPE_|AWS_", name)
        }
        self.env = {
            **passed_on,
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "127.0.0.1,testserver",
            "CSRF_TRUSTED_ORIGINS": f"http://127.0.0.1:{port}",
            "SITE_URL": f"http://127.0.0.1:{port}",
            "HOST": "127.0.0.1",
            "PORT": port,
            "DATA_DIR": str(self.folder),
            "USE_MOCK_SORA": "true",
            "USER_RUNNING_VIDEOS": "1000000",
            "PYTHONUNBUFFERED": "1",
        }
        self.server = os.environ.get("DATABASE_URL", "")
        self.database = ""
        self.redis: redis.Redis | None = None
        try:
            if self.server.startswith("postgres"):
                self._make_database()
            else:
                self.env.pop("DATABASE_URL", None)
            if (url := os.environ.get("REDIS_URL")) and not self.as_pattern:
                self._take_redis(url)
            if pattern := os.environ.get(PATTERN):
                shutil.copytree(pattern.partition("@")[2], self.folder, dirs_exist_ok=True)
            else:
                self._manage("migrate")
                self._manage("collectstatic", "--noinput")
            if self.as_pattern:
                os.environ[PATTERN] = f"{self.database}@{self.folder}"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.as_pattern:
            os.environ.pop(PATTERN, None)
        if self.database:
            self._on_server(f'DROP DATABASE "{self.database}" WITH (FORCE)')
        if self.redis:
            self.redis.flushdb()
            self.redis.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_database(self) -> None:
        name = f"bench_{secrets.token_hex(6)}"
        template = os.environ.get(PATTERN, "").partition("@")[0] or "template1"
        self._on_server(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self.database = name
        self.env["DATABASE_URL"] = _at(self.server, name)

    def _take_redis(self, url: str) -> None:
        """Take the last empty database of the server, but never the one that the URL names."""
        named = urlsplit(url).path.strip("/") or "0"
        for name in map(str, range(15, -1, -1)):
            client = redis.Redis.from_url(_at(url, name))
            if name != named and client.dbsize() == 0 and client.set(OURS, os.getpid(), nx=True):
                self.redis = client
                self.env["REDIS_URL"] = _at(url, name)
                return
            client.close()
        raise SystemExit("This Redis server has no empty database, and one in use must not be touched.")

    def _on_server(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement)

    def _manage(self, *arguments: str) -> None:
        command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments, "--verbosity", "0"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)


def _at(url: str, database: str) -> str:
    """The URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
