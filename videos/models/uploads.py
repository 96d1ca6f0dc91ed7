"""Uploaded pictures."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class Upload(models.Model):
    """A picture that a user uploaded, checked and re-encoded as JPEG."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="uploads", verbose_name=_("user"))
    file = models.FileField(_("file"), upload_to="uploads/")
    sha256 = models.CharField(max_length=64, editable=False)
    width = models.PositiveIntegerField(_("width"))
    height = models.PositiveIntegerField(_("height"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    # Only for files of the API, /v1/files.
    filename = models.CharField(
        _("file name"), max_length=255, blank=True, db_default="", default="", help_text=_("As it was sent.")
    )
    purpose = models.CharField(
        _("purpose"),
        max_length=20,
        blank=True,
        db_default="",
        default="",
        help_text=_("What the program uploaded it for. Empty: it is not a file of the API."),
    )
    bytes = models.PositiveIntegerField(_("bytes"), null=True, editable=False)

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "sha256"], name="one_upload_a_user_and_picture")
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the API: listed by /v1/files, and kept until a program deletes it."""
        return bool(self.purpose)
