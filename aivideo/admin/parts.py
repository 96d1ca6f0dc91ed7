"""What the pages of the admin are made of."""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from aivideo import staff


class ReadOnly:
    """For what only the code may write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Endless:
    """For tables of millions: pages are turned without counting all rows first."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50


class ReasonForm(BaseDialogForm):
    """Every deed of staff says why. `form` is new each time it is shown, so that the same one sent twice is one deed."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        min_length=3,
        max_length=300,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text=gettext_lazy("It stays in the audit log."),
    )
    form = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["form"].initial = uuid.uuid4()

    def order(self) -> staff.Order:
        return staff.Order(self.request.user, self.cleaned_data["reason"], self.cleaned_data["form"])


class GrantForm(ReasonForm):
    amount = forms.IntegerField(
        label=gettext_lazy("Credits"),
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    field_order = ("amount", "reason")


def deed(
    name: Any, about: Any, *, permission: str, icon: str, variant: ActionVariant, form: Any = ReasonForm
) -> Callable[..., Any]:
    """A button on a page of the admin that asks for a reason first.

    The decorated method takes (request, form, object_id) and answers by `done`. `permission` names a method
    has_<permission>_permission(request, object_id).
    """
    dialog = {"title": name, "description": about, "form_class": form, "form_submit_text": name}
    return action(description=name, icon=icon, variant=variant, permissions=[permission], dialog=dialog)


class HasDeeds:
    """A page with deeds; they lead back to it.

    A deed is offered where its rows allow it. One that comes too late is not refused but says so.
    """

    model: Any

    def offers(self, request: HttpRequest, right: str, rows: QuerySet[Any], object_id: Any) -> bool:
        """Whether somebody with this right finds the row among those that the deed is for."""
        if not request.user.has_perm(right):  # type: ignore[union-attr]
            return False
        return request.method == "POST" or rows.filter(pk=object_id).exists()

    def answer(self, request: HttpRequest, object_id: Any, is_done: bool, said: Any) -> HttpResponse:
        """Back to the page, with what came of it."""
        if is_done:
            messages.success(request, said)
        else:
            messages.warning(
                request, _("Nothing was done: it is not in that state any more. Look at it again.")
            )
        meta = self.model._meta
        page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": page})


def sees_money(request: HttpRequest) -> bool:
    """Whether a member of staff may see amounts of money."""
    return request.user.has_perm("accounts.view_payment")  # type: ignore[union-attr]
