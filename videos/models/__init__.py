"""The models: videos and their states, batches, uploads, the catalog, moderation, and operations."""

from videos.models.batch import Batch
from videos.models.catalogue import Audience, Channel, Offer, Price, VideoModel, all_extras
from videos.models.moderation import BlockedTerm, Verdict
from videos.models.operations import Delivery, PumpSlot, WebhookReceipt, Worker
from videos.models.status import (
    ALLOWED_FROM,
    BLOCKED,
    FAILED_THERE,
    LIVE,
    MAX_POSTER_TRIES,
    REASONS,
    REFUNDED_BY_STAFF,
    REFUSED_BY,
    Status,
)
from videos.models.uploads import Upload
from videos.models.validators import CAN_TAKE, EXTRAS, LONGEST, MAX_PROMPT_CHARACTERS, MAX_PROMPT_LIMIT
from videos.models.video import Video, VideoEvent, VideoQuerySet

__all__ = [
    "ALLOWED_FROM",
    "BLOCKED",
    "CAN_TAKE",
    "EXTRAS",
    "FAILED_THERE",
    "LIVE",
    "LONGEST",
    "MAX_POSTER_TRIES",
    "MAX_PROMPT_CHARACTERS",
    "MAX_PROMPT_LIMIT",
    "REASONS",
    "REFUNDED_BY_STAFF",
    "REFUSED_BY",
    "Audience",
    "Batch",
    "BlockedTerm",
    "Channel",
    "Delivery",
    "Offer",
    "Price",
    "PumpSlot",
    "Status",
    "Upload",
    "Verdict",
    "Video",
    "VideoEvent",
    "VideoModel",
    "VideoQuerySet",
    "WebhookReceipt",
    "Worker",
    "all_extras",
]
