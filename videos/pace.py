"""When to ask a provider again, and how long a video will still take. All times are seconds."""

import random
from datetime import datetime

from videos import catalogue
from videos.models import Status, Video

FIRST_POLL, LAST_POLL = 2.0, 15.0
LONGEST_WAIT = 60.0


def next_poll(video: Video, now: datetime) -> float:
    """Seconds until the next question: a tenth of the job's age, or when its progress says it ends."""
    age = (now - (video.accepted_at or now)).total_seconds()
    delay = min(max(0.1 * age, FIRST_POLL), LAST_POLL)
    if video.progress >= 10:
        left = age * (100 - video.progress) / video.progress
        delay = min(delay, left + 0.2)
    return delay * random.uniform(0.95, 1.05)


def seconds_left(video: Video, now: datetime) -> int | None:
    """How long a running video will probably still take; None where nothing is known."""
    record = catalogue.track_record(video.model)
    if video.status == Status.IN_PROGRESS and video.progress >= 10 and video.accepted_at:
        age = (now - video.accepted_at).total_seconds()
        return max(1, round(age * (100 - video.progress) / video.progress))
    if record and (left := record.seconds - (now - video.created_at).total_seconds()) > 0:
        return round(left)
    return None


def backoff(video: Video) -> float:
    """How long to wait after another try that came to nothing: 1, 2, 4 … LONGEST_WAIT, and up to half less."""
    return min(2.0**video.attempts, LONGEST_WAIT) * random.uniform(0.5, 1)
