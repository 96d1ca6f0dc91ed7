"""The ledger, and credits that expire."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.user import User


class CreditEntry(models.Model):
    """One line of the ledger: signed credits, never edited. Only `accounts/credits.py` writes here."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted")
        PURCHASE = "purchase", _("Purchased")
        CHARGE = "charge", _("Charged")
        REFUND = "refund", _("Refunded")
        EXPIRE = "expire", _("Expired")
        CLAW_BACK = "claw_back", _("Reversed")

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
                condition=Q(kind__in=["charge", "expire", "claw_back"], amount__lt=0)
                | Q(kind__in=["grant", "purchase", "refund"], amount__gt=0),
                name="amount_has_the_sign_of_its_kind",
            ),
        ]
        indexes = [models.Index(fields=["user", "-id"], name="statement")]

    def __str__(self) -> str:
        return f"{self.amount:+d} {self.kind} {self.reference}"


class Lot(models.Model):
    """What is left of a grant that expires. The lot that expires soonest is spent first."""

    entry = models.OneToOneField(CreditEntry, models.PROTECT, related_name="lot", verbose_name=_("entry"))
    user = models.ForeignKey(User, models.PROTECT, related_name="lots", verbose_name=_("user"))
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Credits."))
    left = models.PositiveBigIntegerField(_("remaining"), help_text=_("Credits."))
    expires_at = models.DateTimeField(_("expires"), db_column="lapses_at")
    noticed_at = models.DateTimeField(_("notice sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("expiring credits")
        verbose_name_plural = _("expiring credits")
        constraints = [
            models.CheckConstraint(
                condition=Q(left__gte=0, left__lte=F("amount")), name="no_more_left_than_given"
            )
        ]
        indexes = [
            models.Index(fields=["user", "expires_at"], condition=Q(left__gt=0), name="lots_to_spend"),
            models.Index(fields=["expires_at"], condition=Q(left__gt=0), name="lots_to_lapse"),
        ]

    def __str__(self) -> str:
        return f"{self.left} of {self.amount} until {self.expires_at:%Y-%m-%d}"

    @property
    def expiry(self) -> str:
        """The reference of the entry by which it expires."""
        return f"lot:{self.pk}"


class Draw(models.Model):
    """How much a charge or a claw-back took from a lot, and how much of it a refund has put back."""

    lot = models.ForeignKey(Lot, models.PROTECT, related_name="draws", verbose_name=_("lot"))
    charge = models.ForeignKey(CreditEntry, models.PROTECT, related_name="draws", verbose_name=_("charge"))
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Credits."))
    returned = models.PositiveBigIntegerField(
        _("returned"),
        default=0,
        null=True,
        help_text=_(
            "Credits that a refund has put back. Empty: version 0.9.0 drew them, and may have put them back."
        ),
    )

    class Meta:
        verbose_name = _("draw")
        verbose_name_plural = _("draws")
        constraints = [
            models.UniqueConstraint(fields=["lot", "charge"], name="one_draw_a_lot_and_charge"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="a_draw_takes_something"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of lot {self.lot_id} for entry {self.charge_id}"
