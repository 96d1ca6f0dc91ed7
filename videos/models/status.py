"""The states of a video and their transitions."""

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


# What the owner reads for each error code; templates add that the video was refunded.
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


# From which states each state may be entered. States are changed only by `Video.move_to`.
COMES_FROM: dict[Status, set[Status]] = {
    Status.QUEUED: {Status.SUBMITTING, Status.UNCONFIRMED},
    Status.SUBMITTING: {Status.QUEUED, Status.UNCONFIRMED},
    Status.UNCONFIRMED: {Status.SUBMITTING},
    # From queued: a lost request was about to be resent when its reply arrived after all.
    Status.IN_PROGRESS: {Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED},
    # From failed: the provider finished after the deadline, when the video was already refunded.
    Status.SAVING: {Status.IN_PROGRESS, Status.FAILED},
    Status.COMPLETED: {Status.SAVING},
    Status.FAILED: {
        Status.QUEUED,
        Status.SUBMITTING,
        Status.UNCONFIRMED,
        Status.IN_PROGRESS,
        Status.SAVING,
        Status.COMPLETED,  # the file turns out not to play
    },
    Status.CANCELED: {Status.QUEUED},
}


# Reasons of video events that other code looks for.
FORGIVEN = "returned by staff"
REFUSED_BY = "refused by "  # prefix; followed by the channel and its message, for a video that was rerouted

MAX_POSTER_TRIES = 5

LIVE = (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.IN_PROGRESS, Status.SAVING)
