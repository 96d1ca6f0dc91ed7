"""The states of a video and the allowed transitions."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    QUEUED = "queued", _("Queued")
    SUBMITTING = "submitting", _("Submitting")
    UNCONFIRMED = "unconfirmed", _("Unconfirmed")
    IN_PROGRESS = "in_progress", _("Running")
    SAVING = "saving", _("Saving")
    COMPLETED = "completed", _("Ready")
    FAILED = "failed", _("Failed")
    CANCELED = "canceled", _("Canceled")


# What the owner reads for each error code. Where it is shown, a sentence about the refund is added.
REASONS = {
    "moderation_blocked": _("The model's safety rules do not allow this prompt or picture."),
    "invalid_request": _("The model did not accept this request. Try a different prompt, picture, or size."),
    "provider_refused": _(
        "The video service denied this site access. The staff have been notified; try another model."
    ),
    "generation_failed": _("The model could not generate this video. Trying again often helps."),
    "no_file": _("The model finished but did not deliver a playable video."),
    "unconfirmed": _("The video service never confirmed that it received this request."),
    "not_started": _("This video waited too long for its turn, so it was never started."),
    "timed_out": _("The video service took too long."),
    "stopped": _("The staff of this site stopped this video."),
}

# The error codes that are a provider's verdict on a job.
BLOCKED = "moderation_blocked"
FAILED_THERE = ("generation_failed", BLOCKED, "invalid_request", "provider_refused")


# The states from which each state can be entered. Only `move_to` changes the state.
ALLOWED_FROM: dict[Status, set[Status]] = {
    Status.QUEUED: {Status.SUBMITTING, Status.UNCONFIRMED},
    Status.SUBMITTING: {Status.QUEUED, Status.UNCONFIRMED},
    Status.UNCONFIRMED: {Status.SUBMITTING},
    # From queued if a lost request is about to be resent and its response arrives after all.
    Status.IN_PROGRESS: {Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED},
    # From failed if the provider finishes after the deadline, when the credits were already refunded.
    Status.SAVING: {Status.IN_PROGRESS, Status.FAILED},
    Status.COMPLETED: {Status.SAVING},
    Status.FAILED: {
        Status.QUEUED,
        Status.SUBMITTING,
        Status.UNCONFIRMED,
        Status.IN_PROGRESS,
        Status.SAVING,
        Status.COMPLETED,  # a file that turns out to be unplayable
    },
    Status.CANCELED: {Status.QUEUED},
}


# Event reasons that code looks for later: an exact text and a prefix.
REFUNDED_BY_STAFF = "returned by staff"
REFUSED_BY = "refused by "  # followed by the channel and its message, for a video that was rerouted

MAX_POSTER_TRIES = 5

LIVE = (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS, Status.SAVING)
