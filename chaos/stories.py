"""Short stories of one video, each run by one process: its owner's actions, then a dispatcher until all work is done.

Together they reach every crash point. After a crash, a story is run again from the start, as users retry and workers
restart; it then continues from the state in the database.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from accounts import credits, staff_grants
from accounts.models import User
from chaos import points
from videos.generation import lifecycle, ordering
from videos.models import Channel, Video, VideoModel
from videos.order import VideoOrder
from videos.worker import dispatcher, leases

log = logging.getLogger(__name__)

USER_TRIES = 8
ACCOUNTS = {"rich": 1000, "shared": 100}  # credits
PROCESSES = 6  # that spend from one account
DEADLINE = 600  # JOB_DEADLINE_SECONDS: longer than any fault; stories that need it to pass change the row


@dataclass(frozen=True)
class Story:
    name: str
    ends: str  # the state in which the video must end, whichever fault happens (but see `tell`)
    tags: str = ""
    channel: str = "keyed"
    acts: tuple[str, ...] = ()
    clock: int = 0  # offset of the clock in seconds
    waits: dict[str, dict[str, float]] = field(default_factory=dict)  # further waits for `haste`


STORIES = [
    Story("plain", "completed"),
    Story("busy", "completed", "[sim:busy]"),
    Story("failing", "failed", "[sim:fail]"),
    Story("rejected", "failed", "[sim:rejected]"),
    Story("first download fails", "completed", "[sim:content-500-once]"),
    Story("a file that is no video", "failed", "[sim:html-file]"),
    Story("lost reply", "completed", "[sim:lost-reply]"),
    Story("lost reply, found in the list", "completed", "[sim:lost-reply]", "listed"),
    Story("listed by a clock an hour behind", "completed", "[sim:lost-reply]", "listed", clock=-3600),
    Story("not accepted, according to the list", "completed", "[sim:error-500]", "listed"),
    Story("by the list", "completed", channel="listed"),
    Story("deleted", "completed", acts=("delete",)),
    Story("interrupted by a worker's end", "completed", "[sim:slow]", acts=("revoke",)),
    Story("failed by a process with a stale row", "completed", acts=("fail late",)),
    Story("many processes, one account", "failed", "[sim:fail]", acts=("crowd",)),
    Story("canceled", "canceled", acts=("cancel",)),
    Story("finished after the deadline", "completed", "[sim:late]", acts=("run late",)),
    Story("failed after the deadline", "failed", "[sim:late] [sim:fail]", acts=("run late",)),
    Story("never admitted", "failed", acts=("close the channel", "wait too long")),
    # Next to many busy cells, a decoder takes longer to start than the shortened slices last.
    Story(
        "poster deferred",
        "completed",
        waits={"media.decoder": {"QUEUE_LENGTH": 0}, "worker.dispatcher": {"LIFETIME": 20}},
    ),
]


def prepare(urls: dict[str, str]) -> None:
    """Create the rows that the stories need: users, and a model on each channel. `urls` are the channels' servers."""
    for name, amount in ACCOUNTS.items():
        user = User.objects.create(username=name, email=f"{name}@example.com")
        staff_grants.grant(user, amount, giver=None, reason="chaos", form=uuid4())
    for slug, url in urls.items():
        model = VideoModel.objects.create(slug=slug, name=slug, sizes=["720x1280"], lengths=[4])
        model.offers.create(channel=make_channel(slug, url), provider_model="sora-2")


def make_channel(slug: str, url: str, max_running: int | None = None) -> Channel:
    """A channel without other limits, so that a video waits only because of a fault."""
    return Channel.objects.create(
        slug=slug,
        base_url=url,
        honours_idempotency_key=slug in ("keyed", "hooked"),
        sends_webhooks=slug == "hooked",
        max_running=max_running,
        max_submits_per_minute=None,
    )


def tell(story: Story, mark: str) -> list[str]:
    """Run the story to its end, and return what is wrong. The marks of its jobs begin with `mark`.

    A fault may take so long that the video can no longer be canceled. Only then may it end in another state.
    """
    if "crowd" in story.acts:
        _click_from_everywhere(story, mark)
        dispatch_until_done()
        return _wrong_ends({story.ends}, *Video.objects.all())

    if "close the channel" in story.acts:
        Channel.objects.update(max_running=0)
    video = _retry(lambda: click(story, f"{mark}0"))
    ends = {story.ends}
    if "cancel" in story.acts and not _retry(lambda: lifecycle.cancel(_reloaded(video))):
        ends.add("completed")
    if "revoke" in story.acts:
        threading.Thread(target=_revoke_soon, daemon=True).start()
    if "wait too long" in story.acts:
        _retry(lambda: _let_pass(video, "queued_at", settings.QUEUE_PATIENCE_SECONDS))
    if "run late" in story.acts:
        threading.Thread(target=_run_late, args=[video], daemon=True).start()
    dispatch_until_done()
    if "fail late" in story.acts:
        _retry(lambda: lifecycle.fail(video, "timed_out", "by a process with a stale row"))
    if "delete" in story.acts:
        _retry(lambda: lifecycle.delete(_reloaded(video)))
    return _wrong_ends(ends, _reloaded(video))


def _wrong_ends(right: set[str], *videos: Video) -> list[str]:
    return [
        f"a video ended as {video.status}, expected {right}" for video in videos if video.status not in right
    ]


def click(story: Story, mark: str, user: str = "rich") -> Video:
    order = VideoOrder(
        model=VideoModel.objects.get(slug=story.channel),
        prompt=f"A red kite {story.tags} [sim:mark-{mark}]",
        size="720x1280",
        seconds=4,
        client_key=mark,
    )
    return ordering.place(User.objects.get(username=user), order)


def dispatch_until_done() -> None:
    """Do what the queue does: run the task, and again if it fails, until nothing will ever be due."""
    while _retry(lambda: dispatcher.is_work_left() or Video.objects.exclude(next_attempt_at=None).exists()):
        try:
            if not dispatcher.run():
                time.sleep(0.2)
        except (*points.RAISED, DatabaseError):
            log.exception("The task failed.")
            time.sleep(0.1)
        close_old_connections()


def _retry(act: Callable[[], Any]) -> Any:
    """Try again after an error page, as a user would."""
    for _ in range(USER_TRIES):
        try:
            return act()
        except (*points.RAISED, DatabaseError):
            log.exception("Error page.")
        close_old_connections()
        time.sleep(0.1)
    raise AssertionError(f"failed {USER_TRIES} times")


def _click_from_everywhere(story: Story, mark: str) -> None:
    """Several processes spend from one account until it is empty."""
    connection.close()
    pids = []
    for process in range(PROCESSES):
        if (pid := os.fork()) == 0:
            try:
                for number in range(50):
                    _retry(lambda: click(story, f"{mark}{process}-{number}", user="shared"))  # noqa: B023
            except credits.InsufficientCredits:
                pass
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def _reloaded(video: Video) -> Video:
    return Video.objects.get(pk=video.pk)


def _run_late(video: Video) -> None:
    """Make the deadline pass as soon as the provider has accepted the job, however slow the machine is."""
    while not _retry(lambda: Video.objects.filter(pk=video.pk, accepted_at__isnull=False).exists()):
        time.sleep(0.05)
    _retry(lambda: _let_pass(video, "accepted_at", DEADLINE))
    connection.close()


def _let_pass(video: Video, since: str, seconds: float) -> None:
    """Date this moment of the video's life back, by more than these seconds."""
    Video.objects.filter(pk=video.pk).update(**{since: timezone.now() - timedelta(seconds=2 * seconds)})


def _revoke_soon() -> None:
    time.sleep(1)
    _retry(lambda: leases.revoke_slots(leases.worker_name()))
    connection.close()
