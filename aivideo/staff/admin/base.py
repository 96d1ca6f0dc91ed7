"""Building blocks of the admin pages."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.messages import SUCCESS, WARNING
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.paginator import InfinitePaginator
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from aivideo.staff import actions as staff_actions


class ModelAdmin(UnfoldModelAdmin):
    """A page of the admin. Its list can be filtered by what it offers and by nothing else.

    Django allows a filter by any field of the table, so that even a hidden one could be read letter by letter.
    """

    filtered_by_links: tuple[str, ...] = ()  # lookups of links from other pages, such as user__id__exact

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        offered = [self.date_hierarchy, *self.get_list_filter(request)]
        names = [one[0] if isinstance(one, tuple | list) else one for one in offered]
        return lookup in self.filtered_by_links or any(
            lookup in self._lookups(name) for name in names if isinstance(name, str)
        )

    def _lookups(self, name: str) -> set[str]:
        """What Django's filter by this field may put into the address."""
        field = get_fields_from_path(self.model, name)[-1]
        if field.is_relation:
            target = field.path_infos[-1].target_fields[0].name  # type: ignore[attr-defined]
            return {f"{name}__{target}__exact", f"{name}__isnull"}
        return {name, *(f"{name}__{how}" for how in ("exact", "isnull", "gte", "lt", "year", "month", "day"))}


class ReadOnly:
    """For tables that only code may write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NobodyChanges(ReadOnly):
    """For tables of other packages: neither their forms nor their actions are available."""

    actions = None
    list_editable = ()
    inlines = ()


class Audited:
    """A page whose changes are logged in the audit log, in the same transaction."""

    audited_as: staff_actions.Action

    def target_of(self, row: Any) -> str:
        """How the log refers to a row, such as user:7."""
        return f"{row._meta.model_name}:{row.pk}"

    def facts_of(self, row: Any) -> Mapping[str, object]:
        """The values in the database whose changes are logged."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        form.facts_before = self.facts_of(obj)
        super().save_model(request, obj, form, change)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        self._note(request, form.instance, form.facts_before, self.facts_of(form.instance))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._note(request, obj, self.facts_of(obj), {})
        super().delete_model(request, obj)  # type: ignore[misc]

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            self._note(request, row, self.facts_of(row), {})
        super().delete_queryset(request, queryset)  # type: ignore[misc]

    def _note(
        self, request: HttpRequest, row: Any, before: Mapping[str, object], after: Mapping[str, object]
    ) -> None:
        member: Any = request.user
        staff_actions.log_changes(member, self.audited_as, self.target_of(row), before, after)


class LargeTable:
    """For tables with millions of rows: pagination without a count."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50


class ReasonForm(BaseDialogForm):
    """The dialog of a staff action. `form` is a new id each time it is shown, so that sending it twice acts once."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        min_length=3,
        max_length=300,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text=gettext_lazy("Kept in the audit log. Only staff can see it."),
    )
    form = forms.UUIDField(widget=forms.HiddenInput)
    details: tuple[str, ...] = ()  # fields passed on to the action

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["form"].initial = uuid.uuid4()

    def action_request(self) -> staff_actions.ActionRequest:
        data = self.cleaned_data
        return staff_actions.ActionRequest(
            self.request.user, data["reason"], data["form"], data.get("note", "")
        )


class NoteForm(ReasonForm):
    """The dialog of an action that the customer sees."""

    note = forms.CharField(
        label=gettext_lazy("Note to the customer (optional)"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Shown in their statement."),
    )


class GrantForm(NoteForm):
    amount = forms.IntegerField(
        label=gettext_lazy("Credits"),
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    field_order = ("amount", "reason", "note")
    details = ("amount",)


class RefundForm(ReasonForm):
    amount = forms.DecimalField(
        label=gettext_lazy("Amount"),
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=3,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as 12.50, in the currency that was paid. Empty: all that is left."),
    )
    field_order = ("amount", "reason")
    details = ("amount",)


def staff_action(
    verb: Callable[..., bool],
    name: Any,
    description: Any,
    success: Any,
    *,
    icon: str,
    variant: ActionVariant = ActionVariant.DEFAULT,
    form: type[ReasonForm] = ReasonForm,
) -> Callable[..., HttpResponse]:
    """A button on a StaffActions page. It asks for a reason, runs an action of `aivideo.staff.actions` and shows the result.

    `success` is a text, or a function of the action's request that returns one. Assign it to an attribute named like the action, next to has_<action>_permission(request, object_id).
    """

    def press(page: Any, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = page.get_object(request, object_id)
        if row is None:
            raise Http404
        asked = form.action_request()
        try:
            is_done = verb(asked, row, **{name: form.cleaned_data[name] for name in form.details})
        except staff_actions.ActionFailed as failure:
            messages.error(request, str(failure))
        else:
            no_change = _("No change: the record has moved on. Reload and try again.")
            done = success(asked) if callable(success) else success
            messages.add_message(request, *((SUCCESS, done) if is_done else (WARNING, no_change)))
        meta = page.model._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
        return HttpResponse(headers={"HX-Redirect": url})

    press.__name__ = verb.__name__
    dialog = {"title": name, "description": description, "form_class": form, "form_submit_text": name}
    as_button = action(
        description=name, icon=icon, variant=variant, permissions=[verb.__name__], dialog=dialog
    )
    return as_button(press)


class StaffActions:
    """A page with staff actions. An action is offered only in states that allow it; if it comes too late, it says so."""

    def offers(self, request: HttpRequest, right: str, rows: QuerySet[Any], object_id: Any) -> bool:
        """Whether the user has this permission and the row is one of `rows`, those that the action applies to."""
        if not request.user.has_perm(right):  # type: ignore[union-attr]
            return False
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        return request.method == "POST" or (row is not None and rows.filter(pk=row.pk).exists())


def sees_money(request: HttpRequest) -> bool:
    """Whether this member of staff may see amounts of money."""
    return request.user.has_perm("accounts.view_payment")  # type: ignore[union-attr]
