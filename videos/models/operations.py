"""Operations: dispatcher slots, workers, and webhooks in both directions."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from videos.models.video import Video


class PumpSlot(models.Model):
    """The right to run a dispatcher, as a lease: a dispatcher that stops renewing it loses it."""

    number = models.PositiveSmallIntegerField(_("number"), primary_key=True)
    owner = models.CharField(_("owner"), max_length=100, blank=True)
    until = models.DateTimeField(_("until"), default=timezone.now)

    class Meta:
        verbose_name = _("worker lease")
        verbose_name_plural = _("worker leases")
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number}: {self.owner or '–'}"


class Worker(models.Model):
    """A running `videoworker`, with its heartbeat every few seconds."""

    name = models.CharField(_("name"), max_length=100, primary_key=True)
    seen_at = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name


class WebhookReceipt(models.Model):
    """A provider's webhook that was processed, so that a duplicate changes nothing."""

    id = models.CharField(_("webhook-id"), max_length=255, primary_key=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    event = models.CharField(_("event"), max_length=100, blank=True)
    ref = models.CharField(_("provider's id"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["received_at"], name="webhooks_by_age")]

    def __str__(self) -> str:
        return self.id


class Delivery(models.Model):
    """An outgoing webhook: written in the transaction of its event, and sent until it is accepted. See `webhooks.outbox`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="deliveries", verbose_name=_("API key"))
    video = models.ForeignKey(Video, models.CASCADE, null=True, related_name="+", verbose_name=_("video"))
    url = models.URLField(_("address"), max_length=500)
    event = models.CharField(_("event"), max_length=40)
    body = models.TextField(_("body"))
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    next_attempt_at = models.DateTimeField(
        _("due"),
        null=True,
        default=timezone.now,
        help_text=_("When it is sent next; empty: never again."),
        db_column="next_at",
    )
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    status = models.PositiveSmallIntegerField(_("last answer"), null=True, help_text=_("HTTP status."))
    reason = models.CharField(_("last problem"), max_length=200, blank=True, db_column="why")
    delivered_at = models.DateTimeField(_("delivered"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["api_key", "-created_at"], name="deliveries_of_a_key"),
            models.Index(
                fields=["next_attempt_at"], name="deliveries_due", condition=Q(next_attempt_at__isnull=False)
            ),
            models.Index(fields=["created_at"], name="deliveries_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.webhook_id}"

    @property
    def webhook_id(self) -> str:
        """The id by which a receiver recognizes a duplicate."""
        return f"evt_{self.pk.hex}"
