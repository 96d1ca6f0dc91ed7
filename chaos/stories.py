"""Short stories of one video, told by one process: what its owner does, and a pump until nothing is left to do.

Together they pass every crash point. Each can be told again from its beginning after a crash, as people click again
and workers start again; it then goes on where the database says.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from accounts import credits
from accounts.models import User
from chaos import points
from videos.generation import lifecycle, ordering
from videos.models import Channel, Video, VideoModel
from videos.order import VideoOrder
from videos.worker import dispatcher, leases

log = logging.getLogger(__name__)

PEOPLES_PATIENCE = 8  # tries
PURSES = {"rich": 1000, "crowd": 100}  # credits
CROWD = 6  # processes that spend from one purse
DEADLINE = 600  # JOB_DEADLINE_SECONDS: no fault uses it up, and a story that needs its end brings it about


@dataclass(frozen=True)
class Story:
    name: str
    ends: str  # the state in which the video must end, whatever strikes once on the way (but see `tell`)
    tags: str = ""
    channel: str = "keyed"
    acts: tuple[str, ...] = ()
    clock: int = 0  # seconds by which the clock is wrong
    waits: dict[str, dict[str, float]] = field(default_factory=dict)  # more of `haste`


STORIES = [
    Story("plain", "completed"),
    Story("busy", "completed", "[sim:busy]"),
    Story("failing", "failed", "[sim:fail]"),
    Story("rejected", "failed", "[sim:rejected]"),
    Story("slow to hand out", "completed", "[sim:content-500-once]"),
    Story("lost reply", "completed", "[sim:lost-reply]"),
    Story("lost reply, found in the list", "completed", "[sim:lost-reply]", "listed"),
    Story("listed by a clock an hour behind", "completed", "[sim:lost-reply]", "listed", clock=-3600),
    Story("not arrived, says the list", "completed", "[sim:error-500]", "listed"),
    Story("by the list", "completed", channel="listed"),
    Story("deleted", "completed", acts=("delete",)),
    Story("cut off by the end of a worker", "completed", "[sim:slow]", acts=("dismiss",)),
    Story("failed by one who missed its end", "completed", acts=("fail late",)),
    Story("a crowd with one purse", "failed", "[sim:fail]", acts=("crowd",)),
    Story("canceled", "canceled", acts=("cancel",)),
    Story("finished after the deadline", "completed", "[sim:late]", acts=("run late",)),
    Story("failed after the deadline", "failed", "[sim:late] [sim:fail]", acts=("run late",)),
    Story("never admitted", "failed", acts=("close the channel", "wait too long")),
    # A decoder needs longer to start, beside many busy cells, than their short slices last.
    Story(
        "poster put off",
        "completed",
        waits={"media.decoder": {"QUEUE_LENGTH": 0}, "worker.dispatcher": {"SLICE": 20}},
    ),
]


def prepare(urls: dict[str, str]) -> None:
    """The rows that every story finds: a rich user, and a model on each channel. `urls` are the channels' servers."""
    for name, amount in PURSES.items():
        user = User.objects.create(username=name, email=f"{name}@example.com")
        credits.grant(user, amount, reference=name)
    for slug, url in urls.items():
        model = VideoModel.objects.create(slug=slug, name=slug, sizes=["720x1280"], lengths=[4])
        model.offers.create(channel=make_channel(slug, url), provider_model="sora-2")


def make_channel(slug: str, url: str, max_running: int | None = None) -> Channel:
    """A channel without other limits, so that a fault is all that a video waits for."""
    return Channel.objects.create(
        slug=slug,
        base_url=url,
        honours_idempotency_key=slug in ("keyed", "hooked"),
        sends_webhooks=slug == "hooked",
        max_running=max_running,
        max_submits_per_minute=None,
    )


def tell(story: Story, mark: str) -> list[str]:
    """Take the story to its end, and return what is wrong with it. The marks of its jobs begin with `mark`.

    A fault may use up the time that its owner had to cancel it: then, and only then, it rightly ends otherwise.
    """
    if "crowd" in story.acts:
        _click_from_everywhere(story, mark)
        pump_until_done()
        return _wrong_ends({story.ends}, *Video.objects.all())

    if "close the channel" in story.acts:
        Channel.objects.update(max_running=0)
    video = _insist(lambda: click(story, f"{mark}0"))
    ends = {story.ends}
    if "cancel" in story.acts and not _insist(lambda: lifecycle.cancel(_again(video))):
        ends.add("completed")
    if "dismiss" in story.acts:
        threading.Thread(target=_dismiss_soon, daemon=True).start()
    if "wait too long" in story.acts:
        _insist(lambda: _let_the_deadline_pass(video))
    if "run late" in story.acts:
        threading.Thread(target=_run_late, args=[video], daemon=True).start()
    pump_until_done()
    if "fail late" in story.acts:
        _insist(lambda: lifecycle.fail(video, "timed_out", "by one who read the row long ago"))
    if "delete" in story.acts:
        _insist(lambda: lifecycle.delete(_again(video)))
    return _wrong_ends(ends, _again(video))


def _wrong_ends(right: set[str], *videos: Video) -> list[str]:
    return [f"one ended {video.status}, not {right}" for video in videos if video.status not in right]


def click(story: Story, mark: str, user: str = "rich") -> Video:
    order = VideoOrder(
        model=VideoModel.objects.get(slug=story.channel),
        prompt=f"A red kite {story.tags} [sim:mark-{mark}]",
        size="720x1280",
        seconds=4,
        client_key=mark,
    )
    return ordering.place(User.objects.get(username=user), order)


def pump_until_done() -> None:
    """What a queue does: run the task, note that it failed, run it again; until nothing will ever be due."""
    while _insist(lambda: dispatcher.is_work_left() or Video.objects.exclude(next_attempt_at=None).exists()):
        try:
            if not dispatcher.run():
                time.sleep(0.2)
        except (*points.RAISED, DatabaseError):
            log.exception("The task failed.")
            time.sleep(0.1)
        close_old_connections()


def _insist(act: Callable[[], Any]) -> Any:
    """Click again where the answer was an error page."""
    for _ in range(PEOPLES_PATIENCE):
        try:
            return act()
        except (*points.RAISED, DatabaseError):
            log.exception("An error page.")
        close_old_connections()
        time.sleep(0.1)
    raise AssertionError("It never works.")


def _click_from_everywhere(story: Story, mark: str) -> None:
    """Several processes spend from one purse until it is empty."""
    connection.close()
    people = []
    for person in range(CROWD):
        if (pid := os.fork()) == 0:
            try:
                for number in range(50):
                    _insist(lambda: click(story, f"{mark}{person}-{number}", user="crowd"))  # noqa: B023
            except credits.InsufficientCredits:
                pass
            finally:
                os._exit(0)
        people.append(pid)
    for pid in people:
        os.waitpid(pid, 0)


def _again(video: Video) -> Video:
    return Video.objects.get(pk=video.pk)


def _run_late(video: Video) -> None:
    """Let the deadline pass as soon as the provider has accepted the job, however slow the machine is."""
    while not _insist(lambda: Video.objects.filter(pk=video.pk, accepted_at__isnull=False).exists()):
        time.sleep(0.05)
    _insist(lambda: _let_the_deadline_pass(video))
    connection.close()


def _let_the_deadline_pass(video: Video) -> None:
    Video.objects.filter(pk=video.pk).update(queued_at=timezone.now() - timedelta(seconds=2 * DEADLINE))


def _dismiss_soon() -> None:
    time.sleep(1)
    _insist(lambda: leases.dismiss(leases.worker_name()))
    connection.close()
