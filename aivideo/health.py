"""Health checks of this installation, for load balancers (`/healthz`, `/readyz`) and for `manage.py doctor`."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.decorators import login_not_required
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from aivideo import __version__
from videos.models import Status, Video, Worker
from videos.worker import leases

# A worker sends a heartbeat every few seconds; one that has been silent for this long has died or hangs.
SILENCE = timedelta(seconds=30)


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: this process answers, with its version."""
    return HttpResponse(f"ok {__version__}", content_type="text/plain")


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Readiness: "ok" or the problem for each part, without details, since anybody may ask. 503 if any has one."""
    report = {name: (problem(check) or "ok").partition(":")[0] for name, check in CHECKS.items()}
    return JsonResponse(report, status=200 if set(report.values()) == {"ok"} else 503)


def problem(check: Callable[[], str | None]) -> str | None:
    """The problem that a check finds, or None. A check that raises has found one."""
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def database() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return None


def storage() -> str | None:
    """Write, read and delete a small file. Short timeouts: a store that hangs must not block the web threads."""
    storage = getattr(default_storage, "impatient", default_storage)
    name = storage.save(f"probe/{uuid.uuid4().hex}", ContentFile(b"ok"))
    try:
        with storage.open(name) as file:
            if file.read() != b"ok":
                return "a file was read back with other content"
    finally:
        storage.delete(name)
    return "a deleted file is still there" if storage.exists(name) else None


def worker() -> str | None:
    last = Worker.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    if last is None:
        return "no worker has ever run: start `manage.py videoworker`"
    if timezone.now() - last > SILENCE:
        return f"no heartbeat since {last:%Y-%m-%d %H:%M:%S} UTC: start `manage.py videoworker`"
    return None


def dispatcher() -> str | None:
    """If videos are due, a dispatcher must hold a lease."""
    if leases.live_slots().exists():
        return None
    overdue = Q(next_attempt_at__lt=Now() - SILENCE) | Q(status=Status.QUEUED, queued_at__lt=Now() - SILENCE)
    if not leases.live_slots(SILENCE).exists():
        overdue |= ~Q(held_by="")  # the dispatcher that knew when to poll them is gone
    if Video.objects.live().filter(overdue).exists():
        return f"videos have been due for {SILENCE.seconds} s and no dispatcher holds a lease"
    return None


# "pump" is what monitoring knows the dispatcher by.
CHECKS = {"database": database, "storage": storage, "worker": worker, "pump": dispatcher}
