"""Whether this installation works, for load balancers (`/healthz`, `/readyz`) and for people (`doctor`)."""

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
from videos.models import PumpSlot, Status, Video, Worker

# A worker reports every few seconds; one that has been silent for longer is gone or hung.
SILENCE = timedelta(seconds=30)


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers, and which version it runs."""
    return HttpResponse(f"ok {__version__}", content_type="text/plain")


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Each part by name: "ok" or what is wrong, in a word, since anybody may ask. 503 if anything is."""
    report = {name: (problem(check) or "ok").partition(":")[0] for name, check in CHECKS.items()}
    return JsonResponse(report, status=200 if set(report.values()) == {"ok"} else 503)


def problem(check: Callable[[], str | None]) -> str | None:
    """What a check finds wrong, or None. A check that breaks is a finding: that is what it is for."""
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def database() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return None


def storage() -> str | None:
    """Write, read and delete a small file. A store that hangs must not take the threads of the site with it."""
    storage = getattr(default_storage, "impatient", default_storage)
    name = storage.save(f"probe/{uuid.uuid4().hex}", ContentFile(b"ok"))
    try:
        with storage.open(name) as file:
            if file.read() != b"ok":
                return "a file came back different"
    finally:
        storage.delete(name)
    return "a deleted file is still there" if storage.exists(name) else None


def worker() -> str | None:
    last = Worker.objects.order_by("-seen_at").values_list("seen_at", flat=True).first()
    if last is None:
        return "no worker has ever run: start `manage.py videoworker`"
    if timezone.now() - last > SILENCE:
        return f"no worker since {last:%Y-%m-%d %H:%M:%S} UTC: start `manage.py videoworker`"
    return None


def pump() -> str | None:
    """Work that waits must have somebody who does it: a live lease on a pump slot."""
    if PumpSlot.objects.filter(until__gt=Now()).exists():
        return None
    overdue = Q(next_attempt_at__lt=Now() - SILENCE) | Q(status=Status.QUEUED, queued_at__lt=Now() - SILENCE)
    if Video.objects.live().filter(overdue).exists():
        return f"videos wait and no pump has held a slot for {SILENCE.seconds} s"
    return None


CHECKS = {"database": database, "storage": storage, "worker": worker, "pump": pump}
