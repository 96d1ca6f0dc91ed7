"""What servers say, in our words. Each rule was seen at one of them; an unknown word decides nothing."""

import logging
from typing import Any

from videos.providers.base import Busy, JobState, MaybeSent, Rejected, Unavailable, Word, storable

log = logging.getLogger(__name__)

WORDS: dict[str, Word] = {
    **dict.fromkeys(
        ["queued", "pending", "submitted", "created", "in_queue", "starting", "throttled"], "queued"
    ),
    **dict.fromkeys(["in_progress", "processing", "running"], "in_progress"),
    **dict.fromkeys(["completed", "succeeded", "succeed", "success", "done"], "completed"),
    **dict.fromkeys(["failed", "error", "cancelled", "canceled", "expired", "deleted"], "failed"),
}
BLOCKED = {"moderation_blocked", "content_policy_violation"}
# In an error that is only a sentence.
SOUNDS_BLOCKED = ("moderation", "content policy", "content_policy", "safety system")


def word(status: Any) -> Word | None:
    return WORDS.get(str(status or "").lower())


def state(said: dict[str, Any], ref: str = "") -> JobState:
    """A job in our words. The first id counts: some servers answer a poll with another one.

    Raises Unavailable for what is no job.
    """
    ref = ref or str(said.get("id") or "")
    if not ref or ref != storable(ref):
        raise Unavailable(f"not a video object: {str(said)[:80]!r}")
    status = str(said.get("status") or "")
    known = word(status)
    if known is None:
        log.warning("%s: unknown state %r counts as running", ref, status)
        known = "in_progress"
    code, message = error(said.get("error"))
    return JobState(
        ref=ref,
        word=known,
        progress=percent(said.get("progress")),
        code="moderation_blocked" if is_blocked(code, message) else "generation_failed",
        message=storable(f"{status} {code} {message}".strip()),
    )


def is_blocked(code: str, message: str) -> bool:
    """Whether an error means moderation. A number for a code, as vLLM-Omni's and LiteLLM's, is HTTP's and says nothing."""
    says_nothing = not code or code.isdigit()
    return code in BLOCKED or (says_nothing and any(words in message.lower() for words in SOUNDS_BLOCKED))


def error(error: Any) -> tuple[str, str]:
    """The code and message of an error that is an object, a dict, a string or absent."""
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or "")
    if isinstance(error, str) or error is None:
        return "", error or ""
    return str(getattr(error, "code", "") or ""), str(getattr(error, "message", "") or "")


def complaint(body: Any) -> tuple[str, str]:
    """The code and message in what the SDK makes of an HTTP error's body: its `error`, where it has one, or all of it.

    FastAPI's servers say `detail`: a sentence, or a list of what is wrong with which field.
    """
    detail = body.get("detail") if isinstance(body, dict) else None
    return error(body if detail is None else detail if isinstance(detail, dict) else str(detail))


def percent(progress: Any) -> int | None:
    """0–100 from 45, 0.45 or "45%"."""
    try:
        number = float(str(progress).removesuffix("%"))
    except ValueError:
        return None
    if isinstance(progress, float) and number <= 1:
        number *= 100
    return int(number) if 0 <= number <= 100 else None


def refusal(status: int, code: str, message: str, retry_after: str | None) -> Busy | Rejected | MaybeSent:
    """What an HTTP error (400 and above) says about a submit."""
    text = f"HTTP {status}: {message[:500]}"
    wait = _seconds(retry_after)
    if status == 429 or (status == 503 and wait is not None):
        return Busy(text, wait)
    # 409 and 425: servers that honour keys say so while the first request with this key is in work.
    if status >= 500 or status in (408, 409, 425):
        return MaybeSent(text)
    if is_blocked(code, message):
        return Rejected("moderation_blocked", text)
    # A key that is wrong, an account that is empty, an organisation that is not verified, a path that
    # is not there: the operator's problem, and never the customer's.
    if status in (401, 402, 403, 404, 405):
        return Rejected("provider_refused", text)
    return Rejected("invalid_request", text)


def url(said: dict[str, Any]) -> str:
    """Where a finished file lies: servers name it in many places. Empty where none does."""
    video, metadata, urls = said.get("video"), said.get("metadata"), said.get("urls")
    places = [said.get(name) for name in ("url", "output_url", "file_url", "video_url")]
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
