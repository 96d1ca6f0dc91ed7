from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import User
from aivideo import staff
from aivideo.admin.parts import GrantForm, HasDeeds, ReadOnly, deed


@admin.register(User)
class PersonAdmin(HasDeeds, UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "username", "balance", "owes", "state", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff", "groups", "date_joined"]
    search_fields = ["email", "username", "first_name", "last_name"]
    ordering = ["-date_joined"]
    show_full_result_count = False
    readonly_fields = ["balance", "lapsing", "debt", "last_login", "date_joined"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Credits"), {"fields": ["balance", "lapsing", "debt"]})]
    actions_detail = ["grant", "suspend", "readmit"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees neither digests of passwords nor rights."""
        if self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        person = ["username", "email", "first_name", "last_name", "is_active", "last_login", "date_joined"]
        return [(None, {"fields": person}), (_("Credits"), {"fields": ["balance", "lapsing", "debt"]})]

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The ledger refers to every user: suspend instead."""
        return False

    @display(description=_("state"), ordering="is_active", label={"active": "success", "suspended": "danger"})
    def state(self, user: User) -> tuple[str, Any]:
        return ("active", _("active")) if user.is_active else ("suspended", _("suspended"))

    @display(description=_("owes"), ordering="debt", label="danger")
    def owes(self, user: User) -> str:
        return f"{user.debt:,}" if user.debt else ""

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("accounts.grant_credits")  # type: ignore[union-attr]

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_shut_out(request, object_id, is_active=True)

    def has_readmit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_shut_out(request, object_id, is_active=False)

    def _may_shut_out(self, request: HttpRequest, object_id: Any, *, is_active: bool) -> bool:
        """Nobody shuts out themselves, and only superusers another member of staff."""
        person = self.get_object(request, object_id)
        if person == request.user or (person and person.is_staff and not request.user.is_superuser):  # type: ignore[union-attr]
            return False
        people = User.objects.filter(is_active=is_active)
        return self.offers(request, "accounts.suspend_user", people, object_id)

    grant = deed(
        staff.grant,
        _("Grant credits"),
        _("They are theirs for good."),
        _("The credits were granted."),
        icon="add_card",
        variant=ActionVariant.PRIMARY,
        form=GrantForm,
    )
    suspend = deed(
        staff.suspend,
        _("Suspend"),
        _("They are signed out and cannot come back; what of theirs waits is canceled and refunded."),
        _("They are suspended."),
        icon="block",
        variant=ActionVariant.DANGER,
    )
    readmit = deed(
        staff.readmit,
        _("Let in again"),
        _("They may sign in as before."),
        _("They may sign in again."),
        icon="how_to_reg",
        variant=ActionVariant.SUCCESS,
    )


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):
    pass


@admin.register(Authenticator)
class SecondFactorAdmin(ReadOnly, ModelAdmin):
    """Deleting one lets somebody who lost a device set up another. The secrets themselves are never shown."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_select_related = ["user"]
    list_filter = ["type"]
    search_fields = ["user__email", "user__username"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)  # type: ignore[union-attr]
