"""Verbs on one video in any order, each with a row that was read at some earlier time, as by several processes."""

from random import Random

import pytest

from accounts import credits
from aivideo.tests.fixtures import entries, new_user, order
from videos import generation
from videos.invariants import violations
from videos.models import Status, Video
from videos.providers.base import Busy, JobState

pytestmark = pytest.mark.django_db

VERBS = {
    "cancel": generation.cancel,
    "intend": generation.intend,
    "postpone": lambda video: generation.postpone(video, Status.QUEUED, Busy("busy")),
    "lose_sight": lambda video: generation.lose_sight(video, "no answer"),
    "resend": generation.resend,
    "accept": lambda video: generation.accept(video, JobState(ref=f"job-{video.pk}", word="queued")),
    "finish": generation.finish,
    "complete": lambda video: generation.complete(
        video, {"file": f"videos/{video.pk}.mp4", "sha256": "0" * 64}
    ),
    "fail": lambda video: generation.fail(video, "generation_failed"),
    "time out": lambda video: generation.fail(video, "timed_out"),
    "withdraw": lambda video: generation.withdraw(video, "no frame"),
    "forgive": generation.forgive,
    "hurry": generation.hurry,
    "delete": generation.delete,
}
# The ways of a life without accidents, so that interleavings also happen far along it.
LIFE = ["intend", "accept", "finish", "complete"]
PROCESSES, STEPS, SEEDS = 3, 12, 1000


def test_A35_a_thousand_interleavings_end_with_a_video_or_with_the_credits():
    user = new_user()
    credits.grant(user, 10 * SEEDS, reference="test:rich")
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
        generation.fail(video, "timed_out")
    moved = entries(video)
    gone = video.status in (Status.FAILED, Status.CANCELED)
    assert moved == [("charge", -10), ("refund", 10)][: 2 if gone or video.is_free else 1], (video, moved)
    assert video.status != Status.COMPLETED or video.file or video.deleted_at
    return video.status
