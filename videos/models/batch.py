"""Batches of videos."""

import uuid

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, User


class Batch(models.Model):
    """Videos that were ordered together and run a few at a time. `credits` is their total price."""

    class Kind(models.TextChoices):
        BATCH = "batch", _("Batch")
        CAMPAIGN = "campaign", _("Campaign")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="batches", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.BATCH)
    api_key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("API key")
    )
    webhook_url = models.URLField(_("webhook"), max_length=500, blank=True, editable=False)
    total = models.PositiveIntegerField(_("videos"))
    credits = models.PositiveIntegerField(_("credits"), help_text=_("What all its videos were charged."))
    concurrency = models.PositiveIntegerField(
        _("concurrency"),
        help_text=_("How many of its videos are queued or running at a time."),
        db_column="at_once",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="batches_of_a_user"),
            models.Index(fields=["created_at"], name="open_batches", condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.total}"

    def get_absolute_url(self) -> str:
        return reverse("videos:batch", args=[self.pk])
