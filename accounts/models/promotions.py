"""Free credits: redeem codes, sign-up credits and what staff grant."""

from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.user import User


class CodeBatch(models.Model):
    """Redeem codes that were created together, with the same value."""

    name = models.CharField(
        _("name"), max_length=100, help_text=_("Shown on the statements of users who redeem one.")
    )
    credits = models.PositiveIntegerField(_("credits"), help_text=_("Value of each code."))
    redeem_until = models.DateTimeField(_("redeem until"), null=True, blank=True)
    lasts_days = models.PositiveIntegerField(
        _("credits valid for (days)"), null=True, blank=True, help_text=_("Counted from redemption.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("batch of codes")
        verbose_name_plural = _("batches of codes")
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(credits__gt=0), name="a_code_is_worth_something")]

    def __str__(self) -> str:
        return self.name


class RedeemCode(models.Model):
    """One code, stored as a digest; the code itself was shown once."""

    batch = models.ForeignKey(CodeBatch, models.PROTECT, related_name="codes", verbose_name=_("batch"))
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    redeemed_by = models.ForeignKey(
        User, models.PROTECT, related_name="codes", null=True, blank=True, verbose_name=_("redeemed by")
    )
    redeemed_at = models.DateTimeField(_("redeemed"), null=True, blank=True)

    class Meta:
        verbose_name = _("redeem code")
        verbose_name_plural = _("redeem codes")
        constraints = [
            models.CheckConstraint(
                condition=Q(redeemed_by=None, redeemed_at=None)
                | Q(redeemed_by__isnull=False, redeemed_at__isnull=False),
                name="redeemed_by_somebody_at_some_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.batch} #{self.pk}"


class FreeCredits(models.Model):
    """The budget for sign-up credits: a single row, edited by staff."""

    credits_a_day = models.PositiveIntegerField(
        _("credits per day"),
        default=10_000,
        help_text=_("For all new users together. A day starts at midnight UTC."),
    )
    people_a_day_and_network = models.PositiveIntegerField(
        _("users per day and network"), default=5, help_text=_("A network is an IPv4 /24 or an IPv6 /64.")
    )

    class Meta:
        verbose_name = _("budget for free credits")
        verbose_name_plural = _("budget for free credits")

    def __str__(self) -> str:
        return f"{self.credits_a_day} credits a day"


class FreeCreditTally(models.Model):
    """What was given away on one day, in total or to one network (stored as a keyed hash)."""

    what = models.CharField(max_length=64)
    day = models.DateField()
    given = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["what", "day"], name="one_tally_a_day")]

    def __str__(self) -> str:
        return f"{self.what} {self.day}: {self.given}"


class Welcome(models.Model):
    """Somebody who has received sign-up credits, stored as a keyed hash for privacy."""

    identity = models.CharField(max_length=64, unique=True)
    given_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.identity[:12]


class StaffGrant(models.Model):
    """Credits that a member of staff or the command line granted, or wants to grant. Only `accounts/staff_grants.py` writes here."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("Needs a second person")
        GRANTED = "granted", _("Granted")
        DECLINED = "declined", _("Declined")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Of its entry in the ledger. Entries of earlier versions have references of many kinds.
    reference = models.CharField(_("reference"), max_length=100, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="staff_grants", verbose_name=_("user"))
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Credits."))
    reason = models.CharField(_("reason"), max_length=300)
    note = models.CharField(_("note to the customer"), max_length=200, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    giver = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        related_name="given_grants",
        verbose_name=_("granted by"),
        help_text=_("Empty: the command line."),
    )
    second = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="decided_grants", verbose_name=_("decided by")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    decided_at = models.DateTimeField(_("decided"), null=True)

    class Meta:
        verbose_name = _("staff grant")
        verbose_name_plural = _("staff grants")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="a_grant_is_of_something"),
            models.CheckConstraint(
                condition=Q(giver=None) | ~Q(giver=F("user")), name="nobody_grants_to_themselves"
            ),
            models.CheckConstraint(
                condition=Q(second=None)
                | ~Q(status="granted")
                | (~Q(second=F("user")) & (Q(giver=None) | ~Q(second=F("giver")))),
                name="the_second_is_somebody_else",
            ),
        ]
        indexes = [
            models.Index(fields=["giver", "created_at"], name="grants_of_a_giver"),
            models.Index(fields=["created_at"], condition=Q(status="waiting"), name="grants_to_confirm"),
        ]

    def __str__(self) -> str:
        return f"{self.amount:,} credits to {self.user}"
