"""Jobs and their state, which is computed from the job's row, the clock and its picture.

Nothing is stored while a job runs, so ten thousand running jobs cost nothing until they are polled.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from .extras import Extras
from .faults import without_tags

QUEUED_SHARE = 0.05  # of a job's duration
EXPIRES_AFTER = 3600  # seconds from completion until its files expire
STUCK_AT = 40

ENDINGS: dict[str, tuple[str | int, str]] = {
    "fail": ("internal_error", "The video could not be generated."),
    "moderation": ("moderation_blocked", "Your request was blocked by our moderation system."),
    "cancelled": ("cancelled", "The video was cancelled."),
    "fail-http": (500, "The video could not be generated."),
    "fail-string": ("internal_error", "The video could not be generated."),
}


@dataclass(slots=True)
class Job:
    """One accepted job, as stored in the journal. Times are Unix seconds."""

    number: int  # increasing, in the order of acceptance
    id: str
    prompt: str  # as sent, with its tags
    model: str
    seconds: str
    size: str
    faults: frozenset[str]
    picture: str  # the name of its files, see `pictures`; "" if it will never serve one
    reference: str  # the name of its input image, or ""
    remixed_from: str | None
    created: float
    duration: float  # seconds from acceptance to completion
    submit_key: str | None  # its Idempotency-Key
    body_hash: str
    deleted: float | None = None
    extras: Extras = field(default_factory=Extras)
    # Counted in memory, for temporary faults
    polls: int = 0
    downloads: int = 0

    @property
    def caption(self) -> str:
        return without_tags(self.prompt)


# A video in a response. Which keys it has, and of which types, depends on the profile and on faults.
VideoObject = dict[str, object]


class JobError(TypedDict):
    """Why a job failed; `code` is a word, or a number as from vLLM-Omni."""

    code: str | int
    message: str


class State(NamedTuple):
    """The state of a job at a given time. Times are Unix seconds."""

    status: str
    progress: int
    completed_at: int | None = None
    expires_at: int | None = None  # when its files expire
    error: JobError | None = None


def seconds_of(job: Job, faults: frozenset[str]) -> float:
    """Seconds from acceptance to the end."""
    return job.duration * (10 if "late" in faults else 3 if "slow" in faults else 1)


def state_of(job: Job, faults: frozenset[str], now: float, painted: float | None, broken: bool) -> State:
    """The state at `now`. `painted`: when its picture was ready, None if it is not yet; `broken`: it never will be.

    Without its file a job stays at 99, because a completed job always has something to download.
    """
    duration = seconds_of(job, faults)
    share = (now - job.created) / duration if duration else 1.0
    progress = max(0, min(99, int((share - QUEUED_SHARE) / (1 - QUEUED_SHARE) * 100)))

    if share < QUEUED_SHARE:
        return State("queued", 0)
    if "stuck" in faults:
        return State("in_progress", min(progress, STUCK_AT))
    if share < 1:
        return State("in_progress", progress)
    for fault, (code, message) in ENDINGS.items():
        if fault in faults:
            return _failed(code, message)
    if broken:
        return _failed("internal_error", "The video could not be rendered.")
    if painted is None:
        return State("in_progress", 99)
    completed_at = int(max(job.created + duration, painted))
    expires_at = completed_at if "expired" in faults else completed_at + EXPIRES_AFTER
    return State("completed", 100, completed_at, expires_at)


def describe(job: Job, faults: frozenset[str], state: State) -> VideoObject:
    """The video object with OpenAI's 13 keys, changed as `faults` require."""
    video: VideoObject = {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": state.status,
        "progress": state.progress,
        "created_at": int(job.created),
        "completed_at": state.completed_at,
        "expires_at": state.expires_at,
        "prompt": job.prompt,
        "size": job.size,
        "seconds": job.seconds,
        "remixed_from_video_id": job.remixed_from,
        "error": state.error,
    }
    if faults:
        _distort(video, state, faults)
    return video


def _failed(code: str | int, message: str) -> State:
    status = "cancelled" if code == "cancelled" else "failed"
    return State(status, 99, error={"code": code, "message": message})


def _distort(video: VideoObject, state: State, faults: frozenset[str]) -> None:
    status, progress = state.status, state.progress
    if "words" in faults:
        video["status"] = {"in_progress": "processing", "completed": "succeeded"}.get(status, status)
    if "unknown-word" in faults and status == "in_progress" and 30 <= progress < 80:
        video["status"] = "rendering"
    if "progress-fraction" in faults:
        video["progress"] = progress / 100
    if "progress-text" in faults:
        video["progress"] = f"{progress}%"
    if "no-progress" in faults:
        if status == "completed":
            video["progress"] = None
        else:
            del video["progress"]
    if "fail-string" in faults and state.error:
        video["error"] = state.error["message"]
