"""API keys, and stored responses for idempotent requests."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.user import User


class ApiKey(models.Model):
    """An API key with its limits. Only `accounts/api_keys.py` creates one."""

    class WebhookForm(models.TextChoices):
        STANDARD = "standard", _("Standard Webhooks")
        PLAIN = "plain", _("plain, as in tutorials of 2025")

    user = models.ForeignKey(User, models.PROTECT, related_name="api_keys", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=60)
    prefix = models.CharField(
        _("begins with"), max_length=20, editable=False, help_text=_("The key itself was shown once.")
    )
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    credits_a_day = models.PositiveIntegerField(
        _("credits per day"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    max_credits = models.PositiveIntegerField(
        _("credits in all"), null=True, blank=True, help_text=_("For as long as it lives. Empty: no limit.")
    )
    repeat_window = models.PositiveIntegerField(
        _("repeat window"),
        default=0,
        db_default=0,
        help_text=_("Seconds within which equal orders without an Idempotency-Key are one order. 0: off."),
    )
    allowed_models = models.JSONField(
        _("models"), default=list, blank=True, help_text=_("Slugs of the models it may use. Empty: all.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    # Where events are sent, and what signs them. A leaked secret only allows forging events to that same receiver.
    webhook_url = models.URLField(_("webhook"), max_length=500, blank=True)
    webhook_form = models.CharField(
        _("form of webhooks"), max_length=10, choices=WebhookForm, default="standard", db_default="standard"
    )
    webhook_events = models.JSONField(
        _("events"),
        null=True,
        blank=True,
        help_text=_("Types of events that are sent. Empty: the default ones."),
    )
    webhook_secret = models.CharField(max_length=100, editable=False)
    old_webhook_secret = models.CharField(max_length=100, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]
        permissions = [("revoke_apikey", "Can revoke API key")]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class IdempotentAnswer(models.Model):
    """The stored response of a request, for retries: with the same Idempotency-Key or, without one, with the same body."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name=_("user"))
    key = models.CharField(_("Idempotency-Key"), max_length=255, null=True)
    api_key = models.ForeignKey(
        ApiKey,
        models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
        verbose_name=_("API key"),
        help_text=_("Of a request without an Idempotency-Key."),
    )
    request_digest = models.CharField(_("digest of the request"), max_length=64)
    status = models.PositiveSmallIntegerField(_("status"), help_text=_("0: still in progress."))
    body = models.TextField(_("body"), help_text=_("As it was sent: JSON."))
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("idempotent answer")
        verbose_name_plural = _("idempotent answers")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_answer_a_key")]
        indexes = [
            models.Index(fields=["created_at"], name="answers_by_age"),
            models.Index(
                fields=["api_key", "request_digest", "-created_at"],
                condition=Q(key=None),
                name="answers_without_a_key",
            ),
        ]

    def __str__(self) -> str:
        return self.key or f"{self.request_digest[:12]}…"
