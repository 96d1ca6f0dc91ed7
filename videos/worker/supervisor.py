"""The supervisor: starts the two q2 clusters, and restarts one when it exits or hangs."""

import logging
import os
import signal
import time
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models.functions import Now
from django.utils import timezone
from django_q.cluster import Cluster
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule

from accounts import low_balance
from videos import child_processes, queue
from videos.models import Video, Worker
from videos.webhooks import outbox
from videos.worker import leases

log = logging.getLogger(__name__)

# Seconds.
LOOK = 2
REPORT = 6
REMIND = 10  # minimum interval between messages for due deliveries (retries, or their sender crashed)
# How often to look whether a balance has become low; and how long what was then asked for may take.
ACCOUNTS, ATTENDING = 15, 60
HUNG = 10  # how long videos may wait without a live dispatcher after a wake-up message
# How long a cluster may take from its start to its first dispatcher; doubled after each restart, up to the maximum.
START, MAX_PATIENCE = 15, 240
STOP = 8
# When a new task of the schedule is due first: no worker of the version before, which does not know it, is left by then.
FIRST_RUN = timedelta(minutes=10)

CLUSTERS = (queue.DISPATCH, queue.CHORES)

SCHEDULES = (
    ("videos.tasks.sweep", Schedule.MINUTES),
    ("videos.tasks.lapse", Schedule.HOURLY),
    ("videos.tasks.tidy", Schedule.DAILY),
    ("aivideo.tasks.close_days", Schedule.HOURLY),
    ("aivideo.tasks.settle_open_payments", Schedule.HOURLY),
    ("aivideo.tasks.check_ledger", Schedule.DAILY),
    ("aivideo.tasks.check_purchases", Schedule.DAILY),
)


class Supervisor:
    """Starts the clusters, and restarts one when it exits, or the dispatchers' when videos wait although it was woken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting_since: float | None = None
        self.reported = 0.0
        self.reminded = 0.0
        self.looked_at_accounts = 0.0
        self.patience: float = START
        self.clusters: dict[str, BaseProcess] = {}

    def begin(self) -> None:
        """Start the clusters. If this fails half-way, `stop` ends those that run."""
        for function, how_often in SCHEDULES:
            defaults = {"func": function, "schedule_type": how_often, "minutes": 1}
            Schedule.objects.update_or_create(
                name=function.rpartition(".")[2],
                defaults=defaults,
                create_defaults={**defaults, "next_run": timezone.now() + FIRST_RUN},
            )
        for cluster in CLUSTERS:
            self.start(cluster)
        self.report()

    def start(self, cluster: str) -> None:
        # SIGKILL, because a cluster whose guard process was killed never reacts to SIGTERM: it waits for the guard.
        self.clusters[cluster] = child_processes.fork(
            cluster, partial(_run_cluster, cluster, self.name), when_orphaned=signal.SIGKILL
        )
        if cluster == queue.DISPATCH:
            self.started = time.monotonic()

    def look(self) -> None:
        """One check: are the clusters alive, and is a dispatcher running while there is work?"""
        try:
            for name, cluster in list(self.clusters.items()):
                if cluster.exitcode is not None:
                    log.error("The cluster %s exited with status %s; restarting it.", name, cluster.exitcode)
                    self.restart(name)
            close_old_connections()
            self.report()
            self.remind()
            self.mend()
            self.look_at_accounts()
        except Exception:
            # The database, Redis or memory may be unavailable for a while. The supervisor must survive that.
            log.exception("The supervisor's check failed; it will try again.")
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

    def look_at_accounts(self) -> None:
        if time.monotonic() - self.looked_at_accounts > ACCOUNTS:
            self.looked_at_accounts = time.monotonic()
            if low_balance.due().exists():
                queue.attend_to_low_balances_later()
                self.looked_at_accounts += ATTENDING - ACCOUNTS

    def mend(self) -> None:
        if not Video.objects.live().exists():
            self.waiting_since = None
            return
        if leases.live_slots().exists():
            self.waiting_since, self.patience = None, START
            return
        now = time.monotonic()
        if self.waiting_since is None:
            self.waiting_since = now
            queue.wake_any()
        elif now - self.waiting_since > HUNG and now - self.started > self.patience:
            log.error("Videos are waiting but no dispatcher is running; restarting its cluster.")
            self.waiting_since = None
            self.patience = min(2 * self.patience, MAX_PATIENCE)
            self.restart(queue.DISPATCH)
            queue.wake_any()

    def restart(self, cluster: str) -> None:
        child_processes.kill_group(self.clusters[cluster])
        if not settings.REDIS_URL:
            # Messages locked by the dead cluster would be redelivered too late to be of use.
            OrmQ.objects.filter(key=cluster).delete()
        self.start(cluster)

    def stop(self) -> None:
        """Let the dispatchers finish their running steps, then stop the clusters."""
        end = time.monotonic() + STOP
        clusters = list(self.clusters.values())
        for cluster in clusters:
            cluster.terminate()
        try:
            Worker.objects.filter(name=self.name).delete()
            while any(cluster.is_alive() for cluster in clusters) and time.monotonic() < end:
                # Again and again: another process of the cluster may have taken a message before it had to stop.
                leases.revoke_slots(self.name)
                time.sleep(0.5)
        finally:
            for cluster in clusters:
                cluster.join(max(0.0, end - time.monotonic()))
                child_processes.kill_group(cluster)


def _run_cluster(name: str, worker: str) -> None:
    """Be a q2 cluster, in a process of its own, as `manage.py qcluster` would be with Q_CLUSTER_NAME set.

    q2 read the settings of the default one when it was imported, in the supervisor.
    """
    Conf.CLUSTER_NAME = name
    for option, value in settings.Q_CLUSTER["ALT_CLUSTERS"].get(name, {}).items():
        setattr(Conf, option.upper(), value)
    os.environ["AIVIDEO_WORKER"] = worker
    child_processes.let_no_fork_outlive_its_parent()
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()
