"""Moderation: the terms that staff have blocked, and the verdict on each order that was checked."""

import secrets

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from videos.models.uploads import Upload

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no characters that look alike


def new_reference() -> str:
    """A random reference, short enough to quote in a message and too long to guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(10))


class BlockedTerm(models.Model):
    """A word or phrase that no prompt may contain. `moderation.blocked_terms` matches it."""

    term = models.CharField(
        _("term"),
        max_length=100,
        unique=True,
        help_text=_(
            "A word or phrase, found as whole words, in capital or small letters, with any white space, hyphens or"
            " underscores in between. Changes count after 15 seconds."
        ),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("blocked term")
        verbose_name_plural = _("blocked terms")
        ordering = ["term"]

    def __str__(self) -> str:
        return self.term


class Verdict(models.Model):
    """The result of checking an order's texts and pictures before it was charged. See `moderation.gate`."""

    class Outcome(models.TextChoices):
        ALLOWED = "allowed", _("Allowed")
        REFUSED = "refused", _("Refused")
        UNASKED = "unasked", _("Not judged")

    LIST = "list"

    id = models.CharField(
        _("reference"), primary_key=True, max_length=10, default=new_reference, editable=False
    )
    user = models.ForeignKey(
        User, models.PROTECT, related_name="verdicts", db_index=False, verbose_name=_("user")
    )
    at = models.DateTimeField(_("at"), default=timezone.now)
    digest = models.CharField(max_length=64, help_text=_("SHA-256 of all that was judged."))
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome)
    inputs = models.JSONField(
        _("refused inputs"),
        default=list,
        help_text=_("Of prompt, negative_prompt, input_reference (the picture) and last_frame."),
    )
    categories = models.JSONField(
        _("because of"), default=list, help_text=_("The service's categories, or the blocked terms.")
    )
    source = models.CharField(
        _("judged by"), max_length=100, blank=True, help_text=_("The service's model, or “list”.")
    )
    # Only kept for refusals, in case of an appeal.
    prompt = models.TextField(_("prompt"), blank=True)
    negative_prompt = models.TextField(_("negative prompt"), blank=True)
    upload = models.ForeignKey(
        Upload, models.SET_NULL, null=True, related_name="+", verbose_name=_("uploaded picture")
    )
    last_frame = models.ForeignKey(
        Upload, models.SET_NULL, null=True, related_name="+", verbose_name=_("last frame")
    )
    overruled_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", db_index=False, verbose_name=_("overruled by")
    )
    overruled_at = models.DateTimeField(_("overruled"), null=True)

    class Meta:
        verbose_name = _("verdict")
        verbose_name_plural = _("verdicts")
        ordering = ["-at", "-id"]
        permissions = [("overrule_verdict", "Can overrule verdict")]
        indexes = [
            models.Index(fields=["user", "digest", "-at"], name="verdicts_on_an_input"),
            models.Index(fields=["outcome", "-at"], name="verdicts_by_outcome"),
            models.Index(fields=["-at", "-id"], name="newest_verdicts"),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def refuses(self) -> bool:
        """Whether it blocks the order: refused, and not overruled by staff."""
        return self.outcome == self.Outcome.REFUSED and self.overruled_at is None
