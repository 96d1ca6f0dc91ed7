"""`/admin/videos/channel/<id>/compare/`: what a provider says of its models, beside the catalogue, and taking it over."""

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
    "takes": gettext_lazy("Takes"),
    "has_sound": gettext_lazy("Sound"),
    "cost_a_second": gettext_lazy("US dollars a second"),
}


class TakeOverForm(ReasonForm):
    models = forms.MultipleChoiceField(
        error_messages={"required": gettext_lazy("Tick what is to be taken over.")}
    )


def page(request: HttpRequest, channel: Channel) -> HttpResponse:
    """The differences, each with a box to tick. What is ticked is what is asked for again when it is sent."""
    found, refusal = _differences(channel)
    form = TakeOverForm(request, channel.pk, request.POST if request.method == "POST" else None)
    form.fields["models"].choices = [(one.provider_model, one.name) for one in found]  # type: ignore[attr-defined]
    if form.is_valid():
        chosen = [one for one in found if one.provider_model in form.cleaned_data["models"]]
        actions.take_over(form.order(), channel, chosen)
        messages.success(
            request, _("Taken over. What is new is paused: give it a price, then put it on sale.")
        )
        return redirect(reverse("admin:videos_channel_compare", args=[channel.pk]))
    context = {
        **admin.site.each_context(request),
        "title": _("%(channel)s: its models, and what the catalogue says") % {"channel": channel},
        "channel": channel,
        "rows": [(one, _lines(one, sees_money(request))) for one in found],
        "refusal": refusal,
        "form": form,
    }
    return TemplateResponse(request, "admin/compare.html", context, status=422 if form.is_bound else 200)


def _differences(channel: Channel) -> tuple[list[Difference], str]:
    """What there is to take over, or why nobody can tell."""
    try:
        return sync.differences(channel), ""
    except Unavailable as error:
        return [], str(error)


def _lines(one: Difference, with_money: bool) -> list[tuple[Any, str, str]]:
    """What differs, as (field, ours, theirs) in words; of a model that is new, all of it."""
    pairs = one.changes or {name: (None, theirs) for name, theirs in one.fields.items()}
    return [
        (FIELDS[name], _text(ours), _text(theirs))
        for name, (ours, theirs) in pairs.items()
        if with_money or name != "cost_a_second"
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(CAN_TAKE.get(str(one), one)) for one in value) or "–"
    return {None: "–", True: _("yes"), False: _("no")}.get(value, str(value))
