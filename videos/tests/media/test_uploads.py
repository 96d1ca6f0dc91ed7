"""Uploaded pictures: how long each is kept."""

import pytest

from tests.support.fixtures import order
from tests.support.moderation import upload
from videos.media import uploads
from videos.worker import steps

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("frame", ["upload", "last_frame"])
def test_a_picture_of_a_running_video_is_not_deleted_as_unused(owner, monkeypatch, frame):
    monkeypatch.setattr(uploads, "MAX_UNUSED", 1)
    video = order(owner, **{frame: upload(owner)})
    for color in ("red", "green", "blue"):
        upload(owner, color)
    video.refresh_from_db()
    job = steps.job_request(video)
    assert job.image or job.last_frame
