"""Faults on request: ways in which real servers misbehave, so that clients can be tested against each of them.

A fault is selected by the API key (`Authorization: Bearer sim-busy`, for all requests with that key) or by a tag in
the prompt (`[sim:busy]`, for that job; the tag is not shown in the picture). A prompt may have several tags.

A "submission" is identified by the request's Idempotency-Key or, without one, by its prompt. "The first 2" are
counted for each submission or job, in memory.
"""

import re
from collections import Counter

from .errors import ApiError, internal_error

FAULTS = {
    # The create
    "rejected": "create is 400, blocked by moderation, param prompt",
    "unverified": "create is 403, the organization must be verified",
    "bad-key": "create is 401",
    "busy": "create is 429 with Retry-After: 1 for the first 2 tries of a submission",
    "busy-forever": "create is always 429 with Retry-After: 1",
    "down": "create is 503 with Retry-After: 1 for the first 2 tries of a submission",
    "error-500": "create is 500 and creates no job for the first 2 tries of a submission",
    "lost-reply": "the job is created, but the connection is closed without a response",
    "lost-reply-500": "the job is created, but the response is 500",
    "hang": "the job is created, but no response is ever sent",
    # The job
    "fail": "ends failed, code internal_error",
    "moderation": "ends failed, code moderation_blocked",
    "cancelled": "ends with the status cancelled",
    "slow": "takes 3 times as long",
    "late": "takes 10 times as long",
    "stuck": "stays in_progress at 40 forever",
    "mark-*": "no fault: mark-1, mark-2, … distinguish prompts that share one picture",
    # The status of a job
    "unknown-word": "status is the unknown word rendering in the middle, later completed",
    "words": "statuses are processing and succeeded",
    "progress-fraction": "progress runs from 0 to 1",
    "progress-text": 'progress is a text such as "45%"',
    "no-progress": "progress is missing while running, null at the end",
    "id-changes": "GET returns another id than create did",
    "fail-http": "ends failed; GET is then 422 with the video as body and an integer as error.code",
    "fail-string": "ends failed; error is a plain string",
    # Failing polls
    "poll-500": "every other GET is 500, starting with the first",
    "poll-401": "every other GET is 401, starting with the first",
    "poll-404-once": "the first GET is 404",
    "poll-html": "every other GET is 200 with an HTML page, starting with the first",
    "poll-empty": "every other GET is 200 with an empty body, starting with the first",
    # The file
    "expired": "completed, but its content is 404 because it has expired",
    "truncated": "the first download ends halfway, with the full Content-Length",
    "truncated-forever": "every download ends halfway, with the full Content-Length",
    "html-file": "content is 200 with an HTML page",
    "html-as-mp4": "content is 200 with an HTML page as video/mp4",
    "empty-file": "content is 200 with an empty body as video/mp4",
    "content-500-once": "the first download is 500",
    "url-result": "content is 400; the file is at the URL in the video's url",
    # The webhook, if one is configured
    "webhook-twice": "the webhook is sent twice at the same time, with the same webhook-id",
    "webhook-late": "the webhook is sent 5 seconds after the end",
    "webhook-lost": "no webhook is sent",
    "webhook-forged": "a webhook with a wrong signature is sent before the right one",
    "webhook-early": "the webhook is sent halfway, and none at the end",
}

# Jobs with these faults never serve a file, so no picture is painted for them.
WITHOUT_FILE = {
    *("fail", "moderation", "cancelled", "stuck", "fail-http", "fail-string"),
    *("expired", "html-file", "html-as-mp4", "empty-file"),
}

HTML_PAGE = "<!doctype html><title>Bad gateway</title><h1>502 Bad Gateway</h1>"

TAG = re.compile(r"\s*\[sim:([^\[\]]*)\]")


def from_key(key: str) -> frozenset[str]:
    """The fault that an API key selects: none for keys that do not start with `sim-`."""
    return _known(key.removeprefix("sim-"), param=None) if key.startswith("sim-") else frozenset()


def from_prompt(prompt: str) -> frozenset[str]:
    """The faults that the tags in a prompt select."""
    return frozenset().union(*(_known(name, param="prompt") for name in TAG.findall(prompt)))


def without_tags(prompt: str) -> str:
    """The prompt as the picture shows it."""
    return TAG.sub("", prompt).strip()


def _known(name: str, param: str | None) -> frozenset[str]:
    if name.startswith("mark-"):
        return frozenset()
    if name not in FAULTS:
        known = ", ".join(FAULTS)
        raise ApiError(400, f"Unknown simulator fault '{name}'. Known: {known}.", param=param)
    return frozenset([name])


class Refusals:
    """The faults of a create that return an error and create no job."""

    def __init__(self) -> None:
        self._tries: Counter[tuple[str, str]] = Counter()

    def check(self, faults: frozenset[str], submit: str, model: str) -> None:
        """Raise the error that `faults` select; `submit` identifies the submission whose tries are counted."""
        if "bad-key" in faults:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        if "unverified" in faults:
            raise ApiError(
                403,
                f"Your organization must be verified to use the model `{model}`. Please verify it in your"
                " organization's settings. It can take up to 15 minutes for access to propagate.",
            )
        if "rejected" in faults:
            raise ApiError(
                400,
                "Your request was rejected by the safety system.",
                param="prompt",
                code="moderation_blocked",
            )
        if "busy-forever" in faults or self._among_first("busy", faults, submit):
            raise ApiError(
                429,
                "Rate limit reached. Please try again in 1s.",
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after=1,
            )
        if self._among_first("down", faults, submit):
            raise ApiError(
                503, "The engine is currently overloaded.", type="service_unavailable_error", retry_after=1
            )
        if self._among_first("error-500", faults, submit):
            raise internal_error()

    def _among_first(self, fault: str, faults: frozenset[str], submit: str, count: int = 2) -> bool:
        if fault not in faults:
            return False
        self._tries[fault, submit] += 1
        return self._tries[fault, submit] <= count
