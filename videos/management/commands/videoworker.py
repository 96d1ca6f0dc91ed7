"""The worker: two django-q2 clusters and a supervisor that restarts one when it hangs."""

import logging
import os
import signal
import socket
import threading
import time
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from videos.catalogue import connections
from videos.worker.supervisor import LOOK, Supervisor

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run the worker: two django-q2 clusters and a supervisor that restarts one when it hangs."

    # The checks would load every page and the admin, which a worker does not serve; `migrate` runs them.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        signal.signal(signal.SIGINT, lambda *_: stopping.set())
        # What the processes of the clusters need, once for all of them. A dispatcher that imported the SDK between two
        # renewals of its leases would lose them on a busy machine.
        for module in ("videos.tasks", "videos.providers.openai"):
            import_module(module)
        connections.announce_service()
        # Left behind by killed downloads; those of other running workers are newer.
        _remove_old_parts()
        supervisor = Supervisor(f"{socket.gethostname()}:{os.getpid()}")
        try:
            supervisor.begin()
            while not stopping.wait(LOOK):
                supervisor.look()
        finally:
            supervisor.stop()


def _remove_old_parts() -> None:
    parts = settings.DATA_DIR / "parts"
    for part in parts.glob("*.part"):
        if time.time() - part.stat().st_mtime > 3600:
            part.unlink(missing_ok=True)
