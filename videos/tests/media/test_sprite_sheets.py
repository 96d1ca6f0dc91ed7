"""The sprite sheet of a video, made when somebody asks for it."""

import threading

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from tests.support.api_client import Program
from tests.support.fixtures import new_user, order, wait_until
from videos.media import sprite_sheets
from videos.models import Video
from videos.serializers import public_id
from videos.thread_budget import SlowCalls


@pytest.mark.django_db
def test_while_others_are_made_the_api_says_when_to_come_again(monkeypatch):
    monkeypatch.setattr(sprite_sheets, "_sheets", SlowCalls(at_once=0))
    user = new_user()
    video = order(user)
    Video.objects.filter(pk=video.pk).update(status="completed", file="videos/kite.mp4", sha256="0" * 64)
    answer = Program(user).get(f"/v1/videos/{public_id(video.pk)}/content?variant=spritesheet")
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")


def test_two_who_ask_for_one_sheet_have_it_made_once(monkeypatch):
    made, may_go_on = [], threading.Event()

    def make(file):
        made.append(file)
        assert may_go_on.wait(60)
        return b"a sheet"

    monkeypatch.setattr(sprite_sheets, "_make", make)
    monkeypatch.setattr(sprite_sheets, "_sheets", SlowCalls(at_once=1, wait=60))
    default_storage.save("videos/kite.mp4", ContentFile(b"a video"))
    threads = [threading.Thread(target=sprite_sheets.of, args=["videos/kite.mp4"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sprite_sheets._sheets._places == 2)
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert made == ["videos/kite.mp4"]
    with default_storage.open("sprites/kite.jpg") as file:
        assert file.read() == b"a sheet"
