"""Telling a provider that nobody waits for a job any more, so that it need not go on with it.

Asked when staff stop a video, when its owner deletes one that timed out and was still watched, and when that watch is
over. Not at the deadline itself: what finishes after it is delivered free (see `lifecycle.finish`), and of a job that
was cancelled nothing comes. Nor for a submit whose answer was lost: its job has no name here, and what a key or a list
brings back then may be another video's.

It is best effort. The move is committed before, and whatever a provider answers changes neither outcome nor money.
"""

import asyncio
import logging

from videos.catalogue import connections
from videos.models import Status, Video
from videos.providers.base import Unavailable

log = logging.getLogger(__name__)


def ask(video_id: str) -> None:
    """Ask the provider to stop a video's job, unless somebody waits for it again."""
    given_up = Video.objects.filter(
        pk=video_id, status=Status.FAILED, next_attempt_at=None, ref__isnull=False
    )
    video = given_up.select_related("channel").first()
    if video is None:
        return
    try:
        taken_up = asyncio.run(_cancel(video))
    except Unavailable as error:
        log.warning(
            "%s: %s was not asked to stop job %s: %s", video.public_id, video.channel, video.ref, error
        )
    else:
        outcome = "stops" if taken_up else "does not stop"
        log.info("%s: %s %s job %s", video.public_id, video.channel, outcome, video.ref)


async def _cancel(video: Video) -> bool:
    provider = connections.provider_for(video.channel)
    try:
        return await provider.cancel(str(video.ref))
    finally:
        await provider.close()
