"""The supervisor: starts the q2 cluster, and starts it again when it ended or hangs."""

import logging
import signal
import subprocess
import time
from datetime import timedelta

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models.functions import Now
from django_q.models import OrmQ, Schedule

from videos import child_processes, queue
from videos.models import PumpSlot, Video, Worker
from videos.webhooks import outbox
from videos.worker import leases

log = logging.getLogger(__name__)

# Seconds.
LOOK = 2
REPORT = 6
REMIND = 10  # how often an event that is due is rung for: its sender has died, or it is to be tried again
HUNG = 10  # how long work may wait without a live pump, though it was rung for
START, MAX_PATIENCE = (
    15,
    240,
)  # what a cluster may need from its start to its first pump; a slow machine more
STOP = 8


SCHEDULES = (
    ("videos.tasks.sweep", Schedule.MINUTES),
    ("videos.tasks.lapse", Schedule.HOURLY),
    ("videos.tasks.tidy", Schedule.DAILY),
    ("aivideo.tasks.close_days", Schedule.HOURLY),
    ("aivideo.tasks.check_ledger", Schedule.DAILY),
)


class Supervisor:
    """Starts the cluster, and starts it anew when it ended or when work waits though it was rung for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting_since: float | None = None
        self.reported = 0.0
        self.reminded = 0.0
        self.patience: float = START
        for function, how_often in SCHEDULES:
            defaults = {"func": function, "schedule_type": how_often, "minutes": 1}
            name = function.rpartition(".")[2]
            Schedule.objects.update_or_create(name=name, defaults=defaults)
        self.start()
        self.report()

    def start(self) -> None:
        # Asked to stop, a cluster whose guard was killed waits for that guard for ever.
        self.cluster: subprocess.Popen[bytes] = child_processes.manage(
            "qcluster", env={"AIVIDEO_WORKER": self.name}, when_orphaned=signal.SIGKILL
        )
        self.started = time.monotonic()

    def look(self) -> None:
        """One look: is the cluster alive, and does somebody pump while there is work?"""
        try:
            if self.cluster.poll() is not None:
                log.error("The cluster ended with status %s; starting it again.", self.cluster.returncode)
                self.restart()
            close_old_connections()
            self.report()
            self.remind()
            self.mend()
        except Exception:
            # The database, Redis or memory is away for a while. Whoever mends others must outlive that.
            log.exception("The supervisor will look again.")
            connection.close()

    def report(self) -> None:
        if time.monotonic() - self.reported > REPORT:
            self.reported = time.monotonic()
            Worker.objects.update_or_create(name=self.name, defaults={"seen_at": Now()})
            Worker.objects.filter(seen_at__lt=Now() - timedelta(days=1)).delete()

    def remind(self) -> None:
        if time.monotonic() - self.reminded > REMIND and outbox.is_due_within(0):
            self.reminded = time.monotonic()
            queue.deliver_later()

    def mend(self) -> None:
        if not Video.objects.live().exists():
            self.waiting_since = None
            return
        if PumpSlot.objects.filter(until__gt=Now()).exists():
            self.waiting_since, self.patience = None, START
            return
        now = time.monotonic()
        if self.waiting_since is None:
            self.waiting_since = now
            queue.wake_any()
        elif now - self.waiting_since > HUNG and now - self.started > self.patience:
            log.error("Work waits and no pump takes it: starting the cluster again.")
            self.waiting_since = None
            self.patience = min(2 * self.patience, MAX_PATIENCE)
            self.restart()
            queue.wake_any()

    def restart(self) -> None:
        child_processes.kill_group(self.cluster)
        if not settings.REDIS_URL:
            # Doorbells that a dead cluster had taken would only come back when it is of no use.
            OrmQ.objects.all().delete()
        self.start()

    def stop(self) -> None:
        """Let the pumps hand back what they have, then end the cluster."""
        try:
            leases.dismiss(self.name)
            Worker.objects.filter(name=self.name).delete()
        finally:
            child_processes.stop([self.cluster], STOP)
