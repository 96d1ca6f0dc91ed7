from collections.abc import Mapping
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import User
from aivideo.staff import account_page, actions
from aivideo.staff.admin.base import Audited, GrantForm, ModelAdmin, ReadOnly, StaffActions, staff_action

CREDITS: list[Any] = ["balance", "expiring", "debt", "staff_credits_a_day", "credits_a_day"]
# An account that was prepared for an address belongs to whoever signs in with it: see accounts/sign_in.py.
IDENTITY = ("username", "email")
RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


def _after_grant(request: actions.ActionRequest) -> Any:
    if actions.is_waiting(request):
        return _(
            "Not granted yet: so many credits need a second member of staff, who confirms it in the money console."
        )
    return _("Credits granted.")


@admin.register(User)
class PersonAdmin(Audited, StaffActions, UserAdmin, ModelAdmin):
    audited_as = actions.Action.RIGHTS
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "username", "balance", "owes", "state", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff", "groups", "date_joined"]
    search_fields = ["email", "username", "first_name", "last_name"]
    ordering = ["-date_joined"]
    show_full_result_count = False
    readonly_fields = ["balance", "expiring", "debt", "credits_a_day", "last_login", "date_joined"]
    fieldsets = [*(UserAdmin.fieldsets or ()), (_("Credits"), {"fields": CREDITS})]
    actions_detail = ["grant", "suspend", "readmit"]

    change_form_after_template = "admin/person_account.html"

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        user = self.get_object(request, object_id) if object_id else None
        context = account_page.context(request, user) if user else {}
        return super().changeform_view(request, object_id, form_url, context | (extra_context or {}))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only superusers: whoever creates a user knows their password."""
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        is_in_reach = obj is None or not obj.is_superuser or _is_superuser(request)
        return is_in_reach and super().has_change_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        if not _is_superuser(request):
            options["form"] = ModelForm  # UserChangeForm has the password
        return super().get_form(request, obj, change=change, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only superusers change permissions and how somebody signs in. `change_user` covers names; suspending is an action."""
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_superuser(request) else [*fields, *RIGHTS, *IDENTITY, "password"]

    def facts_of(self, row: Any) -> Mapping[str, object]:
        user = User.objects.filter(pk=row.pk).first()
        if user is None:
            return {}
        flags = {name: getattr(user, name) for name in ("is_active", "is_staff", "is_superuser")}
        groups = set(user.groups.values_list("name", flat=True))
        rights = {"groups": groups, "user_permissions": _names(user.user_permissions)}
        return flags | rights | {"staff_credits_a_day": user.staff_credits_a_day}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Logs that somebody signs in differently, without the address: the log is kept for ever."""
        super().save_model(request, obj, form, change)
        for name in set(IDENTITY) & set(form.changed_data) if change else ():
            self._note(request, obj, {name: "old"}, {name: "new"})

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Superusers may set anybody's password; other users change their own with the old one."""
        if not _is_superuser(request):
            raise PermissionDenied
        user = self.get_object(request, id)
        before = user and user.password
        response: HttpResponse = super().user_change_password(request, id, form_url)
        if user and User.objects.get(pk=user.pk).password != before:
            self._note(request, user, {"password": "old"}, {"password": "new"})
        return response

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without permissions and password hashes for anybody but superusers."""
        if _is_superuser(request):
            return super().get_fieldsets(request, obj)
        person = ["username", "email", "first_name", "last_name", "is_active", "last_login", "date_joined"]
        return [(None, {"fields": person}), (_("Credits"), {"fields": CREDITS})]

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The ledger refers to every user, so none can be deleted: suspend instead."""
        return False

    @display(description=_("state"), ordering="is_active", label={"active": "success", "suspended": "danger"})
    def state(self, user: User) -> tuple[str, Any]:
        return ("active", _("active")) if user.is_active else ("suspended", _("suspended"))

    @display(description=_("owes"), ordering="debt", label="danger")
    def owes(self, user: User) -> str:
        return f"{user.debt:,}" if user.debt else ""

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Nobody grants to themselves."""
        member: Any = request.user
        return member.has_perm("accounts.grant_credits") and self.get_object(request, object_id) != member

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_suspend(request, object_id, is_active=True)

    def has_readmit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_suspend(request, object_id, is_active=False)

    def _may_suspend(self, request: HttpRequest, object_id: Any, *, is_active: bool) -> bool:
        """Nobody suspends themselves, and only superusers suspend other members of staff."""
        user = self.get_object(request, object_id)
        if user == request.user or (user and user.is_staff and not request.user.is_superuser):  # type: ignore[union-attr]
            return False
        users = User.objects.filter(is_active=is_active)
        return self.offers(request, "accounts.suspend_user", users, object_id)

    grant = staff_action(
        actions.grant,
        _("Grant credits"),
        _("Granted credits never expire. Many at once, or in a day, need a second member of staff."),
        _after_grant,
        icon="add_card",
        variant=ActionVariant.PRIMARY,
        form=GrantForm,
    )
    suspend = staff_action(
        actions.suspend,
        _("Suspend"),
        _("The user is signed out and cannot sign in. Their queued videos are canceled and refunded."),
        _("User suspended."),
        icon="block",
        variant=ActionVariant.DANGER,
    )
    readmit = staff_action(
        actions.readmit,
        _("Reinstate"),
        _("The user can sign in again."),
        _("User reinstated."),
        icon="how_to_reg",
        variant=ActionVariant.SUCCESS,
    )


@admin.register(Group)
class RoleAdmin(Audited, GroupAdmin, ModelAdmin):
    """A group's permissions apply to all of its members, so only superusers may edit groups."""

    audited_as = actions.Action.RIGHTS

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def facts_of(self, row: Any) -> Mapping[str, object]:
        group = Group.objects.filter(pk=row.pk).first()
        return {"name": group.name, "permissions": _names(group.permissions)} if group else {}


@admin.register(Authenticator)
class SecondFactorAdmin(Audited, ReadOnly, ModelAdmin):
    """Deleting one lets a user who lost their device set up another. The secrets are never shown."""

    audited_as = actions.Action.RIGHTS
    list_display = ["user", "type", "created_at", "last_used_at"]
    list_select_related = ["user"]
    list_filter = ["type"]
    search_fields = ["user__email", "user__username"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def target_of(self, row: Any) -> str:
        return f"user:{row.user_id}"

    def facts_of(self, row: Any) -> Mapping[str, object]:
        return {"second factor": row.type}


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)  # type: ignore[union-attr]


def _names(permissions: Any) -> set[str]:
    return {".".join(names) for names in permissions.values_list("content_type__app_label", "codename")}
