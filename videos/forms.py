"""The studio's form: what a person may ask for, checked against the catalogue."""

import hashlib
import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from videos import catalogue, images, uploads
from videos.models import Upload, Video, VideoModel
from videos.presets import presets


class ModelField(forms.ModelChoiceField):
    """A model by its name in the API, of those that are offered when a form is made."""

    def __init__(self, **kwargs: Any) -> None:
        gone = _("This model is not offered (any more). Choose another one.")
        super().__init__(
            VideoModel.objects.none(), to_field_name="slug", error_messages={"invalid_choice": gone}, **kwargs
        )

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except ValidationError:
            if farewell := catalogue.farewell(str(value)):
                raise ValidationError(farewell) from None
            raise


class StudioForm(forms.Form):
    """`image` is "" (none), "preset:<name>" or "upload:<id>" of the user's own; a new `file` takes precedence."""

    nonce = forms.UUIDField(required=False)
    image = forms.CharField(required=False)
    file = forms.FileField(required=False)
    prompt = forms.CharField(strip=False, required=False)
    model = ModelField()
    size = forms.CharField()
    seconds = forms.IntegerField(error_messages={"invalid": _("The length is a whole number of seconds.")})

    def __init__(self, *args: Any, user: User | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["model"].queryset = catalogue.models()  # type: ignore[attr-defined]

    @classmethod
    def defaults(cls, again: Video | None = None) -> dict[str, Any]:
        """What an untouched form holds: the first model's defaults, or what made the video `again`."""
        if again:
            image = f"preset:{again.preset}" if again.preset else f"upload:{again.upload_id or ''}"
            return {
                "image": "" if image == "upload:" else image,
                "prompt": again.prompt,
                **cls._of(catalogue.current(again.model), again.size, again.seconds),
            }
        return cls._of(catalogue.models().first())

    @staticmethod
    def _of(model: VideoModel | None, size: str = "", seconds: int = 0) -> dict[str, Any]:
        """A model with this size and length or, where it does not make them, its own first ones."""
        return {
            "model": model and model.slug,
            "size": size if model is None or size in model.sizes else model.sizes[0],
            "seconds": seconds if model is None or seconds in model.lengths else model.lengths[0],
            "nonce": uuid.uuid4(),
        }

    def clean_prompt(self) -> str:
        """Browsers send a line break as two characters, and count it as one."""
        return self.cleaned_data["prompt"].replace("\r\n", "\n")

    def clean_file(self) -> Upload | None:
        """The new picture, checked, re-encoded and kept, so that it survives a mistake in another field."""
        file = self.cleaned_data.get("file")
        if not file or self.user is None:
            return None
        try:
            return uploads.keep(self.user, file)
        except images.ImageRefused as refusal:
            raise ValidationError(str(refusal)) from refusal

    def clean_image(self) -> dict[str, Any]:
        """As `generation.start` takes it: {"preset": name}, {"upload": row} or {}."""
        kind, _colon, name = self.cleaned_data["image"].partition(":")
        if not kind:
            return {}
        if kind == "preset" and name in presets():
            return {"preset": name}
        if kind == "upload" and self.user:
            try:
                return {"upload": self.user.uploads.get(pk=uuid.UUID(name))}
            except (Upload.DoesNotExist, ValueError):
                pass
        raise ValidationError(_("This picture is not here (any more). Choose another one."))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "prompt" not in data:
            return data
        if all(field in data for field in ("model", "size", "seconds")):
            catalogue.check_order(data["model"], data.get("prompt", ""), data["size"], data["seconds"])
        elif not data.get("prompt", "").strip():
            self.add_error("prompt", _("Say what should happen in the video."))
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of `generation.start`.

        The key joins the page's nonce with what was asked: a second click is the same order, and a
        changed prompt on the same page (the back button) is another one.
        """
        data = self.cleaned_data
        image = {"upload": data["file"]} if data.get("file") else data["image"]
        order = {name: data[name] for name in ("model", "prompt", "size", "seconds")} | image
        said = "\x1f".join(str(getattr(value, "pk", value)) for value in order.values())
        key = hashlib.sha256(f"{data['nonce']}\x1f{said}".encode()).hexdigest() if data.get("nonce") else None
        return order | {"client_key": key}
