"""A rolling upgrade: an installation of an earlier version gets the present code while its old worker still runs."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.database import POSTGRES
from tests.support.fixtures import TEST_TIMEOUT, wait_until
from tests.support.installation import ROOT, Site
from tests.support.webhook_receiver import SECRET, Receiver

# A commit before the first numbered version.
OLD = "4ea0056"
SCRIPT = ROOT / "tests" / "installation" / "old_installation.py"

# What the present code sees of the installation.
REPORT = """
import json
from django.db.models import Sum
from django_q.models import Failure
from accounts.models import *
from aivideo.models import LedgerCheck
from tests.support.fixtures import queued_messages
from videos.models import *

entries = {}
for reference, kind, amount in CreditEntry.objects.order_by("id").values_list("reference", "kind", "amount"):
    entries.setdefault(reference, []).append([kind, amount])
print(json.dumps({
    "videos": {
        str(video.pk): {
            "status": video.status,
            "is_free": video.is_free,
            "entries": entries.get(video.reference),
            "has_file": bool(video.file) and video.file.storage.exists(video.file.name),
            "batch": video.batch_id and str(video.batch_id),
        }
        for video in Video.objects.all()
    },
    "unfinished": {
        "videos": Video.objects.exclude(next_attempt_at=None).count(),
        "batches": Batch.objects.filter(ended_at=None).count(),
        "deliveries": Delivery.objects.exclude(next_attempt_at=None).count(),
        "messages": queued_messages(),
    },
    "ledger_checks": list(LedgerCheck.objects.values_list("violations", flat=True)),
    "failed_tasks": list(Failure.objects.values_list("func", "result")),
    "payments": [[str(p.pk), p.status, p.clawed_back, p.reason, p.version] for p in Payment.objects.filter(user__username="owner").order_by("pk")],
    "people": {user.username: [user.balance, user.expiring, user.debt] for user in User.objects.all()},
    "sums": dict(User.objects.annotate(sum=Sum("credit_entries__amount")).values_list("username", "sum")),
    "lots": sorted(Lot.objects.filter(user__username="saver").values_list("amount", "left")),
}))
"""


class OldVersion:
    """Processes of the old code, with the packages, the database and the files of a site."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder, self.site = folder, site
        archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True)
        if archive.returncode:
            pytest.skip(f"commit {OLD} is not in the history of this checkout: {archive.stderr.decode()}")
        folder.mkdir()
        subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)

    def run(self, *arguments: str, **options: Any) -> str:
        env = {**self.site.env, "DJANGO_SETTINGS_MODULE": "aivideo.settings"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=env, capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def do(self, function: str, *arguments: str) -> Any:
        """The result of a function of `old_installation.py`."""
        return json.loads(self.run("-", function, *arguments, input=SCRIPT.read_text()))

    @contextmanager
    def process(self, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("w") as output:
            command = [sys.executable, "manage.py", *arguments]
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.site.env, stdout=output, stderr=output
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(TEST_TIMEOUT)


@contextmanager
def old_simulator(old: OldVersion, folder: Path) -> Iterator[str]:
    """A provider that goes on through the whole upgrade; its address."""
    log = folder / "simulator.log"
    with old.process(log, "simulator", "--port", "0", "--data-dir", str(folder / "jobs")) as process:
        listening = "simulator is listening on "
        wait_until(lambda: listening in log.read_text() or process.poll() is not None)
        yield log.read_text().partition(listening)[2].split()[0]


def report(site: Site) -> dict[str, Any]:
    return json.loads(site.manage("shell", "--no-imports", "-c", REPORT))


def wait_until_ended(site: Site, *videos: str) -> None:
    def have_ended() -> bool:
        now = report(site)["videos"]
        return {now[pk]["status"] for pk in videos} <= {"completed", "failed", "canceled"}

    wait_until(have_ended, pause=0.3)


def is_quiet(site: Site) -> bool:
    return not any(report(site)["unfinished"].values())


def ask(site: Site, key: str, body: dict[str, str], idempotency_key: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
    return requests.post(f"{site.url}/v1/videos", json=body, headers=headers)


ORDER = """
from tests.support.fixtures import order
from accounts.models import User
print(order(User.objects.get(username="owner"), "A kite [sim:mark-{name}]").pk)
"""


def order(site: Site, name: str) -> str:
    """Order a video by the present code; its id."""
    return site.manage("shell", "--no-imports", "-c", ORDER.format(name=name)).strip()


@contextmanager
def running(site: Site) -> Iterator[None]:
    """Web and worker of the present version."""
    try:
        site.start()
        yield
    finally:
        site.kill()


def test_an_upgrade_beside_the_old_worker_loses_nothing(tmp_path):
    site = Site(tmp_path / "site", SIMULATOR_SECONDS="1", PRIVATE_NETWORKS_ALLOWED="127.0.0.0/8")
    site.folder.mkdir()
    old = OldVersion(tmp_path / "old", site)
    worker_log = tmp_path / "old_worker.log"
    with (
        site.database_of_its_own(is_migrated=False),
        old_simulator(old, tmp_path) as site.env["SIMULATOR_URL"],
        Receiver() as receiver,
        ExitStack() as present,
    ):
        # An installation of the old version, in use.
        old.run("manage.py", "migrate", "--verbosity", "0")
        seeded = old.do("seed", receiver.url, SECRET)
        key = seeded["key"]
        with old.process(worker_log, "videoworker") as old_worker:
            wait_until(lambda: old.do("is_at_work"))

            # What both versions order on the new tables, the old worker makes.
            site.manage("migrate", "--verbosity", "0")
            wait_until_ended(site, old.do("go_on", key), order(site, "only-old-worker"))

            # Both versions run.
            present.enter_context(running(site))
            ordered = [old.do("go_on", key), order(site, "both-workers")]
            assert ask(site, key, {"prompt": "A kite"}, "new").status_code == 200
            wait_until_ended(site, *ordered)
        assert old_worker.returncode == 0

        # What is left, and what the last old process says, is for the new worker alone.
        old.do("leave", key)
        order(site, "only-new-worker")
        wait_until(lambda: is_quiet(site), pause=0.3)
        check_requests(site, seeded)
        present.close()

        now = report(site)
        check_videos(now["videos"], seeded)
        check_credits(now, seeded)
        check_deliveries(receiver, seeded)
        assert now["failed_tasks"] == []
        assert not any(now["ledger_checks"])
        assert "The ledger is consistent." in site.manage("check_ledger")
        for log in (worker_log.read_text(), site.log.read_text()):
            # On a slow machine SQLite may stay locked for longer than a process waits; then it tries again.
            errors = re.findall(r"Traceback .*\n(?:\s.*\n)*(.*)", log)
            assert all(error.endswith("OperationalError: database is locked") for error in errors), log


@pytest.mark.skipif(bool(POSTGRES), reason="PostgreSQL does not lock the whole database")
def test_the_old_version_gets_its_turn_between_two_migrations(tmp_path):
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    with site.database_of_its_own(is_migrated=False):
        site.manage("migrate", "auth", "--verbosity", "0")
        counts = set()  # of migrations, each time that it could write
        with (
            closing(sqlite3.connect(site.folder / "db.sqlite3", timeout=20, isolation_level=None)) as old,
            ThreadPoolExecutor() as thread,
        ):
            upgrade = thread.submit(site.manage, "migrate", "django_q", "--verbosity", "0")
            while not upgrade.done():
                old.execute("BEGIN IMMEDIATE")
                counts.update(old.execute("SELECT COUNT(*) FROM django_migrations").fetchone())
                old.execute("COMMIT")
                time.sleep(0.01)
            upgrade.result()
    assert len(counts) > 0.7 * (max(counts) - min(counts))


def check_videos(videos: dict[str, Any], seeded: dict[str, Any]) -> None:
    """Every video has ended, and was paid for once, or not at all."""
    fates = {name: (videos[pk]["status"], videos[pk]["is_free"]) for name, pk in seeded["videos"].items()}
    completed, failed, canceled = ("completed", False), ("failed", False), ("canceled", False)
    assert fates == {
        **dict.fromkeys(["queued", "submitting", "unconfirmed", "in_progress", "long", "saving"], completed),
        "late": ("completed", True),
        **dict.fromkeys(["doomed", "failed"], failed),
        "completed": completed,
        **dict.fromkeys(["canceled", "deleted"], canceled),
    }
    for video in videos.values():
        is_paid = video["status"] == "completed" and not video["is_free"]
        assert video["entries"] == [["charge", -10]] + [["refund", 10]] * (not is_paid), video
        assert video["has_file"] == (video["status"] == "completed"), video
    of_batch = Counter(video["status"] for video in videos.values() if video["batch"] == seeded["batch"])
    assert of_batch == {"completed": 6, "failed": 4}  # three were stopped
    others = [pk for pk in videos if pk not in seeded["videos"].values() and not videos[pk]["batch"]]
    assert Counter(videos[pk]["status"] for pk in others) == {"completed": 12, "failed": 1, "canceled": 1}


def check_credits(now: dict[str, Any], seeded: dict[str, Any]) -> None:
    assert now["payments"] == seeded["payments"]
    assert {name: balance - debt for name, (balance, _, debt) in now["people"].items()} == now["sums"]
    # One video was made; the other could not be, since its price is owed.
    assert now["people"]["debtor"] == [0, 0, 10]
    assert now["videos"][seeded["in_debt"]]["status"] == "canceled"
    # What the failed video had cost is in its lot again; what was over has gone.
    assert now["videos"][seeded["expiring"]]["status"] == "failed"
    assert now["people"]["saver"] == [80, 80, 0]
    assert now["lots"] == [[15, 0], [20, 0], [30, 30], [50, 50]]


def check_deliveries(receiver: Receiver, seeded: dict[str, Any]) -> None:
    """Every event came, also that of the batch and the one whose last try was left to the new worker."""
    events = {arrival.id: arrival.event["type"] for arrival in receiver.arrivals}
    assert events[seeded["last_try"]] == "ping"
    assert Counter(events.values()) == {"ping": 2, "video_batch.completed": 1, "video.completed": 5}
    assert all(arrival.is_genuine for arrival in receiver.arrivals)


def check_requests(site: Site, seeded: dict[str, Any]) -> None:
    """Programs and people go on as if nothing had been."""
    again = ask(site, seeded["key"], seeded["once"]["body"], "once")
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (seeded["once"]["answer"], "true")
    assert ask(site, seeded["revoked_key"], {"prompt": "A kite"}, "revoked").status_code == 401
    visitor = site.visitor()
    visitor.cookies["sessionid"] = seeded["session"]
    studio = visitor.page("/")
    assert "A heron in the reeds" in studio
    assert 'name="seconds" value="8" checked' in studio
    assert requests.get(seeded["link"]).headers["Content-Type"] == "video/mp4"
    video = seeded["videos"]["completed"]
    assert visitor.get(f"{site.url}/videos/{video}/file/").status_code == 200
