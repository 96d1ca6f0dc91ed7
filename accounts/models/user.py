"""Users."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A user, identified by Google's `sub` (allauth's SocialAccount.uid), not by the email address.

    The address counts once: for the first sign-in to an account that an operator has created for it.
    """

    balance = models.PositiveBigIntegerField(_("balance"), default=0, editable=False, help_text=_("Credits."))
    debt = models.PositiveBigIntegerField(
        _("debt"),
        default=0,
        editable=False,
        help_text=_("Credits that were clawed back after they had been spent."),
    )
    expiring = models.PositiveBigIntegerField(
        _("expiring"),
        default=0,
        editable=False,
        help_text=_("Credits of the balance that have an expiry date."),
        db_column="lapsing",
    )

    credits_a_day = models.PositiveIntegerField(
        _("own limit a day"), null=True, blank=True, help_text=_("Credits. Empty: no limit.")
    )
    staff_credits_a_day = models.PositiveIntegerField(
        _("limit a day by staff"), null=True, blank=True, help_text=_("Credits. Empty: no limit.")
    )

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="balance_not_negative"),
            models.CheckConstraint(condition=Q(debt__gte=0), name="debt_not_negative"),
            models.CheckConstraint(condition=Q(balance=0) | Q(debt=0), name="no_balance_beside_a_debt"),
            models.CheckConstraint(
                condition=Q(expiring__gte=0, expiring__lte=F("balance")), name="what_lapses_is_in_the_balance"
            ),
        ]
        indexes = [
            models.Index(fields=["debt"], condition=Q(debt__gt=0), name="who_owes"),
            models.Index(fields=["date_joined"], name="newcomers"),
        ]
        permissions = [
            ("grant_credits", "Can grant credits"),
            ("suspend_user", "Can suspend and readmit user"),
        ]

    def __str__(self) -> str:
        return self.email or self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save without the fields that `credits` maintains: a stale instance must not restore an old balance."""
        if not self._state.adding and kwargs.get("update_fields") is None:
            fields = [field.name for field in self._meta.concrete_fields if not field.primary_key]
            kwargs["update_fields"] = [name for name in fields if name not in ("balance", "debt", "expiring")]
        super().save(*args, **kwargs)

    @property
    def initial(self) -> str:
        """The letter in the avatar in the navigation bar."""
        return (self.first_name or self.email or self.username or "?")[0].upper()
