"""What the queue calls. Every message is a doorbell: the rows say what there is to do."""

from accounts import credits, notices, welcome
from videos import pump, stray_files, webhooks


def generate(video_id: str) -> None:
    """Generate and poll a video: this task becomes the pump that drives it, unless one runs already.

    Starting it a thousand times is harmless, and so is losing it.
    """
    pump.run()


def sweep() -> None:
    """The same, for nobody in particular: rung by a pump for its successor, each minute, and by the supervisor."""
    pump.run()


def lapse() -> None:
    """Once an hour: take away the credits whose time is over, and tell people before it comes."""
    credits.lapse_all()
    notices.tell_what_lapses_soon()


def tidy() -> None:
    """Once a day: forget old webhooks and tallies, and remove files that no row names."""
    webhooks.forget_old()
    welcome.forget_old()
    stray_files.sweep()
