"""What a request orders: its fields, validated strictly, and turned into a VideoOrder."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Self, TypeVar, cast

from django.core.exceptions import ValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic import ValidationError as SchemaError
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from accounts.models import ApiKey, User
from videos import safe_http
from videos.api import spending
from videos.api.errors import ApiError, bad_value, of_order, of_schema
from videos.api.pictures import Pictures, check_picture_url, file_of
from videos.catalogue import availability, capabilities
from videos.models import EXTRAS, MAX_PROMPT_CHARACTERS, MAX_PROMPT_LIMIT, Upload, VideoModel
from videos.order import Extras, PriceRose, VideoOrder, check_price
from videos.providers.base import pixels, resolution, storable

Schema = TypeVar("Schema", bound=BaseModel)

MAX_METADATA = 16  # pairs, as at OpenAI
DEFAULT_SIZE = "720x1280"  # as at OpenAI
# OpenAI's names of versions. A model of the catalog that has exactly such a name comes first.
ALIASES = {
    "sora-2-2025-10-06": "sora-2",
    "sora-2-2025-12-08": "sora-2",
    "sora-2-pro-2025-10-06": "sora-2-pro",
}


def _text(value: str) -> str:
    if value != storable(value):
        raise ValueError("it contains a character that cannot be stored")
    return value


def _digits(value: Any) -> Any:
    """A whole number as its digits: 4, 4.0 and "4.0" (as forms send it) are "4". Anything else is left as it is."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}\.0+", value):
        return value.partition(".")[0]
    is_whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    return str(int(value)) if is_whole else value


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):  # which Python counts as an integer
        raise ValueError("it is a boolean, not a number")
    return value


Text = Annotated[str, AfterValidator(_text)]
NotBoolean = BeforeValidator(_not_boolean)
Whole = Annotated[int, NotBoolean]
MaxCredits = Annotated[int, Field(ge=0, le=10**9), NotBoolean]
# What the document says about a text beyond its type. Orders are checked by their model, whose errors name what it supports.
Prompt = Annotated[
    Text,
    Field(
        json_schema_extra={"minLength": 1, "maxLength": MAX_PROMPT_LIMIT, "pattern": r"[^\s\x1c-\x1f\x85]"}
    ),
]
Size = Annotated[
    Text, Field(json_schema_extra={"pattern": "^[1-9][0-9]*x[1-9][0-9]*$"}, examples=["1280x720"])
]
AspectRatio = Annotated[
    Text, Field(json_schema_extra={"pattern": "^[1-9][0-9]{0,4}:[1-9][0-9]{0,4}$"}, examples=["16:9"])
]
Resolution = Annotated[Text, Field(json_schema_extra={"pattern": "^[1-9][0-9]*p$"}, examples=["720p"])]
PictureUrl = Annotated[
    str, Field(json_schema_extra={"pattern": "^(https|data):"}, examples=["https://example.com/kite.png"])
]
# An empty one counts as absent.
WebhookUrl = Annotated[
    Text,
    Field(
        max_length=500,
        json_schema_extra={"pattern": "^(https://.*)?$"},
        examples=["https://example.com/hooks"],
    ),
]
# Forms have no booleans.
Flag = Annotated[bool, WithJsonSchema({"type": ["boolean", "integer"], "enum": [True, False, 0, 1]})]
# OpenAI's are strings; integers are accepted too.
Seconds = Annotated[
    str,
    BeforeValidator(_digits),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,4}(\.0+)?$"},
                {"type": "integer", "minimum": 0, "maximum": 9999},
            ],
            "examples": ["4"],
        }
    ),
]


def one_of(*names: str) -> JsonDict:
    """What the document says about fields of which exactly one is sent, and the others at most as null."""
    return {
        "oneOf": [
            {
                "required": [name],
                "properties": {other: {"type": "string" if other == name else "null"} for other in names},
            }
            for name in names
        ]
    }


class Picture(BaseModel):
    """A picture by its URL or by the id of a file: exactly one of the two."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=one_of("image_url", "file_id"))
    image_url: PictureUrl | None = Field(default=None, description="An https or data URL.")
    file_id: Text | None = Field(default=None, description="The id of a file of the account, from /v1/files.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.image_url is None and self.file_id is None:
            raise PydanticCustomError("no_picture", "required unless file_id is sent", {"param": "image_url"})
        if self.image_url is not None and self.file_id is not None:
            raise PydanticCustomError(
                "two_pictures", "send either image_url or file_id", {"param": "file_id"}
            )
        return self


class VideoRequest(BaseModel):
    """The fields of `POST /v1/videos`. Those after `input_reference` are additions to OpenAI's API."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, title="VideoOrder")

    prompt: Prompt = Field(description="A description of the video.")
    model: Text | None = Field(
        default=None, description="The id of a model from /v1/models. Default: the first one."
    )
    seconds: Seconds | None = Field(
        default=None, description="The length in seconds. Default: the model's first."
    )
    size: Size | None = Field(
        default=None,
        description="Width and height, such as 1280x720. Default: 720x1280, or else the model's first.",
    )
    input_reference: Picture | None = Field(
        default=None,
        description="The first frame: a file, {image_url} with an https or data URL, or {file_id}.",
    )
    duration: Seconds | None = Field(default=None, description="Alias of seconds.")
    aspect_ratio: AspectRatio | None = Field(default=None, description="Such as 16:9, instead of size.")
    resolution: Resolution | None = Field(
        default=None,
        description="The shorter side, such as 720p. Use it with or without aspect_ratio, instead of size.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32), NotBoolean] | None = Field(
        default=None, description="The same seed and request give a similar video, if the model supports it."
    )
    negative_prompt: Text | None = Field(
        default=None, max_length=MAX_PROMPT_CHARACTERS, description="What to avoid in the video."
    )
    audio: Flag | None = Field(
        default=None, description="Whether to generate sound, if the model supports it."
    )
    fps: Whole | None = Field(default=None, description="Frames per second, one of the model's frame_rates.")
    quality: Text | None = Field(default=None, description="One of the model's qualities.")
    last_frame: Picture | None = Field(
        default=None, description="The last frame: {image_url} with an https or data URL, or {file_id}."
    )
    n: Whole = Field(
        default=1,
        ge=1,
        le=4,
        description="How many videos to create. The ids of the others are in metadata.siblings.",
    )
    max_credits: MaxCredits | None = Field(
        default=None,
        description="The most that the request may cost in total, in credits. If it would cost more, nothing is made or"
        " charged (price_changed).",
    )
    metadata: dict[Annotated[Text, Field(max_length=64)], Annotated[Text, Field(max_length=512)]] = Field(
        default_factory=dict,
        max_length=MAX_METADATA,
        description="Up to 16 key-value pairs of strings, stored with the video.",
    )
    webhook_url: WebhookUrl | None = Field(
        default=None,
        description="An https URL that receives an event when the video completes or fails.",
    )
    user: Text | None = Field(
        default=None, description="Accepted because OpenAI's clients send it, and ignored."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_length(cls, fields: Any) -> Any:
        """Rename duration to seconds, so that an item of a batch overrides a default under either name."""
        if not isinstance(fields, dict) or fields.get("duration") is None:
            return fields
        seconds, duration = (_digits(fields.get(name)) for name in ("seconds", "duration"))
        if seconds not in (None, duration):
            context = {"param": "duration"}
            raise PydanticCustomError(
                "two_lengths", "it differs from seconds; send only one of them", context
            )
        return {name: value for name, value in fields.items() if name != "duration"} | {"seconds": duration}


def checked(schema: type[Schema], fields: Mapping[str, object]) -> Schema:
    """The fields validated by `schema`. Raises ApiError 400 that names the first invalid one."""
    try:
        return schema.model_validate(fields)
    except SchemaError as error:
        raise of_schema(error) from error


def aliases_in(fields: Mapping[str, object]) -> dict[str, str]:
    """The names that a request uses for fields of VideoRequest, so that errors can use them too."""
    return {"seconds": "duration"} if "duration" in fields and "seconds" not in fields else {}


def order_of(key: ApiKey, asked: VideoRequest, file: Any = None) -> VideoOrder:
    """The order of a request. Fetches and stores its pictures after all quick checks."""
    order = without_pictures(key, asked, file)
    check_max_credits(asked.max_credits, order.price * asked.n)
    check_now(key, [asked], order.price * asked.n, order.model)
    return with_pictures(order, asked, Pictures(key.user), file)


def check_now(key: ApiKey, requests: Iterable[VideoRequest], price: int, *models: VideoModel) -> None:
    """Raise ApiError if the account cannot pay, and for any other refusal that comes before a picture is fetched."""
    named = (getattr(asked, name) for asked in requests for name in ("input_reference", "last_frame"))
    if any(picture and picture.image_url is not None for picture in named):
        spending.check_now(key, price, *models)
    else:
        spending.afford(key, price)


def check_max_credits(max_credits: int | None, price: int) -> None:
    """Raise ApiError 409 `price_changed` if a request costs more credits than it allows, if it says how many."""
    try:
        check_price(price, max_credits)
    except PriceRose as error:
        raise ApiError(
            409,
            f"This costs {price} credits, more than max_credits ({max_credits}). Nothing was charged; ask for a new quote.",
            param="max_credits",
            code="price_changed",
        ) from error


def without_pictures(key: ApiKey, asked: VideoRequest, file: Any = None) -> VideoOrder:
    """The order without the pictures that have to be stored first, validated as if they were there. Raises ApiError 400."""
    return of_model(model_of(key, asked.model), key, asked, file)


def of_model(model: VideoModel, key: ApiKey, asked: VideoRequest, file: Any = None) -> VideoOrder:
    """The same for this model, whether or not it is available. Raises ApiError 400."""
    check_webhook(asked.webhook_url)
    for name in ("input_reference", "last_frame"):
        if (picture := getattr(asked, name)) and picture.image_url is not None:
            check_picture_url(picture.image_url, name)
    extras = {name: value for name in EXTRAS if (value := getattr(asked, name)) not in (None, "")}
    order = VideoOrder(
        model=model,
        prompt=asked.prompt,
        size=_size(model, asked),
        seconds=_seconds(model, asked.seconds),
        upload=None if file else _file(key.user, asked.input_reference, "input_reference"),
        last_frame=_file(key.user, asked.last_frame, "last_frame"),
        extras=cast(Extras, extras),
        api_key=key,
        metadata=asked.metadata,
        webhook_url=asked.webhook_url or key.webhook_url,
    )
    wanted = {"image": file or asked.input_reference, "last_frame": asked.last_frame}
    try:
        capabilities.check_order(key.user, order, [name for name, picture in wanted.items() if picture])
    except ValidationError as error:
        raise of_order(error) from error
    return order


def with_pictures(order: VideoOrder, asked: VideoRequest, pictures: Pictures, file: Any = None) -> VideoOrder:
    """The order with the pictures of the request. Raises ApiError that names the field."""
    return replace(
        order,
        upload=pictures.uploaded(file, "input_reference")
        if file is not None
        else _stored(pictures, asked.input_reference, order.upload, "input_reference"),
        last_frame=_stored(pictures, asked.last_frame, order.last_frame, "last_frame"),
    )


def _stored(pictures: Pictures, picture: Picture | None, upload: Upload | None, name: str) -> Upload | None:
    """The picture: fetched, if the request names its URL, else the file that was found already."""
    if picture is not None and picture.image_url is not None:
        return pictures.named(picture.image_url, name)
    return pictures.stored(upload, name)


def _file(user: User, picture: Picture | None, name: str) -> Upload | None:
    """The file that a picture names by its id. Raises ApiError 400."""
    if picture is None or picture.file_id is None:
        return None
    return file_of(user, picture.file_id, f"{name}.file_id")


def model_of(key: ApiKey, slug: str | None) -> VideoModel:
    """The model with this name, or the first one, if it is available and allowed for the key."""
    offered = availability.models(key.user)
    if key.allowed_models:
        offered = offered.filter(slug__in=key.allowed_models)
    name = None if slug is None else _name_in_catalog(slug)
    model = offered.first() if name is None else offered.filter(slug=name).first()
    if model is None:
        if notice := availability.retirement_notice(name or ""):
            raise bad_value("model", notice, "model_retired")
        names = ", ".join(offered.values_list("slug", flat=True)) or "none"
        raise bad_value(
            "model",
            f"Model '{slug or ''}' does not exist or is not available for this key. Available models: {names}.",
            "model_not_found",
        )
    return model


def _name_in_catalog(slug: str) -> str:
    """The model that one of ALIASES stands for; any other name as it is."""
    if slug in ALIASES and not VideoModel.objects.filter(slug=slug).exists():
        return ALIASES[slug]
    return slug


def _size(model: VideoModel, asked: VideoRequest) -> str:
    """The size: given directly, or found by aspect ratio and resolution. DEFAULT_SIZE if the request has none of them."""
    if asked.size is not None:
        if asked.aspect_ratio is not None or asked.resolution is not None:
            raise bad_value("size", "Send either size, or aspect_ratio and resolution.")
        return asked.size
    if asked.aspect_ratio is None and asked.resolution is None and DEFAULT_SIZE in model.sizes:
        return DEFAULT_SIZE
    for size in model.sizes:
        if _has_aspect_ratio(size, asked.aspect_ratio) and _has_resolution(size, asked.resolution):
            return size
    param = "resolution" if asked.aspect_ratio is None else "aspect_ratio"
    raise bad_value(
        param, f"{model.name} does not support this size. Choose one of: {', '.join(model.sizes)}."
    )


def _has_aspect_ratio(size: str, ratio: str | None) -> bool:
    width, height = pixels(size)
    if ratio is None:
        return True
    match = re.fullmatch(r"([1-9][0-9]{0,4}):([1-9][0-9]{0,4})", ratio)
    # 854x480 counts as 16:9 (exact would be 853⅓ pixels), and 2560x1080 is sold as 21:9.
    return match is not None and abs(width / height * int(match[2]) / int(match[1]) - 1) < 0.02


def _has_resolution(size: str, wanted: str | None) -> bool:
    return wanted is None or wanted == resolution(*pixels(size))


def _seconds(model: VideoModel, seconds: str | None) -> int:
    if seconds is None:
        return model.lengths[0]
    if not re.fullmatch(r"[0-9]{1,4}", seconds):
        lengths = capabilities.in_words(model.lengths)
        raise bad_value("seconds", f"Invalid 'seconds': {model.name} supports {lengths}.")
    return int(seconds)


def check_webhook(url: str | None) -> None:
    """Raise ApiError 400 for a URL that events would never be sent to."""
    try:
        if url:
            safe_http.check_url(url)
    except safe_http.AddressRefused as refusal:
        raise bad_value("webhook_url", str(refusal)) from refusal
