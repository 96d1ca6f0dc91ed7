"""The codes of errors, and what a program does about each."""

from typing import NamedTuple

from videos.models.status import REASONS


class ErrorCode(NamedTuple):
    """A code of error responses: the status that it comes with, and what a program does about it."""

    status: int
    code: str
    remedy: str


CODES = [
    ErrorCode(
        400,
        "invalid_value",
        "Correct the field that `param` names. The message says which values are accepted.",
    ),
    ErrorCode(400, "missing_required_parameter", "Send the field that `param` names."),
    ErrorCode(400, "unknown_parameter", "Remove the field that `param` names, or correct its spelling."),
    ErrorCode(400, "invalid_json", "Send valid JSON."),
    ErrorCode(400, "invalid_multipart", "Send a valid form. Let your HTTP client write its Content-Type."),
    ErrorCode(400, "unsupported_content_type", "Send application/json or multipart/form-data."),
    ErrorCode(400, "model_not_found", "Use a model from `GET /v1/models` that the key may use."),
    ErrorCode(400, "model_retired", "Use the successor that the message names."),
    ErrorCode(400, "moderation_blocked", "Change the prompt or the picture. Nothing was charged."),
    ErrorCode(401, "invalid_api_key", "Send `Authorization: Bearer` with an active key."),
    ErrorCode(402, "insufficient_credits", "Add credits to the account. Nothing was charged."),
    ErrorCode(403, "link_expired", "Retrieve the video again for a new `url`."),
    ErrorCode(
        404, "not_found", "Check the id and the path. Objects of other accounts are not found, either."
    ),
    ErrorCode(404, "not_offered", "Use the call that the message names."),
    ErrorCode(404, "video_not_completed", "Wait until the video is completed."),
    ErrorCode(408, "incomplete_body", "Send the request again. Nothing was changed."),
    ErrorCode(
        409, "request_in_progress", "Wait as long as `Retry-After` says, and send the same request again."
    ),
    ErrorCode(409, "price_changed", "Ask for a quote again, and accept its price or not."),
    ErrorCode(409, "video_in_progress", "It can no longer be canceled. Wait until it ends."),
    ErrorCode(409, "video_ended", "It can no longer be canceled. Delete it, if you like."),
    ErrorCode(409, "video_not_ended", "Cancel it first, or wait until it ends."),
    ErrorCode(
        409, "video_not_completed", "Only completed videos can be remixed. Wait until it is completed."
    ),
    ErrorCode(409, "too_many_files", "Delete files that you no longer need."),
    ErrorCode(413, "body_too_large", "Send a smaller picture, or its URL."),
    ErrorCode(422, "idempotency_key_reused", "Choose a new `Idempotency-Key` for each new order."),
    ErrorCode(429, "rate_limit_exceeded", "Wait as long as `Retry-After` says."),
    ErrorCode(429, "too_many_fetches", "Wait as long as `Retry-After` says, or send the picture as a file."),
    ErrorCode(429, "daily_limit_reached", "Wait until the next day (UTC), or raise the limit of the key."),
    ErrorCode(429, "key_limit_reached", "Use another key. Waiting does not help."),
    ErrorCode(
        429,
        "too_many_blocked",
        "Change what you order, and wait as long as `Retry-After` says. Nothing was charged.",
    ),
    ErrorCode(503, "moderation_unavailable", "Wait as long as `Retry-After` says. Nothing was charged."),
    ErrorCode(
        503,
        "overloaded",
        "Too many videos are waiting. Wait as long as `Retry-After` says. Nothing was charged.",
    ),
    ErrorCode(503, "account_busy", "Another change to the account is still under way. Nothing was changed."),
    ErrorCode(503, "not_ready", "The thumbnail is still being made. Wait as long as `Retry-After` says."),
]

# Codes in the `error` of a failed video.
VIDEO_CODES = REASONS
