"""The first catalogue's models got the names that programs ask for: those of an installation that is there already, too."""

from importlib import import_module

import pytest
from django.apps import apps

from accounts import api_keys
from accounts.models import ApiKey
from videos.models import VideoModel

pytestmark = pytest.mark.django_db
migration = import_module("videos.migrations.0016_what_models_take")


def key_for(user, *slugs):
    api_keys.create(user, "one", allowed_models=list(slugs))
    return ApiKey.objects.latest("pk")


def test_models_and_the_keys_bound_to_them_are_renamed_once(owner):
    VideoModel.objects.filter(slug="sora-2").update(slug="studio-fast")
    key = key_for(owner, "studio-fast", "kling-4")
    for _twice in range(2):
        migration.forwards(apps, None)
        key.refresh_from_db()
        assert key.allowed_models == ["sora-2", "kling-4"]
        assert not VideoModel.objects.filter(slug="studio-fast").exists()


def test_where_staff_have_a_model_of_that_name_both_stay(owner):
    sora = VideoModel.objects.get(slug="sora-2")
    VideoModel.objects.create(slug="studio-fast", name="Ours", sizes=sora.sizes, lengths=sora.lengths)
    key = key_for(owner, "studio-fast")
    migration.forwards(apps, None)
    key.refresh_from_db()
    assert key.allowed_models == ["studio-fast"]
    assert VideoModel.objects.filter(slug__in=["sora-2", "studio-fast"]).count() == 2
