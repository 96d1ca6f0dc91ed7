"""Naive variants of the product's functions, to verify that the checks catch them. Only fault runs use them."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import credits
from accounts.models import CreditEntry, User
from videos.generation import lifecycle
from videos.media import inspection
from videos.models import Status, Video
from videos.worker import steps


def read_test_save() -> None:
    """A charge that reads, tests and saves. Correct on SQLite, where a transaction locks the whole database."""

    def charge(user: User, amount: int, *, reference: str) -> None:
        with transaction.atomic():
            user = User.objects.get(pk=user.pk)
            if user.balance < amount:
                raise credits.InsufficientCredits(amount, user.balance)
            user.balance -= amount
            user.save(update_fields=["balance"])
            CreditEntry.objects.create(
                user=user, amount=-amount, kind=CreditEntry.Kind.CHARGE, reference=reference
            )

    credits.charge = charge


def blind_resend() -> None:
    """A request whose response was lost is simply sent again."""

    def requeue(video: Video, reason: str = "") -> bool:
        return video.move_to(Status.QUEUED, reason, next_attempt_at=timezone.now())

    lifecycle.mark_unconfirmed = requeue


def refund_without_asking() -> None:
    """A failure refunds even if somebody else has ended the video in the meantime."""

    def fail(video: Video, code: str, detail: str = "", note: str = "") -> bool:
        with transaction.atomic():
            video.move_to(Status.FAILED, code, error_code=code, ended_at=timezone.now())
            credits.refund(video.user, video.credits, reference=video.reference)
        return True

    lifecycle.fail = fail


def completed_before_stored() -> None:
    """A video is marked completed after its download and stored only afterwards."""
    from videos.media import storage

    async def save(video: Video, provider: Any, tools: Any) -> None:
        from django.conf import settings
        from django.core.files.storage import default_storage

        part = settings.DATA_DIR / "parts" / f"{video.pk}.part"
        await storage.download(provider, str(video.ref), part)
        facts, _poster = inspection.look(part)
        name = f"videos/{video.pk.hex}.mp4"
        result = {"file": name, "poster": name, "bytes": facts.size, "sha256": facts.sha256}
        shape = {"width": facts.width, "height": facts.height, "duration": facts.seconds}
        if await tools.db(lifecycle.complete, video, {**result, **shape}):
            default_storage.save(name, part.open("rb"))

    steps.save = save


VARIANTS = {
    function.__name__: function
    for function in (read_test_save, blind_resend, refund_without_asking, completed_before_stored)
}
