"""Who you are and what you own."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A person. Google's `sub` (allauth's SocialAccount.uid) says which one; the e-mail address does not."""

    balance = models.PositiveBigIntegerField(_("balance"), default=0, editable=False, help_text=_("Credits."))

    class Meta(AbstractUser.Meta):
        constraints = [models.CheckConstraint(condition=Q(balance__gte=0), name="balance_not_negative")]

    def __str__(self) -> str:
        return self.email or self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save all but the balance: a row that was read earlier must not put an old one back."""
        if not self._state.adding and kwargs.get("update_fields") is None:
            fields = [field.name for field in self._meta.concrete_fields if not field.primary_key]
            kwargs["update_fields"] = [name for name in fields if name != "balance"]
        super().save(*args, **kwargs)

    @property
    def initial(self) -> str:
        """One letter for the round badge in the navigation bar."""
        return (self.first_name or self.email or self.username or "?")[0].upper()


class CreditEntry(models.Model):
    """One line of the ledger: signed credits, never edited. Only `accounts/credits.py` writes here."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted")
        CHARGE = "charge", _("Charged")
        REFUND = "refund", _("Returned")

    user = models.ForeignKey(User, models.PROTECT, related_name="credit_entries", verbose_name=_("user"))
    amount = models.BigIntegerField(_("amount"), help_text=_("Credits; negative when they left the account."))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    reference = models.CharField(
        _("reference"), max_length=100, help_text=_("What the entry is for, such as video:<id>.")
    )
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit entry")
        verbose_name_plural = _("credit entries")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "reference"], name="one_entry_a_kind_and_reference"),
            models.CheckConstraint(
                condition=Q(kind="charge", amount__lt=0) | (~Q(kind="charge") & Q(amount__gt=0)),
                name="amount_has_the_sign_of_its_kind",
            ),
        ]
        indexes = [models.Index(fields=["user", "-id"], name="statement")]

    def __str__(self) -> str:
        return f"{self.amount:+d} {self.kind} {self.reference}"
