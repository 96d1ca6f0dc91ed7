"""Plans: credits of each month, paid by a subscription at Stripe."""

from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.payments import SMALLEST, CreditPack, Payment, currency_code, money
from accounts.models.user import User


class Plan(models.Model):
    """What users can subscribe to. Staff may change a plan at any time; a subscription keeps the terms it was made with."""

    name = models.CharField(_("name"), max_length=60)
    credits = models.PositiveIntegerField(
        _("credits a month"), help_text=_("They expire when the next ones come.")
    )
    price = models.PositiveIntegerField(
        _("price a month"), help_text=_("In the smallest unit of the currency, such as cents.")
    )
    currency = models.CharField(_("currency"), max_length=3, default="usd", validators=[currency_code])
    is_sold = models.BooleanField(_("sold"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["position", "price"]
        constraints = [
            models.CheckConstraint(
                condition=Q(credits__gt=0, price__gt=0), name="a_plan_has_credits_and_a_price"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.credits} credits a month"

    @property
    def shown_price(self) -> str:
        return money(self.price, self.currency)

    def clean(self) -> None:
        """Raise ValidationError for a price that Stripe would refuse."""
        CreditPack(price=self.price, currency=self.currency).clean()


class Subscription(models.Model):
    """A user's plan. Only `accounts/plans.py` writes here; what is paid for a month is a payment of its own: see PaidMonth."""

    class Status(models.TextChoices):
        CREATED = "created", _("Not paid")
        ACTIVE = "active", _("Active")
        OVERDUE = "overdue", _("Payment failed")
        ENDED = "ended", _("Ended")

    LIVE = (Status.ACTIVE, Status.OVERDUE)

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="subscriptions", verbose_name=_("user"))
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, verbose_name=_("plan"))
    # Copied from the plan when it was ordered.
    name = models.CharField(_("name"), max_length=60)
    credits = models.PositiveIntegerField(_("credits a month"))
    price = models.PositiveIntegerField(_("price a month"), help_text=SMALLEST)
    currency = models.CharField(_("currency"), max_length=3)
    session = models.CharField(_("session"), max_length=255, unique=True, null=True, blank=True)
    number = models.CharField(
        _("subscription"),
        max_length=255,
        unique=True,
        null=True,
        blank=True,
        help_text=_("Its id at Stripe."),
    )
    customer = models.CharField(
        _("customer"), max_length=255, blank=True, help_text=_("The buyer's id at the processor.")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.CREATED)
    is_ending = models.BooleanField(
        _("canceled"), default=False, help_text=_("It ends with the month that is paid.")
    )
    renews_at = models.DateTimeField(
        _("end of the month"),
        null=True,
        blank=True,
        help_text=_("It is renewed then, unless it was canceled."),
    )
    version = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="subscriptions_of_a_user"),
            models.Index(
                fields=["renews_at"], condition=Q(status__in=["active", "overdue"]), name="live_subscriptions"
            ),
            models.Index(fields=["created_at"], condition=Q(status="created"), name="open_subscriptions"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.credits} credits a month"

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE

    @property
    def shown_price(self) -> str:
        return money(self.price, self.currency)


class PaidMonth(models.Model):
    """A month of a subscription whose invoice was paid: the payment, and how long its credits last. Never changes."""

    payment = models.OneToOneField(
        Payment, models.PROTECT, primary_key=True, related_name="month", verbose_name=_("payment")
    )
    subscription = models.ForeignKey(
        Subscription, models.PROTECT, related_name="months", verbose_name=_("subscription")
    )
    invoice = models.CharField(_("invoice"), max_length=255, unique=True)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))

    class Meta:
        verbose_name = _("paid month")
        verbose_name_plural = _("paid months")
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return f"{self.subscription}, {self.starts_at:%Y-%m-%d}"
