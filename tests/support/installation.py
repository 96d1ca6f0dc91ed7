"""A whole installation of real processes, as `make run` starts one: web, worker, simulator, a database of its own."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis
import requests

from tests.support.database import POSTGRES, on_server, static_files, template, url_of
from tests.support.fixtures import MANAGE, TEST_TIMEOUT

ROOT = Path(__file__).parents[2]


class Site:
    """Start with `with Site(folder) as site:`; `env` overrides settings."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "DATA_DIR": str(folder),
            "PORT": str(self.port),
            "SIMULATOR_SECONDS": "2",
            "SIMULATOR_DRAFT": "true",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "",
            **env,
        }
        self.log = folder / "site.log"
        self.hands: subprocess.Popen[str] | None = None
        self.one_at_a_time = threading.Lock()  # what asks the hands, since threads do
        if POSTGRES:
            self.database = f"site_{secrets.token_hex(6)}"
            self.env["DATABASE_URL"] = url_of(self.database)
        if os.environ.get("REDIS_URL"):
            # Queues of their own for sites that run side by side.
            worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
            self.env["REDIS_URL"] = re.sub(r"/\d*$", f"/{10 + int(worker) % 5}", os.environ["REDIS_URL"])

    @contextmanager
    def database_of_its_own(self, is_migrated: bool = True) -> Iterator[None]:
        """Its databases, with all tables or with none and an empty Redis, while no process of it runs yet."""
        if redis_url := self.env.get("REDIS_URL"):
            # Rate limits count by the user's number, which the users of an earlier site had too.
            redis.Redis.from_url(redis_url).flushdb()
        if POSTGRES:
            original = template() if is_migrated else "template1"
            on_server(f'CREATE DATABASE "{self.database}" TEMPLATE "{original}"')
        elif is_migrated:
            shutil.copy(template(), self.folder / "db.sqlite3")
        shutil.copytree(static_files(), self.folder / "static", copy_function=os.link)
        try:
            yield
        finally:
            self.fold_hands()
            if POSTGRES:
                on_server(f'DROP DATABASE "{self.database}" WITH (FORCE)')

    def __enter__(self) -> "Site":
        self.resources = ExitStack()
        self.resources.enter_context(self.database_of_its_own())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.resources.close()

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*MANAGE, "serve"], env=self.env, stdout=log, stderr=log)
        end = time.monotonic() + TEST_TIMEOUT
        while "aivideo is running at" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> float:
        """Stop it as Ctrl-C does; the seconds that took."""
        self.fold_hands()
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(TEST_TIMEOUT)
        return time.monotonic() - began

    def kill(self) -> None:
        """End it at once: nobody looks at what it would leave behind."""
        self.fold_hands()
        self.process.kill()  # first who would start the others again
        self.process.wait(TEST_TIMEOUT)
        for pid in processes_of(self, ""):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def manage(self, *arguments: str) -> str:
        """Run a management command of this installation; its output. Raises when it fails."""
        with self.one_at_a_time:
            return self._manage(arguments)

    def _manage(self, arguments: Sequence[str]) -> str:
        if self.hands is None:
            self.hands = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_server"],
                env={**self.env, "DJANGO_SETTINGS_MODULE": "aivideo.settings"},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.hands.stdin
        assert self.hands.stdout
        print(json.dumps(arguments), file=self.hands.stdin, flush=True)
        is_well, said = json.loads(self.hands.stdout.readline())
        assert is_well, said
        return said

    def new_key(self, email: str, credits: int) -> str:
        """An API key of an account that is made for this address, with so many credits."""
        self.manage("grant_credits", email, str(credits), "--reason", "tests", "--create")
        return self.manage("create_api_key", email, "--name", "tests").splitlines()[-1]

    def change_keys(self, email: str, **settings: int) -> None:
        """Change `max_credits` or `repeat_window` of all keys of this account, as on their pages."""
        code = f"ApiKey.objects.filter(user__email={email!r}).update(**{settings})"
        self.manage("shell", "--no-imports", "-c", f"from accounts.models import ApiKey\n{code}")

    def orders_of(self, email: str) -> tuple[list[str], list[int]]:
        """The ids of an account's videos, and the amounts of its charges in the ledger."""
        code = (
            "import json\n"
            "from accounts.models import User\n"
            "from videos.serializers import public_id\n"
            f"user = User.objects.get(email={email!r})\n"
            "charges = user.credit_entries.filter(kind='charge').values_list('amount', flat=True)\n"
            "print(json.dumps([[public_id(video.pk) for video in user.videos.all()], list(charges)]))"
        )
        videos, charges = json.loads(self.manage("shell", "--no-imports", "-c", code))
        return videos, charges

    def fold_hands(self) -> None:
        """End the process of the management commands."""
        if self.hands:
            self.hands.communicate()
            self.hands = None

    def visitor(self) -> "Visitor":
        return Visitor(self.url)


class Visitor(requests.Session):
    """A browser without a window: cookies, and the CSRF token of the last page."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False

    def page(self, path: str) -> str:
        answer = self.get(self.url + path)
        answer.raise_for_status()
        return answer.text

    def submit(self, path: str, data: dict[str, str], **options: object) -> requests.Response:
        token = {"csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
        return self.post(self.url + path, data={**token, **data}, allow_redirects=False, **options)

    def sign_in(self) -> "Visitor":
        """As the demo user."""
        self.page("/accounts/login/")
        assert self.submit("/accounts/demo/", {}).status_code == 302
        self.page("/")
        return self

    @property
    def balance(self) -> int:
        found = re.search(r'id="balance".*?(\d[\d,.\s]*)\s*<', self.page("/credits/"), re.DOTALL)
        assert found
        return int(re.sub(r"\D", "", found.group(1)))


def processes_of(site: Site, name: str) -> list[int]:
    """Process ids of this installation's processes whose command line holds `name`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_text().replace("\0", " ")
            if name in command and f"DATA_DIR={site.env['DATA_DIR']}\0" in (entry / "environ").read_text():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def free_port() -> int:
    """One at which nobody listens, and that no outgoing connection takes before somebody does."""
    while listens(port := secrets.randbelow(10_000) + 20_000):
        pass
    return port


def listens(port: int) -> bool:
    """Whether something answers at this port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
