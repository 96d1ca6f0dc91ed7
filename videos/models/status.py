"""The states of a video, and which follows which."""

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


# What the owner reads for each error code; that the credits are back is added where it is shown.
REASONS = {
    "moderation_blocked": _("The model's safety rules do not allow this prompt or picture."),
    "invalid_request": _("The model did not accept this request. Try another prompt, picture or shape."),
    "provider_refused": _(
        "The video service did not let us in. The staff have been told; try another model."
    ),
    "generation_failed": _("The model could not make this video. Trying again often helps."),
    "no_file": _("The model said it was done, but delivered no video that plays."),
    "unconfirmed": _("The video service never confirmed that it got this request."),
    "timed_out": _("The video service took too long."),
    "stopped": _("The staff of this site stopped it."),
}


# Which states a state may be entered from. `move_to` is the only door.
COMES_FROM: dict[Status, set[Status]] = {
    Status.QUEUED: {Status.SUBMITTING, Status.UNCONFIRMED},
    Status.SUBMITTING: {Status.QUEUED, Status.UNCONFIRMED},
    Status.UNCONFIRMED: {Status.SUBMITTING},
    # From queued when a lost request is about to be sent again and its answer arrives after all.
    Status.IN_PROGRESS: {Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED},
    # A provider may finish after the deadline, when the credits are back already.
    Status.SAVING: {Status.IN_PROGRESS, Status.FAILED},
    Status.COMPLETED: {Status.SAVING},
    Status.FAILED: {
        Status.QUEUED,
        Status.SUBMITTING,
        Status.UNCONFIRMED,
        Status.IN_PROGRESS,
        Status.SAVING,
        Status.COMPLETED,  # a file that turns out not to play is taken back
    },
    Status.CANCELED: {Status.QUEUED},
}


# What the log of a video says: beginnings and words that are read again.
FORGIVEN = "returned by staff"
REFUSED_BY = "refused by "  # and then the channel and its words: of a video that was rerouted

MAX_POSTER_TRIES = 5

LIVE = (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS, Status.SAVING)
