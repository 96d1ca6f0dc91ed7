"""An example of every response and event. Tests hold them against the schemas of the document."""

from collections.abc import Mapping
from typing import Any

from videos.api.errors import MESSAGES, ApiError
from videos.api.openapi.examples import PROMPT, RUN

CREATED, DONE = 1_767_225_600, 1_767_225_662  # Unix seconds
ID = "video_3f2a9c5e7b1d4e8f9a0b6c2d8e4f1a7b"
LINK = "https://video.example.com/v1/links/3f2a9c5e7b1d4e8f9a0b6c2d8e4f1a7b.1767312000:1vqJxs..."

Json = Mapping[str, Any]

QUEUED: Json = {
    "id": ID,
    "object": "video",
    "model": "sora-2",
    "status": "queued",
    "progress": 0,
    "created_at": CREATED,
    "completed_at": None,
    "expires_at": None,
    "prompt": PROMPT["prompt"],
    "size": "1280x720",
    "seconds": "4",
    "remixed_from_video_id": None,
    "error": None,
    "credits": 10,
    "metadata": {},
    "url": None,
    "queue_position": 1,
    "expected_seconds": 60,
    "duration": 4,
    "resolution": "720p",
    "aspect_ratio": "16:9",
}
UNKNOWN_TIME = {"queue_position": None, "expected_seconds": None}
COMPLETED: Json = {
    **QUEUED,
    **UNKNOWN_TIME,
    "status": "completed",
    "progress": 100,
    "completed_at": DONE,
    "expires_at": 1_767_312_000,
    "url": LINK,
}
STARTED: Json = {**QUEUED, **UNKNOWN_TIME, "status": "in_progress", "progress": 5}
FAILED: Json = {
    **QUEUED,
    **UNKNOWN_TIME,
    "status": "failed",
    "error": {
        "code": "generation_failed",
        "message": "The video could not be generated. Your credits were refunded.",
    },
}
CANCELED: Json = {
    **FAILED,
    "error": {"code": "canceled", "message": "The video was canceled. Your credits were refunded."},
}
REMIX: Json = {
    **QUEUED,
    "id": "video_8d1c4b7a2e9f4a6c8b3d5e7f9a1c2b4d",
    "prompt": "The same by night",
    "remixed_from_video_id": ID,
}

BATCH: Json = {
    "id": "batch_6b1e4d9c3a7f4c2e8d5b9f1a3c6e8d0b",
    "object": "video_batch",
    "kind": "batch",
    "status": "in_progress",
    "total": 1,
    "completed": 0,
    "failed": 0,
    "progress": 0,
    "credits": 10,
    "max_concurrency": 2,
    "created_at": CREATED,
    "completed_at": None,
    "data": [{**QUEUED, **UNKNOWN_TIME}],
}
ENDED_BATCH: Json = {
    **BATCH,
    "status": "completed",
    "completed": 1,
    "progress": 100,
    "completed_at": DONE,
    "data": [COMPLETED],
}
CAMPAIGN: Json = {
    **BATCH,
    "kind": "campaign",
    "data": [{**QUEUED, **UNKNOWN_TIME, "metadata": {"platform": "youtube"}}],
}

FILE: Json = {
    "id": "file_5c9e2b7d4a1f4e3c9b6d8a0f2c4e6b8d",
    "object": "file",
    "bytes": 48_213,
    "created_at": CREATED,
    "filename": "kite.png",
    "purpose": "vision",
    "status": "processed",
}
MODEL: Json = {
    "id": "sora-2",
    "object": "model",
    "created": 0,
    "owned_by": "aivideo",
    "name": "Sora 2",
    "credits": 10,
    "prices": [{"size": None, "seconds": "12", "quality": None, "audio": None, "credits": 30}],
    "sizes": ["1280x720", "720x1280"],
    "seconds": ["4", "8", "12"],
    "has_sound": True,
    "takes": ["image"],
    "frame_rates": [],
    "qualities": [],
    "prompt_limit": 32_000,
    "retires_on": None,
}
SUMS = {
    "videos": 3,
    "completed": 2,
    "failed": 1,
    "canceled": 0,
    "credits_charged": 30,
    "credits_refunded": 10,
    "credits_net": 20,
}
DRILL: Json = {
    "run_id": RUN,
    "status": "success",
    "message": "Video generation completed",
    "video_url": LINK,
    "error": None,
}
QUERY: Json = {
    "task_id": ID,
    "video_id": ID,
    "task_status": "success",
    "message": f"Video completed and uploaded to {LINK}",
    "duration": "4",
    "video_result": LINK,
    "video_results": [{"url": LINK}],
}
SITE_VIDEO: Json = {
    "id": ID,
    "status": "pending",
    "progress": 0,
    "video_url": None,
    "error": None,
    "credits": 10,
}


def _page(*data: Json) -> Json:
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"],
        "last_id": data[-1]["id"],
        "has_more": False,
    }


# By operation, for responses with status 2xx.
ANSWERS: Mapping[str, Json] = {
    "create_video": QUEUED,
    "list_videos": _page(COMPLETED),
    "retrieve_video": COMPLETED,
    "delete_video": {"id": ID, "object": "video.deleted", "deleted": True},
    "remix_video": REMIX,
    "cancel_video": CANCELED,
    "quote_video": {
        "object": "video_quote",
        "model": "sora-2",
        "size": "1280x720",
        "seconds": "4",
        "n": 1,
        "credits": 10,
        "accepted": True,
        "error": None,
        "expected_seconds": 60,
        "balance": 90,
    },
    "create_file": FILE,
    "list_files": _page(FILE),
    "retrieve_file": FILE,
    "delete_file": {"id": FILE["id"], "object": "file", "deleted": True},
    "create_batch": BATCH,
    "create_campaign": CAMPAIGN,
    "retrieve_batch": ENDED_BATCH,
    "cancel_batch": {
        **BATCH,
        "status": "completed",
        "failed": 1,
        "progress": 100,
        "completed_at": DONE,
        "data": [CANCELED],
    },
    "list_models": {"object": "list", "data": [MODEL]},
    "retrieve_model": MODEL,
    "retrieve_credits": {"object": "credits", "balance": 90, "reserved": 10},
    "retrieve_usage": {
        "object": "usage",
        "start": CREATED,
        "end": CREATED + 86_400,
        "group_by": "day",
        "data": [{"day": "2026-01-01", **SUMS}],
        "total": SUMS,
    },
    "site_generate": SITE_VIDEO,
    "site_video": {**SITE_VIDEO, "status": "completed", "progress": 100, "video_url": LINK},
    "query": QUERY,
    "query_by_path": QUERY,
    "drill_service": {
        "service": "video-generation",
        "status": "ok",
        "models": ["sora-2"],
        "longest_wait": 180,
    },
    "drill_generate": DRILL,
    "drill_status": DRILL,
}
# Where an operation answers with several statuses of 2xx.
ANSWERS_BY_STATUS: Mapping[str, Json] = {
    "202": {**DRILL, "status": "processing", "message": "The video is being generated", "video_url": None},
}

ERRORS: Mapping[str, Json] = {
    str(error.status): error.body()
    for error in (
        ApiError(
            400,
            "Missing required parameter: 'prompt'.",
            param="prompt",
            code="missing_required_parameter",
        ),
        ApiError(
            401,
            "You did not provide an API key. Send it as 'Authorization: Bearer <key>'.",
            code="invalid_api_key",
        ),
        ApiError(
            402,
            "This costs 10 credits. Your account has 4 available and 0 reserved for running videos.",
            code="insufficient_credits",
        ),
        ApiError(404, "No such video: 'video_1'.", code="not_found"),
        ApiError(409, "Only a completed video can be remixed.", code="video_not_completed"),
        ApiError(412, MESSAGES[412]),
        ApiError(413, "The request body can be at most 20 MB.", code="body_too_large"),
        ApiError(416, MESSAGES[416]),
        ApiError(
            422,
            "This Idempotency-Key was already used with a different request.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        ),
        ApiError(
            429,
            "Rate limit exceeded: 600 requests per minute. Try again shortly.",
            code="rate_limit_exceeded",
        ),
        ApiError(
            500, "Internal server error. It was logged; nothing was charged unless a video was created."
        ),
        ApiError(503, "The thumbnail is not ready yet. Try again in a moment.", code="not_ready"),
    )
}

# The data of each event in the Standard Webhooks format.
EVENT_DATA: Mapping[str, Json] = {
    "video.started": STARTED,
    "video.completed": COMPLETED,
    "video.failed": FAILED,
    "video_batch.completed": ENDED_BATCH,
    "ping": {"message": "This is a test."},
}


def of_event(kind: str) -> Json:
    """Both formats of an event."""
    data = EVENT_DATA[kind]
    event = {
        "id": "evt_7d3b9f1a5c2e4b8d",
        "object": "event",
        "type": kind,
        "created_at": DONE,
        "data": data,
    }
    plain = {
        "id": data.get("id", event["id"]),
        "status": data.get("status", kind),
        "url": data.get("url"),
        "error": error["message"] if (error := data.get("error")) else None,
    }
    return {
        "standard": {"summary": "Standard Webhooks", "value": event},
        "plain": {"summary": "The plain format", "value": plain},
    }


def of(operation: str, status: str) -> Json | None:
    """The example of a response as JSON; None for a file, or for one without a body."""
    if status >= "400":
        return ERRORS.get(status)
    return ANSWERS_BY_STATUS.get(status, ANSWERS.get(operation))
