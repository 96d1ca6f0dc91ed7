from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import CreditEntry, User


@admin.register(User)
class PersonAdmin(UserAdmin):
    list_display = ["email", "username", "balance", "is_staff", "is_active", "date_joined"]
    readonly_fields = ["balance", "last_login", "date_joined"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Credits"), {"fields": ["balance"]})]

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The ledger refers to every user: switch `is_active` off instead."""
        return False


@admin.register(CreditEntry)
class CreditEntryAdmin(admin.ModelAdmin):
    """Read only: entries are made by `accounts/credits.py` and never change."""

    list_display = ["created_at", "user", "amount", "kind", "reference", "note"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__username", "reference"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: CreditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: CreditEntry | None = None) -> bool:
        return False
