"""`/admin/videos/channel/<id>/compare/`: compare a provider's models with the catalog and apply changes."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from aivideo.staff import actions
from aivideo.staff.admin.base import ReasonForm, sees_money
from videos.catalogue import sync
from videos.catalogue.sync import Difference
from videos.models import CAN_TAKE, Channel
from videos.providers.base import Unavailable

FIELDS = {
    "sizes": gettext_lazy("Sizes"),
    "lengths": gettext_lazy("Lengths"),
    "takes": gettext_lazy("Inputs"),
    "has_sound": gettext_lazy("Sound"),
    "cost_a_second": gettext_lazy("US dollars per second"),
}


class TakeOverForm(ReasonForm):
    models = forms.MultipleChoiceField(
        error_messages={"required": gettext_lazy("Select at least one model.")}
    )


def page(request: HttpRequest, channel: Channel) -> HttpResponse:
    """The differences, each with a checkbox. On POST they are fetched again and the selected ones applied."""
    found, error = _differences(channel)
    form = TakeOverForm(request, channel.pk, request.POST if request.method == "POST" else None)
    models: Any = form.fields["models"]
    models.choices = [(difference.provider_model, difference.name) for difference in found]
    if form.is_valid():
        selected = form.cleaned_data["models"]
        chosen = [difference for difference in found if difference.provider_model in selected]
        actions.take_over(form.action_request(), channel, chosen)
        messages.success(
            request, _("Catalog updated. New models are paused: set a price, then put them on sale.")
        )
        return redirect(reverse("admin:videos_channel_compare", args=[channel.pk]))
    context = {
        **admin.site.each_context(request),
        "title": _("%(channel)s: compare models with the catalog") % {"channel": channel},
        "channel": channel,
        "rows": [(difference, _lines(difference, sees_money(request))) for difference in found],
        "error": error,
        "form": form,
    }
    return TemplateResponse(request, "admin/compare.html", context, status=422 if form.is_bound else 200)


def _differences(channel: Channel) -> tuple[list[Difference], str]:
    """The differences, or why they cannot be determined."""
    try:
        return sync.differences(channel), ""
    except Unavailable as error:
        return [], str(error)


def _lines(difference: Difference, with_money: bool) -> list[tuple[Any, str, str]]:
    """The fields that differ, as (field, ours, theirs) for display; for a new model, all fields."""
    pairs = difference.changes or {name: (None, theirs) for name, theirs in difference.fields.items()}
    return [
        (FIELDS[name], _text(ours), _text(theirs))
        for name, (ours, theirs) in pairs.items()
        if with_money or name != "cost_a_second"
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(CAN_TAKE.get(str(item), item)) for item in value) or "–"
    return {None: "–", True: _("yes"), False: _("no")}.get(value, str(value))
