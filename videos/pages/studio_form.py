"""The studio form: what a user can order, checked against the catalog."""

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
from videos.providers.base import pixels


class ModelField(forms.ModelChoiceField):
    """A model by its API name, of those available when the form is created."""

    def __init__(self, **kwargs: Any) -> None:
        unavailable = _("This model is not available. Choose another one.")
        super().__init__(
            VideoModel.objects.none(),
            to_field_name="slug",
            error_messages={"invalid_choice": unavailable},
            **kwargs,
        )

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except ValidationError:
            if notice := availability.retirement_notice(str(value)):
                raise ValidationError(notice) from None
            raise


class LengthInput(forms.NumberInput):
    """One of the common lengths, or "other", with the number in a separate field."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        chosen = data.get(name)
        return data.get(f"other_{name}") if chosen == "other" else chosen


class OrderForm(forms.Form):
    """The fields of every order: a model, a `nonce` that identifies repeated submissions, and the price that was seen."""

    nonce = forms.UUIDField(required=False)
    seen_price = forms.IntegerField(required=False, min_value=0)  # credits for everything that is ordered
    model = ModelField()

    def __init__(self, *args: Any, user: User | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["model"].queryset = availability.models(user)  # type: ignore[attr-defined]


class SizedForm(OrderForm):
    """An order with one size and length. `size` follows from aspect ratio and resolution."""

    aspect_ratio = forms.CharField()
    resolution = forms.CharField()
    seconds = forms.IntegerField(
        widget=LengthInput,
        error_messages={
            "required": _("Enter the length of the video in seconds."),
            "invalid": _("The length must be a whole number of seconds."),
        },
    )

    @classmethod
    def shape(cls, model: VideoModel, size: str) -> dict[str, str]:
        """The field values for this size or, if it is not offered here, for the nearest one."""
        offered = list(shapes.table(model.sizes).values())
        nearest = capabilities.nearest_size(offered, *pixels(size))
        return dict(zip(("aspect_ratio", "resolution"), shapes.shape_of(nearest), strict=True))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if all(field in data for field in ("model", "aspect_ratio", "resolution")):
            model, shape = data["model"], (data["aspect_ratio"], data["resolution"])
            made = shapes.table(model.sizes)
            if shape in made:
                data["size"] = made[shape]
            else:
                self._add_size_error(model, *shape)
        return data

    def _add_size_error(self, model: VideoModel, ratio: str, lines: str) -> None:
        made = shapes.table(model.sizes)
        if resolutions := shapes.resolutions(made, ratio):
            sentence = _("%(model)s does not support %(ratio)s at %(lines)s. Choose one of: %(choices)s.")
            words = {"ratio": ratio, "lines": lines, "choices": ", ".join(resolutions)}
            self.add_error("resolution", sentence % {"model": model.name, **words})
        else:
            sentence = _("%(model)s does not support this aspect ratio. Choose one of: %(choices)s.")
            choices = ", ".join(shapes.ratios(made))
            self.add_error("aspect_ratio", sentence % {"model": model.name, "choices": choices})


MAX_VARIATIONS = 4


class StudioForm(SizedForm):
    """`image` is "" (none), "preset:<name>", or "upload:<id>" of the user; a new `file` takes precedence.

    `last` and `last_file` do the same for the last frame.
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
        """The initial values: the first model's defaults, or the settings of the video `again`."""
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
        """Browsers submit a line break as two characters but count it as one."""
        return self.cleaned_data["prompt"].replace("\r\n", "\n")

    def clean_file(self) -> Upload | None:
        return self._kept("file")

    def clean_last_file(self) -> Upload | None:
        return self._kept("last_file")

    def _kept(self, name: str) -> Upload | None:
        """The new picture, checked, re-encoded, and stored, so that it survives an error in another field."""
        file = self.cleaned_data.get(name)
        if not file or self.user is None:
            return None
        try:
            return uploads.keep(self.user, file)
        except images.ImageRefused as refusal:
            raise ValidationError(str(refusal)) from refusal

    def clean_image(self) -> dict[str, Any]:
        """The keyword argument for VideoOrder: {"preset": name}, {"upload": row}, or {}."""
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
        raise ValidationError(_("This picture is no longer available. Choose another one."))

    def clean_audio(self) -> bool | None:
        return {"on": True, "off": False}.get(self.cleaned_data["audio"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "prompt" not in data:
            return data
        if all(field in data for field in ("model", "size", "seconds")):
            try:
                capabilities.check_order(self.user, self._asked())
            except ValidationError as problems:
                # A last frame has two form fields; show its error at `last`.
                by_field = {
                    {"last_frame": "last"}.get(field, field): found
                    for field, found in problems.message_dict.items()
                }
                raise ValidationError(by_field) from problems
        elif not data.get("prompt", "").strip():
            self.add_error("prompt", _("Enter a prompt."))
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
        """Add an error to each refused input, with how to appeal."""
        fields = {gate.PICTURE: "image", gate.LAST_FRAME: "last"}
        for name, sentence in refusal.sentences.items():
            self.add_error(fields.get(name, name), f"{sentence} {refusal.appeal}")

    @property
    def count(self) -> int:
        """The number of variations."""
        return self.cleaned_data.get("variations") or 1

    def order(self) -> VideoOrder:
        """The order, with a client key made from the page's nonce and the form's values.

        So a second click is the same order, but a changed prompt on the same page (the back button) is a new one.
        """
        nonce = self.cleaned_data.get("nonce")
        order = replace(self._asked(), max_credits=self.cleaned_data.get("seen_price"))
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
