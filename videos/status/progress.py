"""A video's progress: what its page shows while the video is unfinished, and when the page should poll again."""

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import fast_sql
from accounts.models import User
from videos.catalogue import breaker, track_record, waiting
from videos.catalogue.waiting import Wait
from videos.models import MAX_POSTER_TRIES, Channel, Status, Video, VideoModel
from videos.worker import admission

# Only the columns that the fragment of an unfinished video shows. Raw SQL, because this is the site's most frequent
# request, and the ORM would take three times as long to build the statement as everything else together.
POLLING_SQL = """
    SELECT v.id, v.status, v.moves, v.progress, v.attempts, v.next_at, v.channel_id, v.created_at, v.accepted_at,
        v.poster, v.prompt, v.seconds, v.model_id, m.name AS model_name
    FROM videos_video AS v JOIN videos_videomodel AS m ON m.id = v.model_id
    WHERE v.id = %s AND v.user_id = %s AND v.deleted_at IS NULL
"""

# Poll intervals in milliseconds: short for a young video, which may be done quickly, and long where nothing will
# happen soon.
POLL_MS, YOUNG_POLL_MS, SLOW_POLL_MS = 1000, 500, 3000
YOUNG, OLD, FAR_BEHIND = timedelta(seconds=30), timedelta(minutes=2), 10
# The remaining time is shown so coarsely that it need not be refreshed more often.
TICK = timedelta(seconds=5)
# A video that is first in line but not submitted after this long is shown as waiting.
STARTS_WITHIN = timedelta(seconds=3)

_channel_states: dict[int, tuple[float, "ChannelState"]] = {}


@dataclass(frozen=True)
class ChannelState:
    """Whether a channel answers at all, and whether it has capacity for another job now."""

    answers: bool
    is_open: bool


@dataclass(frozen=True)
class Progress:
    """What to show of a video. `poll_ms` is the delay until the next poll in milliseconds; 0 if nothing will change.

    `place` is its position in the queue, from 1; None unless it is waiting. `tag` changes whenever the display does.
    """

    is_starting: bool
    is_waiting: bool
    is_unanswered: bool
    place: int | None
    poll_ms: int
    tag: str

    @property
    def etag(self) -> str:
        # Weak: it identifies what is shown, not the exact bytes.
        return f'W/"{self.tag}"'


class Estimate(NamedTuple):
    """What a program is told of an unfinished video: its place in the queue, from 1, and the seconds until it is done.

    None if it is unknown. The seconds are multiples of those of TICK, so that they do not change with every poll.
    """

    queue_position: int | None
    expected_seconds: int | None


def load_for_polling(pk: UUID, user: User) -> Video | None:
    """The user's video with the columns of POLLING_SQL, in one query; None if there is none."""
    video = fast_sql.first(Video, POLLING_SQL, [fast_sql.raw_key(Video, pk), user.pk])
    if video is not None:
        video.model = VideoModel(pk=video.model_id, name=video.model_name)  # type: ignore[attr-defined]
    return video


def progress_of(video: Video, balance: int) -> Progress:
    """The video's progress. Needs only the columns of POLLING_SQL; of queued videos it also reads the (cached) queue.

    `balance` is shown on the same fragment, so it is part of the tag.
    """
    now = timezone.now()
    age = now - video.created_at
    place, channel = None, ChannelState(answers=True, is_open=True)
    if video.status == Status.QUEUED:
        place, channel = admission.place(video), _channel_state(video.channel_id, now)
    is_next = channel.is_open and place in (1, None) and not video.attempts and age < STARTS_WITHIN
    is_waiting = video.status == Status.QUEUED and not is_next
    is_starting = video.status == Status.SUBMITTING or (video.status == Status.QUEUED and is_next)
    poll_ms = _poll_ms(video, age, place, channel)
    shown = (
        video.status,
        video.version,
        video.progress,
        bool(video.poster),
        video.next_attempt_at is None,  # whether it is still polled after it timed out
        is_starting,
        place if is_waiting else None,
        channel.answers,
        age // TICK if video.status == Status.IN_PROGRESS else None,
        poll_ms,
        balance,
    )
    return Progress(
        is_starting=is_starting,
        is_waiting=is_waiting,
        is_unanswered=is_waiting and not channel.answers,
        place=place if is_waiting else None,
        poll_ms=poll_ms,
        tag=hashlib.blake2b(repr(shown).encode(), digest_size=12).hexdigest(),
    )


def estimate(video: Video) -> Estimate:
    """The estimate for a video. Needs only the columns of serializers.VIDEO_SQL; reads (cached) queue and track record.

    Nothing is known of a video that has ended, and of one that its batch holds back.
    """
    if not video.is_live or video.queued_at is None:
        return Estimate(None, None)
    place, tick = admission.place(video), TICK.seconds
    seconds = _until_its_turn_and_done(video, place) or seconds_left(video, timezone.now())
    return Estimate(
        queue_position=place,
        expected_seconds=None if seconds is None else tick * max(1, round(seconds / tick)),
    )


def _until_its_turn_and_done(video: Video, place: int | None) -> float:
    """The estimated seconds of a queued video that has to wait, with its render; 0 if it need not, or if that is unknown."""
    wait = waiting.line_at(video.channel_id).wait(place - 1) if place else Wait()
    return wait.expected + wait.render if wait.expected and wait.render else 0


def time_left(video: Video) -> str:
    """The estimated time left, in words; empty if unknown."""
    seconds = seconds_left(video, timezone.now()) if video.status == Status.IN_PROGRESS else None
    if seconds is None:
        return ""
    if seconds < 5:
        return _("a few seconds left")
    if seconds < 90:
        return _("about %(n)d s left") % {"n": 5 * round(seconds / 5)}
    return _("about %(n)d min left") % {"n": round(seconds / 60)}


def seconds_left(video: Video, now: datetime) -> int | None:
    """The estimated time left in seconds; None if unknown."""
    if video.status == Status.IN_PROGRESS and video.progress >= 10 and video.accepted_at:
        age = (now - video.accepted_at).total_seconds()
        return max(1, round(age * (100 - video.progress) / video.progress))
    record = track_record.track_record(video.model)
    if record and (left := record.seconds - (now - video.created_at).total_seconds()) > 0:
        return round(left)
    return None


def _poll_ms(video: Video, age: timedelta, place: int | None, channel: ChannelState) -> int:
    if not video.is_live:
        lacks_poster = video.status == Status.COMPLETED and not video.poster
        return SLOW_POLL_MS if lacks_poster and video.attempts < MAX_POSTER_TRIES else 0
    if age > OLD or not channel.answers or (place or 0) > FAR_BEHIND:
        return SLOW_POLL_MS
    return YOUNG_POLL_MS if age < YOUNG else POLL_MS


def _channel_state(channel_id: int, now: datetime) -> ChannelState:
    """Cached for as long as queue positions are, so that many waiting pages cost the database no more than one."""
    expires_at, state = _channel_states.get(channel_id, (0.0, None))
    if state is None or time.monotonic() >= expires_at:
        channel = Channel.objects.get(pk=channel_id)
        left = admission.credits_left_today(channel)
        state = ChannelState(
            answers=not breaker.is_paused(channel, now),
            is_open=admission.room_of(channel, now) != 0 and (left is None or left > 0),
        )
        _channel_states[channel_id] = (time.monotonic() + admission.PLACES_FRESH, state)
    return state
