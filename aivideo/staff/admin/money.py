from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts import stripe_gateway
from accounts.models import (
    BalanceTransaction,
    CodeBatch,
    CreditEntry,
    CreditPack,
    Draw,
    FreeCredits,
    Lot,
    LowBalance,
    PaidMonth,
    Payment,
    Plan,
    RedeemCode,
    StaffGrant,
    StripeEvent,
    Subscription,
    TopUp,
    money,
)
from aivideo.staff import actions
from aivideo.staff.admin.base import (
    Audited,
    LargeTable,
    ModelAdmin,
    ReadOnly,
    RefundForm,
    StaffActions,
    staff_action,
)

WAITING = StaffGrant.objects.filter(status=StaffGrant.Status.WAITING)


@admin.register(CreditEntry)
class CreditEntryAdmin(ReadOnly, LargeTable, ModelAdmin):
    """Entries are written by `accounts/credits.py` and never change."""

    list_display = ["created_at", "user", "amount", "shown_kind", "reference", "note"]
    list_filter = ["kind"]
    filtered_by_links = ("user__id__exact",)
    list_select_related = ["user"]
    search_fields = ["=user__email", "=user__username", "=reference"]
    search_help_text = _("Exact email address, user name or reference, such as video:<id>.")

    @display(
        description=_("kind"),
        label={
            "grant": "info",
            "purchase": "success",
            "charge": "primary",
            "refund": "warning",
            "expire": "danger",
            "claw_back": "danger",
        },
    )
    def shown_kind(self, entry: CreditEntry) -> tuple[str, str]:
        return entry.kind, entry.get_kind_display()


class DrawInline(ReadOnly, TabularInline):
    model = Draw
    fields = ["charge", "amount", "returned"]


@admin.register(Lot)
class LotAdmin(ReadOnly, ModelAdmin):
    list_display = ["user", "amount", "left", "expires_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__username"]
    date_hierarchy = "expires_at"
    inlines = [DrawInline]


@admin.register(FreeCredits)
class FreeCreditsAdmin(ModelAdmin):
    list_display = ["credits_a_day", "people_a_day_and_network"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is exactly one budget."""
        return super().has_add_permission(request) and not FreeCredits.objects.exists()


@admin.register(CreditPack)
class CreditPackAdmin(Audited, ModelAdmin):
    """Who sells ten thousand credits for a cent grants them, so each change is in the audit log."""

    audited_as = actions.Action.PACK
    list_display = ["name", "credits", "shown_price", "is_sold", "is_recommended", "position"]
    list_filter = ["is_sold"]
    search_fields = ["name"]

    def facts_of(self, row: Any) -> Mapping[str, object]:
        names = ("name", "credits", "price", "currency", "is_sold", "is_recommended", "position")
        return CreditPack.objects.filter(pk=row.pk).values(*names).first() or {}


@admin.register(Plan)
class PlanAdmin(Audited, ModelAdmin):
    """As with packs, each change is in the audit log."""

    audited_as = actions.Action.PACK
    list_display = ["name", "credits", "shown_price", "is_sold", "position"]
    list_filter = ["is_sold"]
    search_fields = ["name"]

    def facts_of(self, row: Any) -> Mapping[str, object]:
        names = ("name", "credits", "price", "currency", "is_sold", "position")
        return Plan.objects.filter(pk=row.pk).values(*names).first() or {}


class TopUpInline(ReadOnly, TabularInline):
    model = TopUp
    fields = ["invoice", "card", "is_open"]
    tab = False


class PaidMonthInline(ReadOnly, TabularInline):
    model = PaidMonth
    fields = ["starts_at", "ends_at", "payment", "invoice"]
    tab = False


@admin.register(LowBalance)
class LowBalanceAdmin(ReadOnly, ModelAdmin):
    """What people want to happen when their balance is low. They change it themselves, on their Credits page."""

    list_display = ["user", "state", "below", "pack", "shown_price", "a_month", "noticed_at"]
    list_filter = ["status", "problem"]
    list_select_related = ["user", "pack"]
    search_fields = ["=customer", "user__email", "user__username"]

    @display(
        description=_("status"),
        ordering="status",
        label={"off": "", "email": "info", "waiting": "", "buy": "success", "paused": "danger"},
    )
    def state(self, low: LowBalance) -> tuple[str, str]:
        return low.status, low.get_status_display()


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, ModelAdmin):
    """Subscriptions are updated by `accounts/plans.py` to the state that Stripe reports. Staff cancel one at Stripe."""

    list_display = ["created_at", "user", "name", "credits", "shown_price", "state", "is_ending", "renews_at"]
    inlines = [PaidMonthInline]
    list_filter = ["status", "is_ending"]
    list_select_related = ["user"]
    search_fields = ["=id", "=number", "=customer", "user__email", "user__username"]

    @display(
        description=_("status"),
        ordering="status",
        label={"created": "", "active": "success", "overdue": "danger", "ended": "info"},
    )
    def state(self, subscription: Subscription) -> tuple[str, str]:
        return subscription.status, subscription.get_status_display()


class BalanceTransactionInline(ReadOnly, TabularInline):
    model = BalanceTransaction
    fields = ["created_at", "category", "shown_amount", "shown_fee", "shown_net"]
    readonly_fields = ["shown_amount", "shown_fee", "shown_net"]
    tab = False

    @display(description=_("amount"))
    def shown_amount(self, one: BalanceTransaction) -> str:
        return money(one.amount, one.currency)

    @display(description=_("fee"))
    def shown_fee(self, one: BalanceTransaction) -> str:
        return money(one.fee, one.currency)

    @display(description=_("net"))
    def shown_net(self, one: BalanceTransaction) -> str:
        return money(one.net, one.currency)


@admin.register(Payment)
class PaymentAdmin(StaffActions, ReadOnly, ModelAdmin):
    """Payments are updated by `accounts/payments.py` to the state that the processor reports."""

    list_display = [
        *("created_at", "user", "shown_price", "credits", "state", "shown_paid", "shown_back"),
        *("shown_net", "clawed_back", "reason"),
    ]
    inlines = [BalanceTransactionInline, TopUpInline]
    list_filter = ["status", "processor", "created_at"]
    list_select_related = ["user"]
    search_fields = ["=id", "=session", "=intent", "user__email", "user__username"]
    actions_detail = ["accept", "pay_back", "settle"]

    @display(
        description=_("status"),
        ordering="status",
        label={
            "created": "",
            "expired": "",
            "paid": "success",
            "held": "warning",
            "refunded": "info",
            "disputed": "danger",
            "lost": "danger",
        },
    )
    def state(self, payment: Payment) -> tuple[str, str]:
        return payment.status, payment.get_status_display()

    @display(description=_("paid"), ordering="paid")
    def shown_paid(self, payment: Payment) -> str:
        return money(payment.paid, payment.paid_currency) if payment.paid else "–"

    @display(description=_("refunded and disputed"))
    def shown_back(self, payment: Payment) -> str:
        back = payment.refunded + payment.disputed
        return money(back, payment.paid_currency) if back else "–"

    @display(description=_("net"))
    def shown_net(self, payment: Payment) -> str:
        """What is left of it in our account at Stripe."""
        sums: dict[str, int] = defaultdict(int)
        for one in payment.balance_transactions.all():
            sums[one.currency] += one.net
        return " + ".join(money(amount, currency) for currency, amount in sorted(sums.items())) or "–"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return super().get_queryset(request).prefetch_related("balance_transactions")

    def has_accept_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        held = Payment.objects.filter(status=Payment.Status.HELD, paid_at=None)
        return self.offers(request, "accounts.decide_payment", held, object_id)

    def has_pay_back_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        with_money = Payment.objects.filter(
            processor=Payment.Processor.STRIPE, paid__gt=F("refunded") + F("disputed")
        )
        return stripe_gateway.is_configured() and self.offers(
            request, "accounts.decide_payment", with_money, object_id
        )

    def has_settle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        of_stripe = Payment.objects.filter(processor=Payment.Processor.STRIPE)
        return stripe_gateway.is_configured() and self.offers(
            request, "accounts.decide_payment", of_stripe, object_id
        )

    accept = staff_action(
        actions.accept,
        _("Accept"),
        _(
            "Asks Stripe once more, then accepts the amount that was paid and grants the credits that were ordered."
        ),
        _("Payment accepted. The credits were granted."),
        icon="check",
        variant=ActionVariant.SUCCESS,
    )
    pay_back = staff_action(
        actions.pay_back,
        _("Refund money"),
        _(
            "Gives money back at Stripe. The same share of the credits is taken back; what was spent becomes a debt."
        ),
        _("Refunded. It may take Stripe and the bank some days."),
        icon="undo",
        variant=ActionVariant.DANGER,
        form=RefundForm,
    )
    settle = staff_action(
        actions.settle,
        _("Refresh from Stripe"),
        _("Fetches the payment's current state from Stripe and applies it."),
        _("Updated from Stripe."),
        icon="sync",
    )


@admin.register(StripeEvent)
class StripeEventAdmin(StaffActions, ReadOnly, ModelAdmin):
    list_display = ["received_at", "kind", "payment", "problem", "times", "settled_at"]
    list_filter = ["kind", "received_at"]
    filtered_by_links = ("settled_at__isnull",)
    list_select_related = ["payment"]
    search_fields = ["=id", "=payment__id"]
    actions_detail = ["close"]

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        unsettled = StripeEvent.objects.filter(settled_at=None)
        return self.offers(request, "accounts.decide_payment", unsettled, object_id)

    close = staff_action(
        actions.close,
        _("Close"),
        _("Takes it out of the money console. Do so when you have looked at the payment at Stripe."),
        _("Closed."),
        icon="check",
    )


@admin.register(StaffGrant)
class StaffGrantAdmin(StaffActions, ReadOnly, ModelAdmin):
    """Grants are written by `accounts/staff_grants.py`. Those of many credits wait here for a second person."""

    list_display = ["created_at", "user", "amount", "giver", "state", "second", "reason"]
    list_filter = ["status", "created_at"]
    list_select_related = ["user", "giver", "second"]
    search_fields = ["=reference", "user__email", "user__username", "giver__email", "giver__username"]
    actions_detail = ["confirm", "decline"]

    @display(
        description=_("status"),
        ordering="status",
        label={"waiting": "warning", "granted": "success", "declined": "danger"},
    )
    def state(self, grant: StaffGrant) -> tuple[str, str]:
        return grant.status, grant.get_status_display()

    def has_confirm_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """A second person, who is not the user either."""
        member: Any = request.user
        return self.offers(
            request, "accounts.grant_credits", WAITING.exclude(giver=member).exclude(user=member), object_id
        )

    def has_decline_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.offers(request, "accounts.grant_credits", WAITING, object_id)

    confirm = staff_action(
        actions.confirm,
        _("Confirm"),
        _("Grants the credits. They never expire."),
        _("Credits granted."),
        icon="check",
        variant=ActionVariant.SUCCESS,
    )
    decline = staff_action(
        actions.decline,
        _("Decline"),
        _("Nothing is granted."),
        _("Declined. Nothing was granted."),
        icon="close",
        variant=ActionVariant.DANGER,
    )


class RedeemCodeInline(ReadOnly, TabularInline):
    model = RedeemCode
    fields = ["redeemed_by", "redeemed_at"]
    tab = False


@admin.register(CodeBatch)
class CodeBatchAdmin(ReadOnly, ModelAdmin):
    """Batches are created by `manage.py create_redeem_codes`, because codes are shown only once."""

    list_display = ["name", "credits", "redeem_until", "lasts_days", "created_at"]
    search_fields = ["name"]
    inlines = [RedeemCodeInline]
