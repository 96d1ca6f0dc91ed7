"""What a worker leaves behind that dies between storing a file and saying so."""

import os
import time
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.support.fixtures import order
from tests.support.s3 import S3Server
from videos.media import orphans
from videos.models import Status, Video

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["local", "s3"])
def _everywhere(request, settings):
    """Files on the disk, then in a bucket."""
    if request.param == "local":
        yield
        return
    with S3Server() as server:
        for name, value in server.settings.items():
            setattr(settings, name, value)
        settings.STORAGES = {
            **settings.STORAGES,
            "default": {"BACKEND": "videos.media.object_store.ObjectStore"},
        }
        yield


@pytest.fixture
def later(monkeypatch):
    """Two days from now, as far as the sweep can tell: an object store gives nobody an old file."""
    now = timezone.now
    monkeypatch.setattr(orphans.timezone, "now", lambda: now() + timedelta(days=2))


def stored(*names):
    return [default_storage.save(name, ContentFile(b"x")) for name in names]


def completed(user, file, poster):
    video = order(user)
    Video.objects.filter(pk=video.pk).update(
        status=Status.COMPLETED, file=file, poster=poster, sha256="1" * 64
    )


def is_there(name):
    return default_storage.exists(name)


@pytest.mark.usefixtures("_everywhere", "later")
def test_what_no_row_names_is_removed_and_the_rest_stays(owner):
    named = stored("videos/named.mp4", "posters/named.webp", "uploads/named.jpg")
    completed(owner, named[0], named[1])
    owner.uploads.create(file=named[2], sha256="1" * 64, width=1, height=1)
    strays = stored(
        *(f"videos/stray-{n}.mp4" for n in range(7)), "posters/stray.webp", "uploads/stray.jpg", "probe/stray"
    )
    assert sorted(orphans.strays()) == sorted(strays)
    assert orphans.sweep() == len(strays)
    assert [name for name in named if not is_there(name)] == []
    assert [name for name in strays if is_there(name)] == []
    assert orphans.sweep() == 0


@pytest.mark.usefixtures("_everywhere")
def test_a_young_file_may_be_named_soon_and_stays():
    (young,) = stored("videos/young.mp4")
    assert orphans.sweep() == 0
    assert is_there(young)


def test_a_dry_run_prints_the_names_and_deletes_nothing(capsys):
    (old,) = stored("videos/old.mp4")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(default_storage.path(old), (two_days_ago, two_days_ago))
    call_command("sweep_files", dry_run=True)
    assert capsys.readouterr().out == "videos/old.mp4\nWould delete 1 orphaned files.\n"
    assert is_there(old)
    call_command("sweep_files")
    assert capsys.readouterr().out == "Deleted 1 orphaned files.\n"
    assert not is_there(old)


@pytest.mark.usefixtures("later")
def test_the_files_of_another_database_are_left_alone(monkeypatch):
    monkeypatch.setattr(orphans, "MAX_FILES", 3)
    names = stored(*(f"videos/{n}.mp4" for n in range(4)))
    with pytest.raises(CommandError, match="No row refers to 4 of 4 files"):
        call_command("sweep_files")
    assert [name for name in names if is_there(name)] == names
    call_command("sweep_files", however_many=True)
    assert [name for name in names if is_there(name)] == []


def test_an_installation_without_files_has_no_strays():
    assert orphans.sweep() == 0
