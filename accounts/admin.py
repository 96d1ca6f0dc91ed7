from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import (
    CodeBatch,
    CreditEntry,
    CreditPack,
    Draw,
    FreeCredits,
    Lot,
    Payment,
    RedeemCode,
    StripeEvent,
    User,
)


class ReadOnly:
    """For what only the code may write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(UserAdmin):
    list_display = ["email", "username", "balance", "debt", "is_staff", "is_active", "date_joined"]
    readonly_fields = ["balance", "lapsing", "debt", "last_login", "date_joined"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Credits"), {"fields": ["balance", "lapsing", "debt"]})]

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The ledger refers to every user: switch `is_active` off instead."""
        return False


@admin.register(CreditEntry)
class CreditEntryAdmin(ReadOnly, admin.ModelAdmin):
    """Entries are made by `accounts/credits.py` and never change."""

    list_display = ["created_at", "user", "amount", "kind", "reference", "note"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__username", "reference"]


class DrawInline(ReadOnly, admin.TabularInline):
    model = Draw
    fields = ["charge", "amount"]


@admin.register(Lot)
class LotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["user", "amount", "left", "lapses_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__username"]
    date_hierarchy = "lapses_at"
    inlines = [DrawInline]


@admin.register(FreeCredits)
class FreeCreditsAdmin(admin.ModelAdmin):
    list_display = ["credits_a_day", "people_a_day_and_network"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one budget."""
        return not FreeCredits.objects.exists()


@admin.register(CreditPack)
class CreditPackAdmin(admin.ModelAdmin):
    list_display = ["name", "credits", "shown_price", "is_sold", "position"]


@admin.register(Payment)
class PaymentAdmin(ReadOnly, admin.ModelAdmin):
    """Payments are moved by `accounts/payments.py` to what the processor says of them."""

    list_display = ["created_at", "user", "shown_price", "credits", "status", "clawed_back", "why"]
    list_filter = ["status", "processor", "created_at"]
    list_select_related = ["user"]
    search_fields = ["id", "session", "intent", "user__email", "user__username"]


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["received_at", "kind", "payment", "times", "settled_at"]
    list_filter = ["kind", "received_at"]
    list_select_related = ["payment"]
    search_fields = ["id", "payment__id"]


class RedeemCodeInline(ReadOnly, admin.TabularInline):
    model = RedeemCode
    fields = ["redeemed_by", "redeemed_at"]


@admin.register(CodeBatch)
class CodeBatchAdmin(ReadOnly, admin.ModelAdmin):
    """`manage.py create_redeem_codes` makes them, because the codes can be shown only once."""

    list_display = ["name", "credits", "redeem_until", "lasts_days", "created_at"]
    inlines = [RedeemCodeInline]
