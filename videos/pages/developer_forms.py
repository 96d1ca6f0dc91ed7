"""The forms of API keys and their webhooks."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts import api_keys
from accounts.models import ApiKey
from videos import safe_http
from videos.catalogue import availability
from videos.webhooks import events

LIFETIMES = [
    ("", gettext_lazy("Never")),
    ("30", gettext_lazy("In 30 days")),
    ("90", gettext_lazy("In 90 days")),
    ("365", gettext_lazy("In a year")),
]


class KeyForm(forms.Form):
    """The name and limits of a new key."""

    name = forms.CharField(
        max_length=60, error_messages={"required": gettext_lazy("Enter a name for the key.")}
    )
    credits_a_day = forms.IntegerField(min_value=1, max_value=1_000_000_000, required=False)
    max_credits = forms.IntegerField(min_value=1, max_value=1_000_000_000, required=False)
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False)
    models = forms.MultipleChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["models"].choices = [(model.slug, model.name) for model in availability.models()]  # type: ignore[attr-defined]

    def limits(self) -> dict[str, Any]:
        """The arguments of `api_keys.create`."""
        data = self.cleaned_data
        days = data["lifetime"]
        return {
            "credits_a_day": data["credits_a_day"],
            "max_credits": data["max_credits"],
            "allowed_models": data["models"],
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


class WebhookForm(forms.Form):
    """Where the events of a key are sent, in which format, and which events."""

    url = forms.CharField(max_length=500, required=False)
    webhook_form = forms.ChoiceField(choices=ApiKey.WebhookForm.choices, required=False)
    events = forms.MultipleChoiceField(choices=list(events.EVENTS.items()), required=False)

    def clean_url(self) -> str:
        url = self.cleaned_data["url"]
        try:
            if url:
                safe_http.check_url(url)
        except safe_http.AddressRefused as refusal:
            raise ValidationError(str(refusal)) from refusal
        return url

    def apply_to(self, key: ApiKey) -> None:
        """Save the webhook of this key."""
        key.webhook_url = self.cleaned_data["url"]
        key.webhook_form = self.cleaned_data["webhook_form"] or ApiKey.WebhookForm.STANDARD
        events.choose(key, self.cleaned_data["events"])
        key.save(update_fields=["webhook_url", "webhook_form", "webhook_events"])


class RepeatForm(forms.Form):
    """The repeat window of a key, in seconds. Empty: off."""

    repeat_window = forms.IntegerField(
        min_value=0, max_value=int(api_keys.MAX_REPEAT_WINDOW.total_seconds()), required=False
    )
