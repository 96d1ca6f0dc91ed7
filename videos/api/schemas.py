"""Response schemas for the OpenAPI document."""

from datetime import date
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

Percent = Annotated[int, Field(ge=0, le=100)]
UnixSeconds = Annotated[int, Field(description="Unix seconds.")]
Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class ErrorOut(Schema):
    code: str
    message: str


class VideoObject(Schema):
    """A video: its settings, its progress, and the URL of its file.

    `queue_position` (from 1) and `expected_seconds` (until it is done) are null where they mean nothing or are unknown.
    """

    id: str
    object: Literal["video"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: Percent
    created_at: UnixSeconds
    completed_at: UnixSeconds | None
    expires_at: UnixSeconds | None = Field(description="When `url` ends, in Unix seconds.")
    prompt: str
    size: str = Field(description="Width and height in pixels, such as 1280x720.")
    seconds: str
    remixed_from_video_id: str | None
    error: ErrorOut | None = Field(description="Why it failed; null unless `status` is failed.")
    credits: int = Field(description="What it was charged. Refunded if it fails.")
    metadata: dict[str, str | int] = Field(
        description="As sent with the order. `run_id` of a training drill may be a number."
    )
    url: str | None = Field(description="A link to the file that needs no key; null until completed.")
    queue_position: Annotated[int, Field(ge=1)] | None
    expected_seconds: Annotated[int, Field(ge=0)] | None
    duration: int = Field(description="`seconds` as a number.")
    resolution: str = Field(description="The shorter side, such as 720p.")
    aspect_ratio: str = Field(description="Such as 16:9.")


class VideoList(Schema):
    object: Literal["list"]
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Schema):
    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class FileObject(Schema):
    """A picture that orders can name by its id. `bytes` is its size as stored, a JPEG."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: UnixSeconds
    filename: str
    purpose: Purpose
    status: Literal["processed"]


class FileList(Schema):
    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Schema):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class BatchObject(Schema):
    """Videos that were ordered together. `progress` is the overall progress in percent."""

    id: str
    object: Literal["video_batch"]
    kind: Literal["batch", "campaign"]
    status: Literal["in_progress", "completed"]
    total: int
    completed: int
    failed: int
    progress: Percent
    credits: int
    max_concurrency: int
    created_at: UnixSeconds
    completed_at: UnixSeconds | None
    data: list[VideoObject]


class PriceObject(Schema):
    """A price that differs from the model's default. Null matches any value; the most specific entry applies."""

    size: str | None
    seconds: str | None
    quality: str | None
    audio: bool | None
    credits: int


class ModelObject(Schema):
    """An available model. `credits` is the price of one video, `seconds` the supported lengths."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    credits: int
    prices: list[PriceObject]
    sizes: list[str]
    seconds: list[str]
    has_sound: bool
    takes: list[Literal["image", "last_frame", "seed", "negative_prompt", "audio"]]
    frame_rates: list[int]
    qualities: list[str]
    prompt_limit: int
    retires_on: date | None


class ModelList(Schema):
    object: Literal["list"]
    data: list[ModelObject]


class Credits(Schema):
    """`balance` is available to spend; `reserved` is what running videos have been charged."""

    object: Literal["credits"]
    balance: int
    reserved: int
