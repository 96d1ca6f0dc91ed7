"""What is to happen when a balance runs low: an email, or a pack that is bought without being asked again."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.payments import SMALLEST, CreditPack, Payment, money
from accounts.models.user import User


class LowBalance(models.Model):
    """What a user has asked for. Only `accounts/low_balance.py` writes here, and `accounts/payments.py` when money goes back."""

    class Status(models.TextChoices):
        OFF = "off", _("Off")
        EMAIL = "email", _("Email")
        WAITING = "waiting", _("Waiting for a card")
        BUY = "buy", _("Buy automatically")
        PAUSED = "paused", _("Paused")

    TO_BUY = (Status.WAITING, Status.BUY)

    class Problem(models.TextChoices):
        """Why nothing is bought any more, until the user asks for it again."""

        DECLINED = "declined", _("The card was declined.")
        CONFIRM = "confirm", _("The bank wants its customer to confirm each payment.")
        CHANGED = "changed", _("The pack is not sold any more, or its terms have changed.")
        RETURNED = "returned", _("A payment was refunded or disputed.")
        LATE = "late", _("The payment could not be made in time.")
        FAILED = "failed", _("The payment could not be made.")

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="low_balance", verbose_name=_("user")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.OFF)
    below = models.PositiveIntegerField(_("below"), help_text=_("Credits."))
    noticed_at = models.DateTimeField(
        _("told"), null=True, blank=True, help_text=_("When the user was told; empty once there is enough.")
    )
    pack = models.ForeignKey(CreditPack, models.SET_NULL, null=True, blank=True, verbose_name=_("pack"))
    # Copied from the pack when the user agreed to it.
    credits = models.PositiveIntegerField(_("credits"), null=True, blank=True)
    price = models.PositiveIntegerField(_("price"), null=True, blank=True, help_text=SMALLEST)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    a_month = models.PositiveSmallIntegerField(
        _("purchases a month"), default=1, help_text=_("At most. A month begins at midnight UTC.")
    )
    session = models.CharField(_("session"), max_length=255, unique=True, null=True, blank=True)
    customer = models.CharField(
        _("customer"), max_length=255, blank=True, help_text=_("The buyer's id at the processor.")
    )
    card = models.CharField(_("card"), max_length=255, blank=True, help_text=_("Its id at the processor."))
    card_name = models.CharField(
        _("name of the card"), max_length=60, blank=True, help_text=_("Such as Visa •••• 4242.")
    )
    problem = models.CharField(_("problem"), max_length=10, choices=Problem, blank=True)

    class Meta:
        verbose_name = _("low balance")
        verbose_name_plural = _("low balances")
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="buy")
                | (Q(credits__gt=0, price__gt=0, a_month__gt=0) & ~Q(card="") & ~Q(customer="")),
                name="who_buys_has_agreed_to_a_price_and_has_a_card",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()}: below {self.below} credits"

    @property
    def shown_price(self) -> str:
        return money(self.price or 0, self.currency)

    @property
    def most_a_month(self) -> int:
        """What is paid in a month at most, without taxes, in the smallest unit of the currency."""
        return (self.price or 0) * self.a_month

    @property
    def terms(self) -> tuple[int | None, int | None, str]:
        """What its owner has agreed to: credits, price and currency."""
        return (self.credits, self.price, self.currency)

    @property
    def is_as_agreed(self) -> bool:
        """Whether the pack is still sold as its buyer agreed to."""
        return self.pack is not None and self.pack.is_sold and self.pack.terms == self.terms


class TopUp(models.Model):
    """A payment that was made because a balance was low, by an invoice at Stripe. Only `accounts/low_balance.py` writes here."""

    payment = models.OneToOneField(
        Payment, models.PROTECT, primary_key=True, related_name="top_up", verbose_name=_("payment")
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="top_ups", verbose_name=_("user"))
    card = models.CharField(_("card"), max_length=255)
    invoice = models.CharField(_("invoice"), max_length=255, unique=True, null=True, blank=True)
    is_open = models.BooleanField(_("under way"), default=True)

    class Meta:
        verbose_name = _("automatic top-up")
        verbose_name_plural = _("automatic top-ups")
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(is_open=True), name="one_top_up_of_a_user_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return str(self.payment)
