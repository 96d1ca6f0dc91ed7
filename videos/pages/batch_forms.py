"""The batch forms: a list of prompts, and a campaign."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from videos.generation import batches
from videos.order import VideoOrder
from videos.pages.studio_form import OrderForm, SizedForm

MAX_CSV_BYTES = 1_000_000


class PromptsForm(SizedForm):
    """One model, size and length for all prompts. The nonce of these forms becomes the batch's id."""

    prompts = forms.CharField(required=False, strip=False)
    file = forms.FileField(required=False)

    def clean_file(self) -> str:
        file = self.cleaned_data.get("file")
        if not file:
            return ""
        if file.size > MAX_CSV_BYTES:
            raise forms.ValidationError(_("The file can be at most 1 MB."))
        try:
            return file.read().decode()
        except UnicodeDecodeError:
            raise forms.ValidationError(
                _("This file is not UTF-8 text. Save it as “CSV UTF-8” and try again.")
            ) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        prompts = batches.read_prompts(data.get("file") or data.get("prompts", ""))
        if not prompts and "file" not in self.errors:
            self.add_error("prompts", _("Enter one prompt per line or choose a CSV file."))
        if len(prompts) > batches.MAX_VIDEOS:
            self.add_error(
                "prompts",
                _("You entered %(count)d prompts; the limit is %(max)d.")
                % {"count": len(prompts), "max": batches.MAX_VIDEOS},
            )
        data["found"] = prompts
        return data

    def orders(self) -> list[VideoOrder]:
        data = self.cleaned_data
        return [
            VideoOrder(model=data["model"], prompt=prompt, size=data["size"], seconds=data["seconds"])
            for prompt in data["found"]
        ]


class CampaignForm(OrderForm):
    """One idea for several platforms, each with an editable style."""

    idea = forms.CharField(error_messages={"required": gettext_lazy("Describe the campaign.")})
    platforms = forms.MultipleChoiceField(
        choices=[(name, about.name) for name, about in batches.PLATFORMS.items()],
        error_messages={"required": gettext_lazy("Choose at least one platform.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in batches.PLATFORMS:
            self.fields[f"style_{name}"] = forms.CharField(required=False, max_length=500)

    def orders(self) -> list[VideoOrder]:
        data = self.cleaned_data
        styles = {name: data[f"style_{name}"] for name in batches.PLATFORMS}
        return batches.campaign(data["model"], data["idea"], data["platforms"], styles)
