"""Operational records: audit log of staff actions, daily totals, checks of the ledger and of purchases."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import CreditEntry, User
from videos.models import Status, VideoModel


class AuditEntry(models.Model):
    """A deed of staff, or of the command line: who did what to which target, and why. Only `aivideo/staff/actions.py` writes here."""

    class Action(models.TextChoices):
        GRANT = "grant", _("Granted credits")
        REFUND = "refund", _("Refunded a video")
        FAIL = "fail", _("Stopped a video")
        HURRY = "hurry", _("Retried a video")
        SUSPEND = "suspend", _("Suspended a user")
        READMIT = "readmit", _("Reinstated a user")
        REVOKE = "revoke", _("Revoked an API key")
        PAUSE = "pause", _("Paused")
        RESUME = "resume", _("Resumed")
        ACCEPT = "accept", _("Accepted a payment")
        SETTLE = "settle", _("Refreshed a payment from Stripe")
        TAKE_OVER = "take_over", _("Updated the catalog from a provider")
        OVERRULE = "overrule", _("Overruled a refusal")
        CHANNEL = "channel", _("Changed a channel")
        RIGHTS = "rights", _("Changed permissions")
        CONFIRM = "confirm", _("Confirmed a grant")
        DECLINE = "decline", _("Declined a grant")
        CODES = "codes", _("Created redeem codes")
        NEW_KEY = "new_key", _("Created an API key")
        CLOSE = "close", _("Closed a Stripe webhook")
        PACK = "pack", _("Changed a credit pack")
        PAY_BACK = "pay_back", _("Asked Stripe to refund money")

    form = models.UUIDField(
        unique=True, editable=False, help_text=_("Id of the submitted form; a second submission is ignored.")
    )
    at = models.DateTimeField(_("time"), default=timezone.now)
    staff = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        related_name="audit_entries",
        verbose_name=_("staff member"),
        help_text=_("Empty: the command line."),
    )
    action = models.CharField(_("action"), max_length=10, choices=Action)
    target = models.CharField(_("target"), max_length=100, help_text=_("Such as video:<id>."))
    detail = models.CharField(_("details"), max_length=1000, blank=True)
    reason = models.CharField(_("reason"), max_length=300)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ["-id"]
        indexes = [models.Index(fields=["target", "-id"], name="deeds_to_one_target")]

    def __str__(self) -> str:
        return f"{self.staff or _('The command line')} {self.get_action_display()}: {self.target}"


class LedgerDay(models.Model):
    """Total credits of one kind on a past day (UTC). Only `aivideo/staff/daily_totals.py` writes here."""

    day = models.DateField()
    kind = models.CharField(max_length=10, choices=CreditEntry.Kind)
    credits = models.BigIntegerField(default=0)
    last_entry = models.PositiveBigIntegerField(help_text=_("Id of the last entry included."))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "kind"], name="one_total_a_day_and_kind")]

    def __str__(self) -> str:
        return f"{self.day} {self.kind}: {self.credits}"


class VideoDay(models.Model):
    """How many videos of a model ended in one state on a past day (UTC), and what they cost."""

    day = models.DateField()
    model = models.ForeignKey(VideoModel, models.CASCADE)
    status = models.CharField(max_length=12, choices=Status)
    videos = models.PositiveIntegerField()
    cost = models.DecimalField(max_digits=14, decimal_places=4, help_text=_("US dollars."))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "model", "status"], name="one_count_a_day_model_and_state")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.status}: {self.videos}"


class LedgerCheck(models.Model):
    """Result of a daily check of all balances and videos."""

    at = models.DateTimeField(_("time"), default=timezone.now)
    counts = models.JSONField(_("checked"), default=dict)
    violations = models.JSONField(_("problems"), default=list)

    class Meta:
        verbose_name = _("ledger check")
        verbose_name_plural = _("ledger checks")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {len(self.violations)} problems"


class LedgerSeal(models.Model):
    """What an append-only table held up to a row, as a digest that builds on the one before: see `aivideo/ledger_seals.py`."""

    table = models.CharField(_("table"), max_length=60)
    last_id = models.PositiveBigIntegerField(_("last row"))
    rows = models.PositiveBigIntegerField(_("rows"), help_text=_("Since the seal before."))
    digest = models.CharField(_("digest"), max_length=64)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("ledger seal")
        verbose_name_plural = _("ledger seals")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["table", "last_id"], name="one_seal_a_table_and_row")]

    def __str__(self) -> str:
        return f"{self.table} up to {self.last_id}: {self.digest[:12]}"


class PurchaseCheck(models.Model):
    """Result of a daily comparison of what was bought at the providers with what was sold: see videos.generation.purchases."""

    at = models.DateTimeField(_("time"), default=timezone.now)
    channels = models.JSONField(_("by channel"), default=list)
    given_away = models.PositiveIntegerField(_("bought and given away"), default=0)
    given_away_cost = models.DecimalField(
        _("cost of what was given away"),
        max_digits=14,
        decimal_places=4,
        default=0,
        help_text=_("US dollars, as far as known."),
    )
    wrong = models.PositiveIntegerField(
        _("discrepancies"),
        default=0,
        help_text=_("Jobs that no video names, and running videos whose job the provider does not list."),
    )

    class Meta:
        verbose_name = _("purchase check")
        verbose_name_plural = _("purchase checks")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.wrong} discrepancies, {self.given_away} given away"
