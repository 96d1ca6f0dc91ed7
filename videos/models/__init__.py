"""What you came for: the videos, where they are made, and the states of a job."""

from videos.models.catalogue import EXTRAS, Channel, Offer, Price, VideoModel, all_extras
from videos.models.video import (
    COMES_FROM,
    LIVE,
    REASONS,
    Batch,
    Status,
    Upload,
    Video,
    VideoEvent,
    VideoQuerySet,
)
from videos.models.work import Delivery, PumpSlot, WebhookReceipt, Worker

__all__ = [
    "COMES_FROM",
    "EXTRAS",
    "LIVE",
    "REASONS",
    "Batch",
    "Channel",
    "Delivery",
    "Offer",
    "Price",
    "PumpSlot",
    "Status",
    "Upload",
    "Video",
    "VideoEvent",
    "VideoModel",
    "VideoQuerySet",
    "WebhookReceipt",
    "Worker",
    "all_extras",
]
