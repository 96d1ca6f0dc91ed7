"""Canceling jobs at their provider once nobody needs the result.

Requested when staff stop a video, when its owner deletes one that timed out and was still watched, and when that watch
ends. Not at the deadline itself: a job that finishes late is delivered free (see `lifecycle.finish`), and a canceled
job never finishes. Nor for a submit whose reply was lost: its job id is unknown, and a job found by key or in a list
may belong to another video.

Best effort: the state change is committed first, and the provider's answer changes neither the outcome nor the credits.
"""

import asyncio
import logging

from videos.catalogue import connections
from videos.models import Status, Video
from videos.providers.base import Unavailable

log = logging.getLogger(__name__)


def ask(video_id: str) -> None:
    """Ask the provider to cancel a video's job, unless the video is in use again."""
    abandoned = Video.objects.filter(
        pk=video_id, status=Status.FAILED, next_attempt_at=None, ref__isnull=False
    )
    video = abandoned.select_related("channel").first()
    if video is None:
        return
    try:
        accepted = asyncio.run(_cancel(video))
    except Unavailable as error:
        log.warning(
            "%s: could not ask %s to cancel job %s: %s", video.public_id, video.channel, video.ref, error
        )
    else:
        outcome = "is canceling" if accepted else "does not cancel"
        log.info("%s: %s %s job %s", video.public_id, video.channel, outcome, video.ref)


async def _cancel(video: Video) -> bool:
    async with connections.provider_for(video.channel) as provider:
        return await provider.cancel(str(video.ref))
