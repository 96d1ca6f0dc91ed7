"""Who you are and what you own."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

currency_code = RegexValidator(r"^[a-z]{3}\Z", _("Three small letters, such as usd."))


class User(AbstractUser):
    """A person. Google's `sub` (allauth's SocialAccount.uid) says which one; the e-mail address does not."""

    balance = models.PositiveBigIntegerField(_("balance"), default=0, editable=False, help_text=_("Credits."))
    debt = models.PositiveBigIntegerField(
        _("debt"),
        default=0,
        editable=False,
        help_text=_("Credits that were taken back after they were spent."),
    )
    lapsing = models.PositiveBigIntegerField(
        _("lapsing"), default=0, editable=False, help_text=_("Credits of the balance that lapse one day.")
    )

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="balance_not_negative"),
            models.CheckConstraint(condition=Q(debt__gte=0), name="debt_not_negative"),
            models.CheckConstraint(condition=Q(balance=0) | Q(debt=0), name="no_balance_beside_a_debt"),
            models.CheckConstraint(
                condition=Q(lapsing__gte=0, lapsing__lte=F("balance")), name="what_lapses_is_in_the_balance"
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
        """Save all but what `credits` writes: a row that was read earlier must not put an old balance back."""
        if not self._state.adding and kwargs.get("update_fields") is None:
            fields = [field.name for field in self._meta.concrete_fields if not field.primary_key]
            kwargs["update_fields"] = [name for name in fields if name not in ("balance", "debt", "lapsing")]
        super().save(*args, **kwargs)

    @property
    def initial(self) -> str:
        """One letter for the round badge in the navigation bar."""
        return (self.first_name or self.email or self.username or "?")[0].upper()


class CreditEntry(models.Model):
    """One line of the ledger: signed credits, never edited. Only `accounts/credits.py` writes here."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted")
        PURCHASE = "purchase", _("Bought")
        CHARGE = "charge", _("Charged")
        REFUND = "refund", _("Returned")
        EXPIRE = "expire", _("Lapsed")
        CLAW_BACK = "claw_back", _("Taken back")

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
    """What is left of a grant that lapses. Of the lots of an account the one that lapses soonest is spent first."""

    entry = models.OneToOneField(CreditEntry, models.PROTECT, related_name="lot", verbose_name=_("entry"))
    user = models.ForeignKey(User, models.PROTECT, related_name="lots", verbose_name=_("user"))
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Credits."))
    left = models.PositiveBigIntegerField(_("left"), help_text=_("Credits."))
    lapses_at = models.DateTimeField(_("lapses"))
    noticed_at = models.DateTimeField(_("notice sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("lapsing credits")
        verbose_name_plural = _("lapsing credits")
        constraints = [
            models.CheckConstraint(
                condition=Q(left__gte=0, left__lte=F("amount")), name="no_more_left_than_given"
            )
        ]
        indexes = [
            models.Index(fields=["user", "lapses_at"], condition=Q(left__gt=0), name="lots_to_spend"),
            models.Index(fields=["lapses_at"], condition=Q(left__gt=0), name="lots_to_lapse"),
        ]

    def __str__(self) -> str:
        return f"{self.left} of {self.amount} until {self.lapses_at:%Y-%m-%d}"


class Draw(models.Model):
    """What a charge took from a lot, to be put back there when the charge is refunded."""

    lot = models.ForeignKey(Lot, models.PROTECT, related_name="draws", verbose_name=_("lot"))
    charge = models.ForeignKey(CreditEntry, models.PROTECT, related_name="draws", verbose_name=_("charge"))
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Credits."))

    class Meta:
        verbose_name = _("draw")
        verbose_name_plural = _("draws")
        constraints = [
            models.UniqueConstraint(fields=["lot", "charge"], name="one_draw_a_lot_and_charge"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="a_draw_takes_something"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of lot {self.lot_id} for entry {self.charge_id}"


class CodeBatch(models.Model):
    """Redeem codes that were made together and are worth the same."""

    name = models.CharField(
        _("name"), max_length=100, help_text=_("Shown on the statement of who redeems one.")
    )
    credits = models.PositiveIntegerField(_("credits"), help_text=_("That each code gives."))
    redeem_until = models.DateTimeField(_("redeem until"), null=True, blank=True)
    lasts_days = models.PositiveIntegerField(
        _("days the credits last"), null=True, blank=True, help_text=_("After they were redeemed.")
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
    """One code, by its digest; the code itself was shown once."""

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
    """How much may be given away to newcomers. One row, which staff edit."""

    credits_a_day = models.PositiveIntegerField(
        _("credits a day"),
        default=10_000,
        help_text=_("Of all newcomers together; a day begins at midnight UTC."),
    )
    people_a_day_and_network = models.PositiveIntegerField(
        _("people a day and network"), default=5, help_text=_("A network is an IPv4 /24 or an IPv6 /64.")
    )

    class Meta:
        verbose_name = _("budget for free credits")
        verbose_name_plural = _("budget for free credits")

    def __str__(self) -> str:
        return f"{self.credits_a_day} credits a day"


class FreeCreditTally(models.Model):
    """What was given away on one day, to all or to one network (a keyed hash)."""

    what = models.CharField(max_length=64)
    day = models.DateField()
    given = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["what", "day"], name="one_tally_a_day")]

    def __str__(self) -> str:
        return f"{self.what} {self.day}: {self.given}"


class Welcome(models.Model):
    """Somebody who had the free credits: a keyed hash, so that nobody can tell who it was."""

    identity = models.CharField(max_length=64, unique=True)
    given_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.identity[:12]


class CreditPack(models.Model):
    """What people may buy. Staff change it at any time: an open order keeps what it was made for."""

    name = models.CharField(_("name"), max_length=60)
    credits = models.PositiveIntegerField(_("credits"))
    price = models.PositiveIntegerField(
        _("price"), help_text=_("In the smallest unit of the currency, such as cents.")
    )
    currency = models.CharField(_("currency"), max_length=3, default="usd", validators=[currency_code])
    is_sold = models.BooleanField(_("sold"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("credit pack")
        verbose_name_plural = _("credit packs")
        ordering = ["position", "price"]
        constraints = [
            models.CheckConstraint(
                condition=Q(credits__gt=0, price__gt=0), name="a_pack_has_credits_and_a_price"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.credits} credits"

    @property
    def shown_price(self) -> str:
        return money(self.price, self.currency)


class Payment(models.Model):
    """One order of a pack, from the click on Buy on. Only `accounts/payments.py` writes here."""

    class Status(models.TextChoices):
        CREATED = "created", _("Not paid")
        PAID = "paid", _("Paid")
        HELD = "held", _("Needs a decision")
        REFUNDED = "refunded", _("Refunded")
        DISPUTED = "disputed", _("Disputed")

    class Processor(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        TEST = "test", _("Test")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="payments", verbose_name=_("user"))
    pack = models.ForeignKey(CreditPack, models.SET_NULL, null=True, verbose_name=_("pack"))
    # What was ordered, as it was then.
    credits = models.PositiveIntegerField(_("credits"))
    price = models.PositiveIntegerField(_("price"), help_text=_("In the smallest unit of the currency."))
    currency = models.CharField(_("currency"), max_length=3)
    processor = models.CharField(_("processor"), max_length=10, choices=Processor)
    session = models.CharField(_("session"), max_length=255, unique=True, null=True, blank=True)
    intent = models.CharField(_("payment intent"), max_length=255, unique=True, null=True, blank=True)
    receipt_url = models.URLField(_("receipt"), max_length=1000, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.CREATED)
    why = models.CharField(_("why"), max_length=300, blank=True, help_text=_("It needs a decision."))
    clawed_back = models.PositiveIntegerField(_("taken back"), default=0, help_text=_("Credits."))
    moves = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(credits__gt=0, price__gt=0), name="a_payment_is_for_something"
            ),
            models.CheckConstraint(
                condition=Q(clawed_back__lte=F("credits")), name="no_more_taken_back_than_was_bought"
            ),
            models.CheckConstraint(
                condition=Q(clawed_back=0) | Q(paid_at__isnull=False),
                name="nothing_taken_back_before_it_was_paid",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="payments_of_a_user"),
            models.Index(fields=["paid_at"], name="payments_by_day"),
            models.Index(
                fields=["status", "-created_at"],
                condition=Q(status__in=["held", "disputed"]),
                name="payments_to_decide",
            ),
        ]
        permissions = [("decide_payment", "Can accept and settle payment")]

    def __str__(self) -> str:
        return f"{self.shown_price} for {self.credits} credits"

    @property
    def reference(self) -> str:
        return f"payment:{self.pk}"

    @property
    def shown_price(self) -> str:
        return money(self.price, self.currency)


class StripeEvent(models.Model):
    """What Stripe told us, for staff to see; what was done about it stands in the payment."""

    id = models.CharField(_("event"), max_length=255, primary_key=True)
    kind = models.CharField(_("kind"), max_length=100)
    payment = models.ForeignKey(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="stripe_events",
        verbose_name=_("payment"),
    )
    times = models.PositiveIntegerField(_("times it came"), default=1)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook from Stripe")
        verbose_name_plural = _("webhooks from Stripe")
        ordering = ["-received_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


# Digits after the point where they are not two, https://docs.stripe.com/currencies#minor-units
NO_DECIMALS = (
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
)
THREE_DECIMALS = ("bhd", "jod", "kwd", "omr", "tnd")
DECIMALS = {**dict.fromkeys(NO_DECIMALS, 0), **dict.fromkeys(THREE_DECIMALS, 3)}


def money(amount: int, currency: str) -> str:
    """An amount in a currency's smallest unit, as people read it: 1250, "usd" → "12.50 USD"."""
    digits = DECIMALS.get(currency, 2)
    return f"{Decimal(amount).scaleb(-digits):,.{digits}f} {currency.upper()}"
