"""Translates servers' answers into our terms. Each rule was observed at a real server; an unknown state decides nothing."""

import logging

from videos.providers.base import (
    Busy,
    JobState,
    JobStatus,
    JsonObject,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    storable,
)

log = logging.getLogger(__name__)

STATUSES: dict[str, JobStatus] = {
    **dict.fromkeys(
        ["queued", "pending", "submitted", "created", "in_queue", "starting", "throttled"], "queued"
    ),
    **dict.fromkeys(["in_progress", "processing", "running"], "in_progress"),
    **dict.fromkeys(["completed", "succeeded", "succeed", "success", "done"], "completed"),
    **dict.fromkeys(["failed", "error", "cancelled", "canceled", "expired", "deleted"], "failed"),
}
BLOCKED = {"moderation_blocked", "content_policy_violation"}
# Phrases in an error that has no code.
SOUNDS_BLOCKED = ("moderation", "content policy", "content_policy", "safety system")


def status_of(status: object) -> JobStatus | None:
    return STATUSES.get(str(status or "").lower())


def state(answer: JsonObject, ref: str = "") -> JobState:
    """A job in our terms. `ref`, if given, wins over the answer's id: some servers answer a poll with another id.

    Raises Unavailable if this is not a job.
    """
    ref = ref or str(answer.get("id") or "")
    if not ref or ref != storable(ref):
        raise Unavailable(f"not a video object: {str(answer)[:80]!r}")
    status = str(answer.get("status") or "")
    known = status_of(status)
    if known is None:
        log.warning("%s: unknown state %r is treated as running", ref, status)
        known = "in_progress"
    code, message = error(answer.get("error"))
    return JobState(
        ref=ref,
        status=known,
        progress=percent(answer.get("progress")),
        code="moderation_blocked" if is_blocked(code, message) else "generation_failed",
        message=storable(f"{status} {code} {message}".strip()),
    )


def is_blocked(code: str, message: str) -> bool:
    """Whether an error means moderation. A numeric code, as from vLLM-Omni and LiteLLM, is just the HTTP status."""
    is_uninformative = not code or code.isdigit()
    return code in BLOCKED or (
        is_uninformative and any(phrase in message.lower() for phrase in SOUNDS_BLOCKED)
    )


def error(error: object) -> tuple[str, str]:
    """The code and message of an error that is an object, a dict, a string or None."""
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or "")
    if isinstance(error, str) or error is None:
        return "", error or ""
    return str(getattr(error, "code", "") or ""), str(getattr(error, "message", "") or "")


def complaint(body: object) -> tuple[str, str]:
    """The code and message in an HTTP error's body as the SDK passes it on: its `error` if it has one, or the whole body.

    FastAPI servers use `detail`: a sentence or a list of errors by field.
    """
    detail = body.get("detail") if isinstance(body, dict) else None
    return error(body if detail is None else detail if isinstance(detail, dict) else str(detail))


def percent(progress: object) -> int | None:
    """0–100 from 45, 0.45 or "45%"."""
    try:
        number = float(str(progress).removesuffix("%"))
    except ValueError:
        return None
    if isinstance(progress, float) and number <= 1:
        number *= 100
    return int(number) if 0 <= number <= 100 else None


def refusal(
    status: int, code: str, message: str, retry_after: str | None
) -> Busy | Rejected | OutcomeUnknown:
    """The exception for a submit that was answered with this HTTP status (400 or above)."""
    text = f"HTTP {status}: {message[:500]}"
    wait = _seconds(retry_after)
    if status == 429 or (status == 503 and wait is not None):
        return Busy(text, wait)
    # 409 and 425: from servers that honor idempotency keys, while the first request with this key is in progress.
    if status >= 500 or status in (408, 409, 425):
        return OutcomeUnknown(text)
    if is_blocked(code, message):
        return Rejected("moderation_blocked", text)
    # Wrong key, empty account, unverified organization, wrong path: the operator's problem, never the customer's.
    if status in (401, 402, 403, 404, 405):
        return Rejected("provider_refused", text)
    return Rejected("invalid_request", text)


def url(answer: JsonObject) -> str:
    """The URL of a finished file, which servers put in many places; empty if there is none."""
    video, metadata, urls = answer.get("video"), answer.get("metadata"), answer.get("urls")
    places = [answer.get(name) for name in ("url", "output_url", "file_url", "video_url")]
    places += [urls[0] if isinstance(urls, list) and urls else None]
    places += [within.get("url") for within in (metadata, video) if isinstance(within, dict)]
    found = [
        place for place in places if isinstance(place, str) and place.startswith(("https://", "http://"))
    ]
    return found[0] if found else ""


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None
