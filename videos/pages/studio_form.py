"""The studio's form: what a person may ask for, checked against the catalogue."""

import hashlib
import uuid
from dataclasses import replace
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from videos.catalogue import availability, capabilities, shapes
from videos.media import images, uploads
from videos.media.presets import presets
from videos.models import EXTRAS, Upload, Video, VideoModel
from videos.moderation import gate
from videos.order import Extras, VideoOrder


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
            if farewell := availability.retirement_notice(str(value)):
                raise ValidationError(farewell) from None
            raise


class LengthInput(forms.NumberInput):
    """A length of those that are usual or "other", whose number stands in a field beside it."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        chosen = data.get(name)
        return data.get(f"other_{name}") if chosen == "other" else chosen


class OrderForm(forms.Form):
    """What every order has: a model and `nonce`, by which a second click is known."""

    nonce = forms.UUIDField(required=False)
    model = ModelField()

    def __init__(self, *args: Any, user: User | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["model"].queryset = availability.models(user)  # type: ignore[attr-defined]


class SizedForm(OrderForm):
    """An order of one size and length. `size` is found by aspect ratio and resolution."""

    aspect_ratio = forms.CharField()
    resolution = forms.CharField()
    seconds = forms.IntegerField(
        widget=LengthInput,
        error_messages={
            "required": _("Say how many seconds the video should last."),
            "invalid": _("The length is a whole number of seconds."),
        },
    )

    @classmethod
    def shape(cls, model: VideoModel, size: str) -> dict[str, str]:
        """What these fields hold for this size or, where it is not offered here, the one that comes nearest."""
        offered = list(shapes.table(model.sizes).values())
        nearest = capabilities.nearest_size(offered, *shapes.pixels(size))
        return dict(zip(("aspect_ratio", "resolution"), shapes.shape_of(nearest), strict=True))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if all(field in data for field in ("model", "aspect_ratio", "resolution")):
            model, shape = data["model"], (data["aspect_ratio"], data["resolution"])
            made = shapes.table(model.sizes)
            if shape in made:
                data["size"] = made[shape]
            else:
                self._say_what_is_made(model, *shape)
        return data

    def _say_what_is_made(self, model: VideoModel, ratio: str, lines: str) -> None:
        made = shapes.table(model.sizes)
        if resolutions := shapes.resolutions(made, ratio):
            sentence = _("%(model)s does not make %(ratio)s in %(lines)s. Choose one of: %(choices)s.")
            words = {"ratio": ratio, "lines": lines, "choices": ", ".join(resolutions)}
            self.add_error("resolution", sentence % {"model": model.name, **words})
        else:
            sentence = _("%(model)s does not make this aspect ratio. Choose one of: %(choices)s.")
            choices = ", ".join(shapes.ratios(made))
            self.add_error("aspect_ratio", sentence % {"model": model.name, "choices": choices})


MAX_VARIATIONS = 4


class StudioForm(SizedForm):
    """`image` is "" (none), "preset:<name>" or "upload:<id>" of the user's own; a new `file` takes precedence.

    `last` and `last_file` are the same for the last frame.
    """

    image = forms.CharField(required=False)
    file = forms.FileField(required=False)
    prompt = forms.CharField(strip=False, required=False)
    audio = forms.ChoiceField(choices=[("on", ""), ("off", "")], required=False)
    quality = forms.CharField(required=False)
    fps = forms.IntegerField(required=False)
    seed = forms.IntegerField(required=False, min_value=0, max_value=2**32 - 1)
    negative_prompt = forms.CharField(required=False)
    last = forms.CharField(required=False)
    last_file = forms.FileField(required=False)
    variations = forms.IntegerField(required=False, min_value=1, max_value=MAX_VARIATIONS)

    @classmethod
    def defaults(cls, user: User | None, again: Video | None = None) -> dict[str, Any]:
        """What an untouched form holds: the first model's defaults, or what made the video `again`."""
        model = availability.models(user).first()
        values: dict[str, Any] = {}
        if user and again:
            order = capabilities.repeat_order(again, user)
            model = order.model
            values = {**cls.shape(model, order.size), "seconds": order.seconds, **order.extras}
            if "audio" in values:
                values["audio"] = "on" if values["audio"] else "off"
            pictures = {"image": order.upload, "last": order.last_frame}
            values |= {name: f"upload:{upload.pk}" if upload else "" for name, upload in pictures.items()}
            if order.preset:
                values["image"] = f"preset:{order.preset}"
        elif model:
            values = {**cls.shape(model, model.sizes[0]), "seconds": model.lengths[0]}
        return {
            "nonce": uuid.uuid4(),
            "model": model and model.slug,
            "prompt": again and again.prompt,
            **values,
        }

    def clean_prompt(self) -> str:
        """Browsers send a line break as two characters, and count it as one."""
        return self.cleaned_data["prompt"].replace("\r\n", "\n")

    def clean_file(self) -> Upload | None:
        return self._kept("file")

    def clean_last_file(self) -> Upload | None:
        return self._kept("last_file")

    def _kept(self, name: str) -> Upload | None:
        """The new picture, checked, re-encoded and kept, so that it survives a mistake in another field."""
        file = self.cleaned_data.get(name)
        if not file or self.user is None:
            return None
        try:
            return uploads.keep(self.user, file)
        except images.ImageRefused as refusal:
            raise ValidationError(str(refusal)) from refusal

    def clean_image(self) -> dict[str, Any]:
        """As a VideoOrder has it: {"preset": name}, {"upload": row} or {}."""
        kind, _colon, name = self.cleaned_data["image"].partition(":")
        if not kind:
            return {}
        if kind == "preset" and name in presets():
            return {"preset": name}
        return {"upload": self._own_upload(kind, name)}

    def clean_last(self) -> Upload | None:
        kind, _colon, name = self.cleaned_data["last"].partition(":")
        return self._own_upload(kind, name) if kind else None

    def _own_upload(self, kind: str, name: str) -> Upload:
        if kind == "upload" and self.user:
            try:
                return self.user.uploads.get(pk=uuid.UUID(name))
            except (Upload.DoesNotExist, ValueError):
                pass
        raise ValidationError(_("This picture is not here (any more). Choose another one."))

    def clean_audio(self) -> bool | None:
        return {"on": True, "off": False}.get(self.cleaned_data["audio"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "prompt" not in data:
            return data
        if all(field in data for field in ("model", "size", "seconds")):
            try:
                capabilities.check_order(self._asked())
            except ValidationError as problems:
                # A last frame has two fields here; what is wrong with it stands beside both.
                by_field = {
                    {"last_frame": "last"}.get(field, field): found
                    for field, found in problems.message_dict.items()
                }
                raise ValidationError(by_field) from problems
        elif not data.get("prompt", "").strip():
            self.add_error("prompt", _("Say what should happen in the video."))
        return data

    def _asked(self) -> VideoOrder:
        data = self.cleaned_data
        image = {"upload": data["file"]} if data.get("file") else data.get("image", {})
        return VideoOrder(
            model=data["model"],
            prompt=data["prompt"],
            size=data["size"],
            seconds=data["seconds"],
            **image,
            last_frame=data.get("last_file") or data.get("last"),
            extras=cast(Extras, {name: data[name] for name in EXTRAS if data.get(name) not in (None, "")}),
        )

    def add_refusal(self, refusal: gate.Refused) -> None:
        """Say at each input that may not be made that it is this one, and how to object."""
        fields = {gate.PICTURE: "image", gate.LAST_FRAME: "last"}
        for name, sentence in refusal.sentences.items():
            self.add_error(fields.get(name, name), f"{sentence} {refusal.appeal}")

    @property
    def count(self) -> int:
        """How many variations of the order are wanted."""
        return self.cleaned_data.get("variations") or 1

    def order(self) -> VideoOrder:
        """The order, with a key that joins the page's nonce and what was asked.

        So a second click is the same order, and a changed prompt on the same page (the back button) another one.
        """
        nonce, order = self.cleaned_data.get("nonce"), self._asked()
        if not nonce:
            return order
        pictures = [order.preset or order.upload] if "image" in order.pictures else []
        values = [
            order.model,
            order.prompt,
            order.size,
            order.seconds,
            *pictures,
            order.last_frame,
            order.extras,
        ]
        said = "\x1f".join(str(getattr(value, "pk", value)) for value in [*values, self.count])
        return replace(order, client_key=hashlib.sha256(f"{nonce}\x1f{said}".encode()).hexdigest())
