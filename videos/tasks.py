"""The queue's tasks. A message is only a wake-up: what there is to do is read from the database.

Task names are a wire format: queued messages and schedules refer to them.
"""

from django_q.conf import Conf

from accounts import credits, expiry_mail, low_balance, signup_credits
from videos import queue
from videos.api import idempotency
from videos.generation import cancellation
from videos.media import orphans
from videos.moderation import gate
from videos.webhooks import outbox
from videos.worker import dispatcher, leases, provider_webhooks


def generate(video_id: str) -> None:
    """Wake-up for a new video: runs the dispatcher, which drives all videos, unless one is running already.

    Duplicate and lost messages are harmless.
    """
    _dispatch()


def sweep() -> None:
    """Wake-up for no particular video: from a dispatcher to its successor, every minute, and from the supervisor."""
    _dispatch()


def _dispatch() -> None:
    if Conf.CLUSTER_NAME == queue.DISPATCH:
        dispatcher.run()
    else:
        # From a schedule, which the other cluster keeps, or from a version that had only one.
        queue.wake_any()


def cancel(video_id: str) -> None:
    """Ask a provider to cancel a job that is no longer needed."""
    cancellation.ask(video_id)


def deliver() -> None:
    """Send due webhooks: enqueued when one is written, and by the supervisor when a retry is due."""
    outbox.deliver()


def attend_to_low_balances() -> None:
    """Tell people that their balance is low, or buy them a pack: enqueued by the supervisor when somebody is due."""
    low_balance.attend()


def lapse() -> None:
    """Hourly: expire credits, and send mails about credits that will expire soon."""
    credits.expire_all()
    expiry_mail.send_expiry_mails()


def tidy() -> None:
    """Daily: purge old webhooks, idempotent answers, tallies, verdicts and slots, and delete orphaned files."""
    provider_webhooks.purge_expired()
    outbox.purge_expired()
    idempotency.purge_expired()
    signup_credits.purge_expired()
    gate.purge_expired()
    leases.forget_old_slots()
    orphans.sweep()
