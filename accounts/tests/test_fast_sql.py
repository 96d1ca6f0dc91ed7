"""Rows that are read with plain SQL are the rows that the ORM reads."""

import uuid
from datetime import UTC, datetime

import pytest

from accounts import api_keys
from accounts.models import ApiKey
from tests.support.fixtures import new_user, order
from videos import serializers
from videos.models import Video
from videos.status import progress

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def selected(row):
    """The fields that were selected, by name."""
    deferred = row.get_deferred_fields()
    names = [field.attname for field in row._meta.concrete_fields if field.attname not in deferred]
    return {name: getattr(row, name) for name in names}


@pytest.mark.parametrize("load", [serializers.load_video, progress.load_for_polling])
def test_a_video_has_the_values_that_the_orm_reads(load):
    user = new_user()
    ordered = order(user)
    source = order(user, "A blue kite")
    Video.objects.filter(pk=ordered.pk).update(
        metadata={"n": "1"}, accepted_at=AT, next_attempt_at=None, remixed_from=source, progress=40
    )
    video = load(ordered.pk, user)
    from_orm = Video.objects.get(pk=ordered.pk)
    assert selected(video) == {name: getattr(from_orm, name) for name in selected(video)}
    assert (video.accepted_at, video.next_attempt_at) == (AT, None)
    assert video.model.name == from_orm.model.name
    # Deferred fields and relations can still be read.
    assert (video.webhook_url, video.user) == ("", user)


@pytest.mark.parametrize("load", [serializers.load_video, progress.load_for_polling])
def test_a_video_of_somebody_else_or_of_nobody_is_none(load):
    user = new_user()
    assert load(order(new_user()).pk, user) is None
    assert load(uuid.uuid4(), user) is None


def test_a_key_has_the_values_that_the_orm_reads():
    created, text = api_keys.create(new_user(), "program", allowed_models=["sora-2"], expires_at=None)
    ApiKey.objects.filter(pk=created.pk).update(last_used_at=datetime.now(UTC))
    key = api_keys.find(text)
    from_orm = ApiKey.objects.get(pk=created.pk)
    assert selected(key) == {name: getattr(from_orm, name) for name in selected(key)}
    assert (key.user.pk, key.user.balance) == (from_orm.user.pk, from_orm.user.balance)
