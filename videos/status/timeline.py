"""A video's receipt: what happened to it and to its credits, when, in plain words."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import CreditEntry
from videos.models import FORGIVEN, REASONS, Status, Video, VideoEvent


@dataclass(frozen=True)
class Line:
    """`credits` is what moved at this point: negative out of the account, positive back into it, or 0."""

    at: datetime
    text: str
    credits: int = 0


def timeline_of(video: Video) -> list[Line]:
    """The lines of the receipt, oldest first. Repeated tries of the same step share one line."""
    lines: list[Line] = []
    entries = CreditEntry.objects.filter(reference=video.reference)
    moved = {entry.kind: entry for entry in entries}
    tries, returned = 0, False
    for event in video.events.all():
        if event.went_to == Status.SUBMITTING:
            tries += 1
            if tries > 1:
                continue
        text, credits = _text(event, video, returned), 0
        if event.went_to in (Status.QUEUED, Status.UNCONFIRMED) and lines and lines[-1].text == text:
            continue
        if not event.came_from:
            credits = _amount(moved, CreditEntry.Kind.CHARGE)
        elif (event.went_to in (Status.FAILED, Status.CANCELED) or event.why == FORGIVEN) and not returned:
            credits, returned = _amount(moved, CreditEntry.Kind.REFUND), True
            if credits and (note := moved[CreditEntry.Kind.REFUND].note):
                text = _("%(text)s Note from the staff: “%(note)s”") % {"text": text, "note": note}
        lines.append(Line(event.at, text, credits))
    return lines


def _amount(moved: dict[str, CreditEntry], kind: str) -> int:
    return moved[kind].amount if kind in moved else 0


def _text(event: VideoEvent, video: Video, returned: bool) -> str:
    """`returned`: whether the credits went back before this event."""
    held = ngettext("%(n)d credit", "%(n)d credits", video.credits) % {"n": video.credits}
    if not event.came_from:
        return _("Ordered. %(credits)s reserved.") % {"credits": held}
    if event.why == FORGIVEN:
        return _("The staff refunded %(credits)s. You keep the video.") % {"credits": held}
    if event.went_to == Status.COMPLETED and returned:
        return _("Ready to play after all, for free: %(credits)s stay refunded.") % {"credits": held}
    if event.went_to == Status.COMPLETED:
        return _("Ready to play. %(credits)s charged.") % {"credits": held}
    if event.went_to in (Status.FAILED, Status.CANCELED):
        reason = REASONS.get(event.why, "") or _("Canceled.")
        return _("%(reason)s %(credits)s refunded.") % {"reason": reason, "credits": held}
    return {
        Status.QUEUED: _("The video service has not accepted the request yet; waiting to retry."),
        Status.SUBMITTING: _("Submitted to the video service."),
        Status.UNCONFIRMED: _("No response; checking whether the request arrived."),
        Status.IN_PROGRESS: _("Accepted by the video service; rendering."),
        Status.SAVING: _("Rendered; saving the file."),
    }[Status(event.went_to)]
