"""Parse and validate create and remix requests, from multipart or JSON."""

import asyncio
import base64
import binascii
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from PIL import Image

from .errors import ApiError
from .extras import FRAME_RATES, QUALITIES, Extras
from .pictures import name_of

PROMPT_LENGTH = 32_000  # characters
MODELS = re.compile(r"sora-2(-pro)?(-\d{4}-\d{2}-\d{2})?")
SECONDS = ("4", "8", "12", "16", "20")
SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024", "1920x1080", "1080x1920", "1024x1024")
MORE_SIZES = (
    *("720x720", "1706x720", "1080x1080", "2560x1080", "854x480", "480x854", "480x480", "1138x480"),
)
IMAGE_TYPES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
ANY_SIZE = re.compile("[1-9][0-9]{0,2}[02468]x[1-9][0-9]{0,2}[02468]")  # even, as the encoder requires
ANY_SECONDS = re.compile("[1-9]|[1-5][0-9]|60")
MEMBER = re.compile(r"(\w+)\[(\w+)\]")  # how a form expresses a JSON object: last_frame[image_url]
DATA_URL = re.compile(r"data:(?P<type>[^;,]*);base64,(?P<data>.*)", re.DOTALL)


@dataclass(frozen=True)
class Rules:
    """What a server accepts: by default what OpenAI accepted, a square size, and common extensions."""

    models: re.Pattern[str] = MODELS
    seconds: tuple[str, ...] | re.Pattern[str] = SECONDS
    sizes: tuple[str, ...] | re.Pattern[str] = SIZES
    extras: tuple[str, ...] = ("seed", "negative_prompt")
    ignores_others: bool = False  # whether unknown fields are ignored instead of rejected


@dataclass(frozen=True)
class Upload:
    """An image as received."""

    data: bytes
    type: str  # the MIME type given by the sender


@dataclass(frozen=True)
class Submission:
    """A valid request for one video."""

    prompt: str
    model: str
    seconds: str
    size: str
    image: bytes | None = None
    remix_of: str | None = None
    extras: Extras = field(default_factory=Extras)
    last_image: bytes | None = None  # the picture named by `extras.last_frame`

    @property
    def image_hash(self) -> str:
        return name_of(self.image) if self.image else ""

    @property
    def hash(self) -> str:
        """Equal for equal requests, whatever their encoding."""
        parts: list[Any] = [self.prompt, self.model, self.seconds, self.size, self.image_hash, self.remix_of]
        # Extras are included only if used, so that requests without them keep the hash they had before extras existed.
        extras = self.extras.non_defaults
        words = [extras.pop("seed", ""), extras.pop("negative_prompt", "")]
        parts += words if any(words) or extras else []
        parts += [extras] if extras else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def read_create(request: web.Request, rules: Rules) -> Submission:
    """The submission in a `POST /videos` request. Raises ApiError 400 with the offending `param`."""
    known = ("prompt", "model", "seconds", "size", "input_reference", *rules.extras)
    fields = await _read_fields(request, known, rules.ignores_others)
    last_image = _image("last_frame", fields)
    submission = Submission(
        prompt=_prompt(fields),
        model=_model(fields.get("model", "sora-2"), rules.models),
        seconds=_one_of("seconds", fields.get("seconds", "4"), rules.seconds),
        size=_one_of("size", fields.get("size", "720x1280"), rules.sizes),
        image=_image("input_reference", fields),
        extras=Extras(
            seed=_seed(fields.get("seed", "")),
            negative_prompt=_words("negative_prompt", fields.get("negative_prompt", "")),
            audio=_one_of("audio", _text(fields.get("audio", True)), ("true", "false")) == "true",
            fps=int(_one_of("fps", _text(fields.get("fps", 24)), FRAME_RATES)),
            quality=_one_of("quality", fields.get("quality", "standard"), QUALITIES),
            last_frame=name_of(last_image) if last_image else "",
        ),
        last_image=last_image,
    )
    for name, image in (("input_reference", submission.image), ("last_frame", last_image)):
        if image:
            # Decoding takes about 20 ms; in a thread it does not hold up polls.
            await asyncio.to_thread(_check_image, name, image, submission.size)
    return submission


async def read_remix_prompt(request: web.Request) -> str:
    """The prompt in a `POST /videos/{id}/remix` request. Raises ApiError 400 with the offending `param`."""
    return _prompt(await _read_fields(request, ("prompt",)))


async def _read_fields(
    request: web.Request, known: tuple[str, ...], ignores_others: bool = False
) -> Mapping[str, object]:
    if request.content_type == "application/json":
        fields = await _read_json(request)
    elif request.content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        fields = await _read_form(request)
    else:
        raise ApiError(400, "Send multipart/form-data or application/json.")

    others = [name for name in fields if name not in known]
    if others and not ignores_others:
        raise ApiError(400, f"Unknown parameter: '{others[0]}'.", param=others[0], code="unknown_parameter")
    return {name: value for name, value in fields.items() if name in known}


async def _read_json(request: web.Request) -> Mapping[str, object]:
    try:
        fields = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise ApiError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "The JSON body of your request must be an object.")
    return fields


async def _read_form(request: web.Request) -> Mapping[str, object]:
    try:
        form = await request.post()
    except (ValueError, AssertionError, BadHttpMessage):  # what aiohttp raises for a broken multipart body
        raise ApiError(400, "We could not parse the multipart body of your request.") from None
    fields: dict[str, object] = {}
    for name, value in form.items():
        if isinstance(value, web.FileField):
            fields[name] = Upload(value.file.read(), value.content_type)
        elif (match := MEMBER.fullmatch(name)) and isinstance(
            within := fields.setdefault(match[1], {}), dict
        ):
            within[match[2]] = value
        else:
            fields[name] = value
    return fields


def _prompt(fields: Mapping[str, object]) -> str:
    if "prompt" not in fields:
        raise ApiError(
            400, "Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter"
        )
    prompt = fields["prompt"]
    if not isinstance(prompt, str) or not _is_text(prompt):
        raise ApiError(
            400, "Invalid type for 'prompt': expected a string.", param="prompt", code="invalid_type"
        )
    if not 1 <= len(prompt) <= PROMPT_LENGTH:
        raise ApiError(
            400,
            f"Invalid 'prompt': expected 1 to {PROMPT_LENGTH} characters, got {len(prompt)}.",
            param="prompt",
            code="string_above_max_length" if prompt else "empty_string",
        )
    return prompt


def _seed(value: Any) -> str:
    if re.fullmatch(r"|[0-9]{1,10}", text := str(value)):
        return text
    raise ApiError(400, "Invalid type for 'seed': expected an integer.", param="seed", code="invalid_type")


def _text(value: Any) -> Any:
    """A boolean or number in the form that HTML forms send."""
    return json.dumps(value) if isinstance(value, bool | int) else value


def _words(name: str, value: Any) -> str:
    if isinstance(value, str) and _is_text(value):
        return value
    raise ApiError(400, f"Invalid type for '{name}': expected a string.", param=name, code="invalid_type")


def _is_text(value: str) -> bool:
    """False if it has lone surrogates (`\\ud800` in JSON), which neither files nor databases accept."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _model(value: Any, models: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not models.fullmatch(value):
        raise ApiError(
            400,
            f"Invalid value: {value!r}. Supported models: 'sora-2' and 'sora-2-pro'.",
            param="model",
            code="invalid_value",
        )
    return value


def _one_of(name: str, value: Any, choices: tuple[str, ...] | re.Pattern[str]) -> str:
    if isinstance(choices, re.Pattern):
        if isinstance(value, str) and choices.fullmatch(value):
            return value
        raise ApiError(400, f"Invalid value: {value!r}.", param=name, code="invalid_value")
    if value not in choices:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        raise ApiError(
            400,
            f"Invalid value: {value!r}. Supported values are: {listed}.",
            param=name,
            code="invalid_value",
        )
    return value


def _image(name: str, fields: Mapping[str, object]) -> bytes | None:
    if name not in fields:
        return None
    reference = fields[name]
    if isinstance(reference, dict):
        reference = _upload_from_object(name, reference)
    if not isinstance(reference, Upload):
        raise _bad_image(name, f"Invalid type for '{name}': expected a file.", "invalid_type")
    if reference.type not in IMAGE_TYPES:
        raise _bad_image(
            name,
            f"Invalid file '{name}': unsupported mimetype ('{reference.type}')."
            f" Supported file formats are {', '.join(IMAGE_TYPES)}.",
            "unsupported_file_mimetype",
        )
    return reference.data


def _upload_from_object(name: str, reference: Mapping[str, object]) -> Upload:
    if len(reference) != 1:
        raise _bad_image(name, "Provide exactly one of 'image_url' or 'file_id'.")
    if "file_id" in reference:
        raise _bad_image(
            name, "No such file: this server has no files API. Send the image itself.", "not_found"
        )
    url = reference.get("image_url")
    match = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise _bad_image(
            name, "This server downloads nothing: 'image_url' must be a base64-encoded data URL."
        )
    try:
        data = base64.b64decode(match["data"], validate=True)
    except binascii.Error:
        raise _bad_image(name, "The data URL in 'image_url' is not valid base64.") from None
    return Upload(data, match["type"])


def _check_image(name: str, data: bytes, size: str) -> None:
    """Raise ApiError 400 unless `data` is a complete picture of exactly `size`."""
    try:
        with Image.open(io.BytesIO(data), formats=list(IMAGE_TYPES.values())) as image:
            if (
                f"{image.width}x{image.height}" != size
            ):  # known from the header, so nothing huge is ever decoded
                raise _bad_image(name, "Inpaint image must match the requested width and height")
            image.load()
    except (OSError, ValueError, SyntaxError):  # what Pillow's decoders raise for broken files
        raise _bad_image(name, f"Invalid file '{name}': this is not a readable image.") from None


def _bad_image(name: str, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=name, code=code)
