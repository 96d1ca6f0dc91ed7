"""A video's timeline: what happened to it and to its credits, and when, in plain words."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import CreditEntry
from videos.models import REASONS, REFUNDED_BY_STAFF, Status, Video, VideoEvent


@dataclass(frozen=True)
class Line:
    """One entry. `credits` is negative for a charge, positive for a refund, otherwise 0."""

    at: datetime
    text: str
    credits: int = 0


def timeline_of(video: Video) -> list[Line]:
    """The video's timeline, oldest entry first. Repeated attempts of one step share a line."""
    lines: list[Line] = []
    entries = CreditEntry.objects.filter(reference=video.reference)
    entry_of = {entry.kind: entry for entry in entries}
    tries, refunded = 0, False
    for event in video.events.all():
        if event.went_to == Status.SUBMITTING:
            tries += 1
            if tries > 1:
                continue
        text, credits = _text(event, video, refunded), 0
        if event.went_to in (Status.QUEUED, Status.UNCONFIRMED) and lines and lines[-1].text == text:
            continue
        if not event.came_from:
            credits = _amount(entry_of, CreditEntry.Kind.CHARGE)
        elif (
            event.went_to in (Status.FAILED, Status.CANCELED) or event.reason == REFUNDED_BY_STAFF
        ) and not refunded:
            credits, refunded = _amount(entry_of, CreditEntry.Kind.REFUND), True
            if credits and (note := entry_of[CreditEntry.Kind.REFUND].note):
                text = _("%(text)s Note from the staff: “%(note)s”") % {"text": text, "note": note}
        lines.append(Line(event.at, text, credits))
    return lines


def _amount(entry_of: dict[str, CreditEntry], kind: str) -> int:
    return entry_of[kind].amount if kind in entry_of else 0


def _text(event: VideoEvent, video: Video, refunded: bool) -> str:
    """`refunded`: whether the credits were refunded before this event."""
    credits = ngettext("%(n)d credit", "%(n)d credits", video.credits) % {"n": video.credits}
    if not event.came_from:
        return _("Ordered. %(credits)s reserved.") % {"credits": credits}
    if event.reason == REFUNDED_BY_STAFF:
        return _("The staff refunded %(credits)s. You keep the video.") % {"credits": credits}
    if event.went_to == Status.COMPLETED and refunded:
        return _("Ready to play after all, for free: %(credits)s stay refunded.") % {"credits": credits}
    if event.went_to == Status.COMPLETED:
        return _("Ready to play. %(credits)s charged.") % {"credits": credits}
    if event.went_to in (Status.FAILED, Status.CANCELED):
        reason = REASONS.get(event.reason, "") or _("Canceled.")
        return _("%(reason)s %(credits)s refunded.") % {"reason": reason, "credits": credits}
    return {
        Status.QUEUED: _("The video service has not accepted the request yet; waiting to retry."),
        Status.SUBMITTING: _("Submitted to the video service."),
        Status.UNCONFIRMED: _("No response; checking whether the request arrived."),
        Status.IN_PROGRESS: _("Accepted by the video service; rendering."),
        Status.SAVING: _("Rendered; saving the file."),
    }[Status(event.went_to)]
