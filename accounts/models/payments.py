"""Credit packs and payments."""

from decimal import Decimal
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.user import User

currency_code = RegexValidator(r"^[a-z]{3}\Z", _("Three lowercase letters, such as usd."))


class CreditPack(models.Model):
    """What users can buy. Staff may change a pack at any time; a payment keeps the terms it was created with."""

    name = models.CharField(_("name"), max_length=60)
    credits = models.PositiveIntegerField(_("credits"))
    price = models.PositiveIntegerField(
        _("price"), help_text=_("In the smallest unit of the currency, such as cents.")
    )
    currency = models.CharField(_("currency"), max_length=3, default="usd", validators=[currency_code])
    is_sold = models.BooleanField(_("sold"), default=True)
    is_recommended = models.BooleanField(
        _("recommended"), default=False, db_default=False, help_text=_("Marked on the Credits page.")
    )
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

    @property
    def terms(self) -> tuple[int, int, str]:
        """What its buyer agrees to: credits, price and currency."""
        return (self.credits, self.price, self.currency)

    @property
    def as_shown(self) -> str:
        """The pack on these terms, in a form: nobody agrees to others than they have seen."""
        return f"{self.pk}-{self.credits}-{self.price}-{self.currency}"

    def clean(self) -> None:
        """Raise ValidationError for a price that Stripe would refuse."""
        if not self.price or not self.currency:
            return
        least = MINIMUM.get(self.currency, 0)
        if self.price < least:
            smallest = money(least, self.currency)
            raise ValidationError({"price": _("Stripe takes at least %(least)s.") % {"least": smallest}})
        if self.currency in THREE_DECIMALS and self.price % 10:
            raise ValidationError(
                {"price": _("In this currency, the last digit of the smallest unit has to be 0.")}
            )
        if self.currency in WHOLE_UNITS and self.price % 100:
            raise ValidationError(
                {"price": _("In this currency, the last two digits of the smallest unit have to be 00.")}
            )


SMALLEST = _("In the smallest unit of the currency.")


class Payment(models.Model):
    """One purchase of a pack, created when the user clicks Buy. Only `accounts/payments.py` writes here."""

    class Status(models.TextChoices):
        CREATED = "created", _("Not paid")
        EXPIRED = "expired", _("Expired")
        PAID = "paid", _("Paid")
        HELD = "held", _("Needs a decision")
        REFUNDED = "refunded", _("Refunded")
        DISPUTED = "disputed", _("Disputed")
        LOST = "lost", _("Dispute lost")

    TO_DECIDE = (Status.HELD, Status.DISPUTED)  # need attention from staff

    class Processor(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        TEST = "test", _("Test")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="payments", verbose_name=_("user"))
    pack = models.ForeignKey(CreditPack, models.SET_NULL, null=True, verbose_name=_("pack"))
    # Copied from the pack when it was ordered.
    credits = models.PositiveIntegerField(_("credits"))
    price = models.PositiveIntegerField(_("price"), help_text=SMALLEST)
    currency = models.CharField(_("currency"), max_length=3)
    processor = models.CharField(_("processor"), max_length=10, choices=Processor)
    session = models.CharField(_("session"), max_length=255, unique=True, null=True, blank=True)
    intent = models.CharField(_("payment intent"), max_length=255, unique=True, null=True, blank=True)
    customer = models.CharField(
        _("customer"), max_length=255, null=True, blank=True, help_text=_("The buyer's id at the processor.")
    )
    receipt_url = models.URLField(_("receipt"), max_length=1000, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.CREATED)
    reason = models.CharField(
        _("reason"), max_length=300, blank=True, help_text=_("Why it needs a decision."), db_column="why"
    )
    is_recovered = models.BooleanField(
        _("recovered"),
        default=False,
        db_default=False,
        help_text=_("Made anew from what Stripe knows, because its record was missing here."),
    )
    # What the processor says of the money, in the currency in which it was paid.
    paid = models.PositiveBigIntegerField(_("paid"), default=0, db_default=0, help_text=SMALLEST)
    paid_currency = models.CharField(_("paid in"), max_length=3, blank=True, db_default="")
    refunded = models.PositiveBigIntegerField(_("refunded"), default=0, db_default=0, help_text=SMALLEST)
    disputed = models.PositiveBigIntegerField(
        _("disputed"), default=0, db_default=0, help_text=_("Withdrawn by open and lost disputes.")
    )
    tax = models.PositiveBigIntegerField(
        _("tax"), default=0, db_default=0, help_text=_("Part of what was paid.")
    )
    discount = models.PositiveBigIntegerField(
        _("discount"), default=0, db_default=0, help_text=_("By a promotion code.")
    )
    clawed_back = models.PositiveIntegerField(_("clawed back"), default=0, help_text=_("Credits."))
    version = models.PositiveIntegerField(default=0, editable=False, db_column="moves")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    charged_at = models.DateTimeField(
        _("charged"), null=True, blank=True, help_text=_("When we saw that money had come.")
    )
    paid_at = models.DateTimeField(
        _("credits granted"), null=True, blank=True, help_text=_("Later, if it was held.")
    )

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
            models.Index(fields=["charged_at"], name="payments_by_day_charged"),
            models.Index(
                fields=["status", "-created_at"],
                condition=Q(status__in=["held", "disputed"]),
                name="payments_to_decide",
            ),
            models.Index(fields=["created_at"], condition=Q(status="created"), name="open_payments"),
            models.Index(
                fields=["user", "created_at"],
                condition=Q(customer__isnull=False),
                name="payments_of_customers",
            ),
        ]
        permissions = [("decide_payment", "Can accept and settle payment")]

    def __str__(self) -> str:
        return f"{self.shown_price} for {self.credits} credits"

    @property
    def terms(self) -> tuple[int, int, str]:
        """What its buyer ordered: credits, price and currency."""
        return (self.credits, self.price, self.currency)

    @property
    def reference(self) -> str:
        return f"payment:{self.pk}"

    @property
    def shown_price(self) -> str:
        return money(self.price, self.currency)

    @property
    def refundable(self) -> int:
        """What is left of what was paid, in the smallest unit of `paid_currency`."""
        return max(0, self.paid - self.refunded - self.disputed)


class BalanceTransaction(models.Model):
    """What a payment, its refunds and its disputes did to our account at Stripe, as Stripe states it. Signed, in the account's currency.

    Only `accounts/payments.py` writes here.
    """

    id = models.CharField(_("transaction"), max_length=255, primary_key=True)
    payment = models.ForeignKey(
        Payment, models.PROTECT, related_name="balance_transactions", verbose_name=_("payment")
    )
    category = models.CharField(_("category"), max_length=40, help_text=_("Stripe's reporting category."))
    amount = models.BigIntegerField(_("amount"), help_text=SMALLEST)
    fee = models.BigIntegerField(_("fee"), help_text=_("Stripe's."))
    net = models.BigIntegerField(_("net"), help_text=_("The amount without the fee."))
    currency = models.CharField(_("currency"), max_length=3)
    created_at = models.DateTimeField(_("time"), help_text=_("At Stripe."))

    class Meta:
        verbose_name = _("balance transaction")
        verbose_name_plural = _("balance transactions")
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(net=F("amount") - F("fee")), name="net_is_without_the_fee")
        ]
        indexes = [models.Index(fields=["created_at"], name="money_by_day")]

    def __str__(self) -> str:
        return f"{self.category} {money(self.net, self.currency)}"


class StripeEvent(models.Model):
    """A webhook event from Stripe, for staff to see. Its effect is in the payment."""

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
    problem = models.CharField(
        _("problem"), max_length=300, blank=True, db_default="", help_text=_("Why it cannot be processed.")
    )
    times = models.PositiveIntegerField(_("deliveries"), default=1)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    settled_at = models.DateTimeField(_("processed"), null=True, blank=True)

    class Meta:
        verbose_name = _("Stripe webhook")
        verbose_name_plural = _("Stripe webhooks")
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["received_at"], condition=Q(settled_at=None), name="unprocessed_events")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


# Currencies that do not have two decimals, https://docs.stripe.com/currencies#minor-units
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
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
)


THREE_DECIMALS = ("bhd", "jod", "kwd", "omr", "tnd")


# Stripe wants two decimals of these, and both have to be 0: https://docs.stripe.com/currencies#special-cases
WHOLE_UNITS = ("isk", "ugx")


# The least that can be charged, in the smallest unit, https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
MINIMUM = {
    **dict.fromkeys(("usd", "aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd"), 50),
    "gbp": 30,
    "bgn": 100,
    **dict.fromkeys(("aed", "myr", "pln", "ron"), 200),
    "dkk": 250,
    **dict.fromkeys(("nok", "sek"), 300),
    "hkd": 400,
    **dict.fromkeys(("mxn", "thb"), 1000),
    "czk": 1500,
    "huf": 17500,
    "jpy": 50,
}


DECIMALS = {**dict.fromkeys(NO_DECIMALS, 0), **dict.fromkeys(THREE_DECIMALS, 3)}


def in_smallest_unit(amount: Decimal, currency: str) -> int:
    """12.50, "usd" → 1250. Raises ValueError for a fraction of the smallest unit."""
    cents = amount.scaleb(DECIMALS.get(currency, 2))
    if cents != cents.to_integral_value():
        raise ValueError(f"{amount} {currency} is not a whole number of its smallest unit.")
    return int(cents)


def in_main_unit(amount: int, currency: str) -> Decimal:
    """1250, "usd" → 12.50"""
    return Decimal(amount).scaleb(-DECIMALS.get(currency, 2))


def money(amount: int, currency: str) -> str:
    """Format an amount given in the currency's smallest unit: 1250, "usd" → "12.50 USD"."""
    return f"{in_main_unit(amount, currency):,.{DECIMALS.get(currency, 2)}f} {currency.upper()}"
