"""The commands that operators type, and what they answer to mistakes."""

import gc
import json
import runpy
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress

import pytest
from django.conf import settings as product
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import CreditEntry, User
from aivideo.models import AuditEntry
from tests.support.fixtures import MANAGE, TEST_TIMEOUT, new_user, order, signed_in, wait_until
from tests.support.installation import Site
from tests.support.video_server import server
from videos.catalogue import availability, connections
from videos.generation import lifecycle
from videos.models import Channel, Status, Video, Worker
from videos.providers import ADDRESSES, KINDS, adapter
from videos.worker import dispatcher, leases

pytestmark = pytest.mark.django_db


def run(capsys, *arguments, **options):
    """What a command prints and its exit status."""
    try:
        call_command(*arguments, **options)
        status = 0
    except SystemExit as ending:
        status = ending.code
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_grant_credits_creates_a_new_user_and_adds_to_a_known_one(capsys):
    for expected in (7, 14):
        created = (
            "" if expected > 7 else "Nobody had the address ada@example.com: an account was created for it.\n"
        )
        assert run(capsys, "grant_credits", "ada@example.com", "7", reason="welcome", create=True) == (
            0,
            f"{created}ada@example.com has {expected} credits.\n",
        )
    user = User.objects.get(email="ada@example.com")
    assert list(user.credit_entries.values_list("amount", "kind", "note")) == [(7, "grant", "welcome")] * 2
    assert not user.has_usable_password()


def test_A83_credits_for_an_address_that_nobody_has_are_not_granted_by_mistake():
    with pytest.raises(CommandError, match=r"Nobody has the address ada@example\.com\..*--create"):
        call_command("grant_credits", "ada@example.com", "7", reason="welcome")
    assert not User.objects.exists()


def test_what_the_command_line_does_is_in_the_audit_log(capsys):
    run(capsys, "grant_credits", "ada@example.com", "7", reason="welcome", create=True)
    run(capsys, "create_redeem_codes", "3", credits=5, name="Fair")
    run(capsys, "create_api_key", "ada@example.com", name="tests")
    user = User.objects.get()
    assert list(AuditEntry.objects.order_by("pk").values_list("staff", "action", "target", "reason")) == [
        (None, "grant", f"user:{user.pk}", "welcome"),
        (None, "codes", "codes", "manage.py create_redeem_codes"),
        (None, "new_key", f"user:{user.pk}", "manage.py create_api_key"),
    ]
    assert str(AuditEntry.objects.last()).startswith("The command line ")


@pytest.mark.parametrize(
    ("email", "amount"), [("ada", "5"), ("ada@example.com", "0"), ("ada@example.com", "9" * 20)]
)
def test_grant_credits_refuses_nonsense(email, amount):
    with pytest.raises(CommandError):
        call_command("grant_credits", email, amount, reason="x", create=True)
    assert not User.objects.exists()


def test_grant_credits_does_not_guess_between_people_of_one_address():
    for _ in range(2):
        new_user(email="ada@example.com")
    with pytest.raises(CommandError, match="Several users"):
        call_command("grant_credits", "ada@example.com", "5", reason="x")


def test_check_ledger_is_green_after_every_kind_of_ending(capsys, owner):
    order(owner)
    lifecycle.fail(order(owner), "generation_failed")
    status, shown = run(capsys, "check_ledger")
    assert (status, "The ledger is consistent." in shown) == (0, True)
    status, shown = run(capsys, "check_ledger", "--json")
    assert json.loads(shown) == {
        "users": 1,
        "credit entries": 4,
        "videos": 2,
        "videos unfinished": 1,
        "violations": [],
    }


def _drift(user, video):
    User.objects.filter(pk=user.pk).update(balance=1)


def _lost_refund(user, video):
    Video.objects.filter(pk=video.pk).update(status=Status.FAILED)


def _free_video(user, video):
    Video.objects.filter(pk=video.pk).update(credits=3)


def _refund_of_a_running_video(user, video):
    CreditEntry.objects.create(user=user, amount=10, kind="refund", reference=video.reference)
    User.objects.filter(pk=user.pk).update(balance=100)


def _charge_without_a_video(user, video):
    CreditEntry.objects.create(user=user, amount=-10, kind="charge", reference="video:gone")
    User.objects.filter(pk=user.pk).update(balance=80)


@pytest.mark.parametrize(
    "damage", [_drift, _lost_refund, _free_video, _refund_of_a_running_video, _charge_without_a_video]
)
def test_check_ledger_finds_damage(capsys, owner, damage):
    damage(owner, order(owner))
    status, shown = run(capsys, "check_ledger")
    assert (status, shown.count("WRONG:")) == (1, 1)


def test_doctor_names_what_is_wrong_and_how_to_mend_it(capsys, simulator):
    status, shown = run(capsys, "doctor")
    assert (status, "database: ok" in shown, "providers: ok" in shown) == (1, True, True)
    assert "worker: no worker has ever run" in shown
    Worker.objects.create(name="w", seen_at=timezone.now())
    assert run(capsys, "doctor")[0] == 0


def test_doctor_finds_a_provider_that_does_not_answer(capsys, settings):
    settings.SIMULATOR_URL = "http://127.0.0.1:9/v1"
    status, shown = run(capsys, "doctor")
    assert (status, "http://127.0.0.1:9/v1 does not answer" in shown) == (1, True)


def test_doctor_finds_webhooks_that_nobody_can_take(capsys, settings):
    Channel.objects.update(sends_webhooks=True)
    assert "webhooks: " in (shown := run(capsys, "doctor")[1])
    assert "Set OPENAI_WEBHOOK_SECRET" in shown
    settings.OPENAI_WEBHOOK_SECRET = "whsec_c2VjcmV0"
    assert "webhooks: ok" in run(capsys, "doctor")[1]


def test_doctor_finds_missing_keys_and_a_product_without_sign_in(capsys, settings, monkeypatch):
    settings.USE_MOCK_SORA, settings.DEMO_SIGN_IN = False, False
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "XAI_API_KEY", "FAL_KEY"):
        monkeypatch.delenv(name, raising=False)
    shown = run(capsys, "doctor")[1]
    for name in ("FAL_KEY", "OPENROUTER_API_KEY", "XAI_API_KEY"):
        assert f"{name} is not set" in shown
    assert "nobody can sign in" in shown


def test_openais_own_channel_is_closed_whatever_key_there_is(capsys, settings, monkeypatch):
    settings.USE_MOCK_SORA = False
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    for url in ("", "https://api.openai.com/v1"):
        settings.OPENAI_BASE_URL = url
        assert "openai: OpenAI shut down its video service on September 24, 2026" in run(capsys, "doctor")[1]
        assert not availability.models().exists()
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"
    assert availability.models().filter(slug="sora-2").exists()


def test_doctor_asks_a_server_of_your_own_that_needs_no_key(capsys, settings, monkeypatch):
    settings.USE_MOCK_SORA, settings.OPENAI_BASE_URL = False, "http://127.0.0.1:9/v1"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "openai: http://127.0.0.1:9/v1 does not answer" in run(capsys, "doctor")[1]


def test_readyz_names_the_part_that_is_missing():
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "ok"
    assert answer.json()["worker"].startswith("no worker")
    Worker.objects.create(name="w", seen_at=timezone.now())
    assert Client().get("/readyz").json() == {
        "database": "ok",
        "storage": "ok",
        "worker": "ok",
        "pump": "ok",
    }


def test_readyz_says_when_work_waits_and_nobody_pumps(owner):
    video = order(owner)
    Worker.objects.create(name="here", seen_at=timezone.now())
    assert Client().get("/readyz").json()["pump"] == "ok"
    Video.objects.filter(pk=video.pk).update(queued_at=timezone.now() - timezone.timedelta(minutes=1))
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["pump"]) == (
        503,
        "videos have been due for 30 s and no dispatcher holds a lease",
    )
    slot = leases.acquire_slot()
    assert Client().get("/readyz").json()["pump"] == "ok"
    dispatcher.PumpSlot.objects.filter(pk=slot.pk).delete()
    assert Client().get("/healthz").status_code == 200


def test_the_demo_has_videos_in_every_kind_of_state_and_repeats_nothing(capsys):
    for _ in range(2):
        assert run(capsys, "demo")[0] == 0
    states = sorted(Video.objects.values_list("status", flat=True))
    assert states == sorted(["completed"] * 3 + ["failed"] * 2 + ["canceled"] + ["queued"] * 2)
    assert run(capsys, "check_ledger")[0] == 0
    user = User.objects.get()
    page = signed_in(user).get("/videos/").content.decode()
    assert page.count("/poster/") >= 3


def test_the_demo_exists_only_in_demo_mode(settings):
    settings.DEMO_SIGN_IN = False
    with pytest.raises(CommandError):
        call_command("demo")


def test_A49_staff_can_neither_edit_the_ledger_nor_a_balance(as_staff, owner):
    entry = owner.credit_entries.get()
    for action in ("change", "delete"):
        assert (
            as_staff.post(f"/admin/accounts/creditentry/{entry.pk}/{action}/", {"amount": 999}).status_code
            == 403
        )
    assert as_staff.post("/admin/accounts/creditentry/add/", {}).status_code == 403
    as_staff.post(f"/admin/accounts/user/{owner.pk}/change/", {"username": owner.username, "balance": "999"})
    owner.refresh_from_db()
    assert owner.balance == 100


def test_people_who_are_not_staff_do_not_enter_the_admin(as_owner):
    assert as_owner.get("/admin/videos/video/").status_code == 302


def test_the_database_is_the_one_that_was_asked_for():
    """So that a suite meant for PostgreSQL cannot pass on SQLite unnoticed."""
    import os

    expected = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    assert connection.vendor == expected


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        ((200, {"data": []}), 0, "answers and takes the key"),
        ((404, {"error": {"message": "no"}}), 0, "the key is unproven"),
        ((401, {"error": {"message": "no"}}), 1, "the key in OPENAI_API_KEY is refused"),
        ((402, {"error": {"message": "no"}}), 1, "the account is empty"),
        (
            (403, {"error": {"message": "Your organization must be verified to use the model."}}),
            1,
            "https://platform.openai.com/settings/organization/general",
        ),
        ((429, {}), 1, "quota"),
        ((500, {}), 1, "HTTP 500"),
        (None, 1, "does not answer"),
    ],
)
def test_doctor_asks_providers_something_that_costs_nothing(capsys, settings, answer, status, sentence):
    settings.USE_MOCK_SORA = False
    asked = []

    def provider(method, path):
        asked.append((method, path))
        return answer

    with server(provider) as settings.OPENAI_BASE_URL:
        ended, shown = run(capsys, "doctor", "--providers")
    assert (ended, sentence in shown) == (status, True), shown
    assert set(asked) == {("GET", "/v1/models")}
    assert "fal: not checked: FAL_KEY is not set" in shown
    assert "simulator: not checked: providers are configured" in shown


def test_a_process_starts_without_the_sdks_that_only_few_of_them_need():
    code = (
        "import sys, django; django.setup(); import aivideo.urls, videos.worker.dispatcher;"
        " print({'openai', 'stripe'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=product.BASE_DIR)
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr


MOCK = "USING MOCK SORA SERVICE FOR TESTING"


def test_the_start_says_that_the_service_is_a_mock(settings):
    assert settings.USE_MOCK_SORA
    assert connections.service_line() == MOCK


def test_the_start_says_which_services_are_used_and_shows_no_key(settings, monkeypatch):
    settings.USE_MOCK_SORA, settings.OPENAI_BASE_URL = (
        False,
        "https://me:secret@video.example.com:8443/v1?key=secret",
    )
    for name in ("OPENROUTER_API_KEY", "XAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAL_KEY", "secret")
    line = "USING REAL VIDEO SERVICE: fal (https://queue.fal.run), openai (https://video.example.com:8443/v1)"
    assert connections.service_line() == line
    Channel.objects.update(enabled=False)
    assert (
        connections.service_line()
        == "USING REAL VIDEO SERVICE: no channel is available, see manage.py doctor"
    )


def test_the_address_of_a_protocol_is_that_of_its_adapter():
    assert {kind: adapter(kind).default_url for kind in KINDS} == ADDRESSES


@contextmanager
def logged(site, command):
    """What a process of this site has said so far, as a function."""
    with site.log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=product.BASE_DIR, env=site.env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield site.log.read_text
    finally:
        process.terminate()
        process.wait(TEST_TIMEOUT)


REAL = {"USE_MOCK_SORA": "false", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "FAL_KEY": ""}
GUNICORN = [sys.executable, "-m", "gunicorn", "aivideo.wsgi", "--workers", "2", "--no-control-socket"]


@pytest.mark.parametrize("part", ["web", "worker"])
def test_a_part_that_is_started_alone_says_once_which_service_is_used(tmp_path, part):
    site = Site(tmp_path, **REAL)
    web = [*GUNICORN, "--bind", f"127.0.0.1:{site.port}"]
    line = "USING REAL VIDEO SERVICE: openai (http://127.0.0.1:9/v1)"
    with (
        site.database_of_its_own(),
        logged(site, web if part == "web" else [*MANAGE, "videoworker"]) as said,
    ):
        wait_until(lambda: line in said())
        wait_until(lambda: part == "worker" or (said().count("Booting worker") == 2 and answers(site)))
        assert said().count("USING ") == 1


def test_a_web_without_tables_starts_and_names_no_service(tmp_path):
    site = Site(tmp_path, **REAL, DATABASE_URL="")
    with logged(site, [*GUNICORN, "--bind", f"127.0.0.1:{site.port}"]) as said:
        wait_until(lambda: answers(site))
        assert "USING" not in said()
        assert "Traceback" not in said()


def test_a_full_garbage_collection_leaves_out_what_a_web_process_has_loaded_at_its_start():
    try:
        runpy.run_path(str(product.BASE_DIR / "gunicorn.conf.py"))["_freeze"]()
        assert gc.get_freeze_count() > 50_000
    finally:
        gc.unfreeze()


PRELOAD = """
import runpy, threading
import aivideo.wsgi
runpy.run_path("gunicorn.conf.py")["_freeze"]()
from django.db import connections
print([one.alias for one in connections.all() if one.connection], threading.active_count())
"""


def test_what_is_loaded_before_the_web_server_forks_opens_no_connection_and_starts_no_thread():
    done = subprocess.run(
        [sys.executable, "-c", PRELOAD], cwd=product.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] 1\n"


def test_all_that_serve_starts_say_which_service_is_used(tmp_path):
    with Site(tmp_path) as site:
        wait_until(lambda: site.log.read_text().count(f"INFO videos.catalogue.connections: {MOCK}") == 2)
        for _ in range(20):
            assert answers(site)
        assert site.log.read_text().count(MOCK) == 2  # the web's and the worker's


def answers(site):
    with suppress(OSError):
        return urllib.request.urlopen(f"{site.url}/healthz", timeout=5).status == 200
