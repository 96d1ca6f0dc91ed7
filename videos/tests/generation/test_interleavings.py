"""Verbs on one video in any order, each with a row that was read at some earlier time, as by several processes."""

from random import Random

import pytest

from aivideo.ledger_check import violations
from tests.support.fixtures import QUICK, entries, give, new_user, order
from tests.support.sabotage import becomes, without
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.providers.base import Busy, JobState

pytestmark = pytest.mark.django_db

VERBS = {
    "cancel": lifecycle.cancel,
    "intend": lifecycle.mark_submitting,
    "postpone": lambda video: lifecycle.postpone(video, Status.QUEUED, Busy("busy")),
    "mark_unconfirmed": lambda video: lifecycle.mark_unconfirmed(video, "no answer"),
    "resend": lifecycle.requeue,
    "accept": lambda video: lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="queued")),
    "finish": lifecycle.finish,
    "complete": lambda video: lifecycle.complete(
        video, {"file": f"videos/{video.pk}.mp4", "sha256": "0" * 64}
    ),
    "fail": lambda video: lifecycle.fail(video, "generation_failed"),
    "time out": lambda video: lifecycle.fail(video, "timed_out"),
    "withdraw": lambda video: lifecycle.fail_unplayable(video, "no frame"),
    "forgive": lifecycle.refund_completed,
    "hurry": lifecycle.retry_now,
    "delete": lifecycle.delete,
}
# The ways of a life without accidents, so that interleavings also happen far along it.
LIFE = ["intend", "accept", "finish", "complete"]
PROCESSES, STEPS, SEEDS = 3, 12, 60 if QUICK else 1000


@without(
    "the compare-and-set of a state change",
    "videos.models.video.Video.move_to",
    becomes("{'id': self.pk, 'version': self.version}", "{'id': self.pk}"),
)
def test_A35_a_thousand_interleavings_end_with_a_video_or_with_the_credits():
    user = new_user()
    give(user, 10 * SEEDS)
    ends = set()
    for seed in range(SEEDS):
        ends.add(interleave(order(user, f"seed {seed}").pk, Random(seed)))
    assert {"completed", "failed", "canceled"} <= ends
    assert violations()[1] == []


def interleave(pk, random):
    """Let some processes that read the row now and then do things to it; the state in the end."""
    rows = [Video.objects.get(pk=pk) for _ in range(PROCESSES)]
    life = iter(LIFE)
    for _ in range(STEPS):
        process = random.randrange(PROCESSES)
        if random.random() < 0.6:
            rows[process] = Video.objects.get(pk=pk)
        verb = next(life, "delete") if random.random() < 0.5 else random.choice(sorted(VERBS))
        VERBS[verb](rows[process])
    video = Video.objects.get(pk=pk)
    if video.is_live:
        lifecycle.fail(video, "timed_out")
    moved = entries(video)
    gone = video.status in (Status.FAILED, Status.CANCELED)
    assert moved == [("charge", -10), ("refund", 10)][: 2 if gone or video.is_free else 1], (video, moved)
    assert video.status != Status.COMPLETED or video.file or video.deleted_at
    return video.status
