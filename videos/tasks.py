"""What the queue calls. Every message is a doorbell: the rows say what there is to do."""

from accounts import credits, expiry_mail, signup_credits
from videos.api import idempotency
from videos.generation import cancellation
from videos.media import orphans
from videos.moderation import gate
from videos.webhooks import outbox
from videos.worker import dispatcher, provider_webhooks


def generate(video_id: str) -> None:
    """Generate and poll a video: this task becomes the pump that drives it, unless one runs already.

    Starting it a thousand times is harmless, and so is losing it.
    """
    dispatcher.run()


def sweep() -> None:
    """The same, for nobody in particular: rung by a pump for its successor, each minute, and by the supervisor."""
    dispatcher.run()


def cancel(video_id: str) -> None:
    """Ask a provider to stop a job that nobody waits for any more."""
    cancellation.ask(video_id)


def deliver() -> None:
    """Send the events that programs want: rung when one is written, and by the supervisor when one is due again."""
    outbox.deliver()


def lapse() -> None:
    """Once an hour: take away the credits whose time is over, and tell people before it comes."""
    credits.expire_all()
    expiry_mail.send_expiry_mails()


def tidy() -> None:
    """Once a day: forget old webhooks, answers, tallies and verdicts, and remove files that no row names."""
    provider_webhooks.purge_expired()
    outbox.purge_expired()
    idempotency.purge_expired()
    signup_credits.purge_expired()
    gate.purge_expired()
    orphans.sweep()
