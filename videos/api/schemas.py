"""Response schemas for the OpenAPI document."""

from typing import Any

from ninja import Schema


class ErrorOut(Schema):
    code: str
    message: str


class VideoObject(Schema):
    """A video: its settings, its progress, and the URL of its file.

    `queue_position` (from 1) and `expected_seconds` (until it is done) are null where they mean nothing or are unknown.
    """

    id: str
    object: str = "video"
    model: str
    status: str
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str
    size: str
    seconds: str
    remixed_from_video_id: str | None
    error: ErrorOut | None
    credits: int
    metadata: dict[str, Any]
    url: str | None
    queue_position: int | None
    expected_seconds: int | None
    duration: int
    resolution: str
    aspect_ratio: str


class VideoList(Schema):
    object: str = "list"
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Schema):
    id: str
    object: str = "video.deleted"
    deleted: bool


class FileObject(Schema):
    """A picture that orders can name by its id. `bytes` is its size as stored, a JPEG."""

    id: str
    object: str = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str


class FileList(Schema):
    object: str = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Schema):
    id: str
    object: str = "file"
    deleted: bool


class BatchObject(Schema):
    """Videos that were ordered together. `progress` is the overall progress in percent."""

    id: str
    object: str = "video_batch"
    kind: str
    status: str
    total: int
    completed: int
    failed: int
    progress: int
    credits: int
    max_concurrency: int
    created_at: int
    completed_at: int | None
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
    object: str = "model"
    created: int
    owned_by: str
    name: str
    credits: int
    prices: list[PriceObject]
    sizes: list[str]
    seconds: list[str]
    has_sound: bool
    takes: list[str]
    frame_rates: list[int]
    qualities: list[str]
    prompt_limit: int
    retires_on: str | None


class ModelList(Schema):
    object: str = "list"
    data: list[ModelObject]


class Credits(Schema):
    """`balance` is available to spend; `reserved` is what running videos have been charged."""

    object: str = "credits"
    balance: int
    reserved: int
