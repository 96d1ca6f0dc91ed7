"""A moderation service, and the list of blocked terms read anew for each test."""

import pytest

from accounts.models import CreditEntry
from tests.support.moderation_server import KEY, ModerationServer
from videos.models import Batch, Video
from videos.moderation import blocked_terms


@pytest.fixture(autouse=True)
def _fresh_list(monkeypatch, settings):
    """Each test reads the list anew, and leaves what others have read alone."""
    monkeypatch.setattr(blocked_terms, "FRESH", 0)
    monkeypatch.setattr(blocked_terms, "_pattern", None)
    monkeypatch.setattr(blocked_terms, "_loaded_at", -float("inf"))
    settings.SUPPORT_EMAIL = "help@example.com"


@pytest.fixture
def service(settings):
    with ModerationServer() as server:
        settings.MODERATION_BASE_URL, settings.MODERATION_API_KEY = server.url, KEY
        yield server


@pytest.fixture
def nothing_charged():
    """Called with the people concerned, at the end: nobody paid, nothing was made."""
    entries = CreditEntry.objects.count()

    def check(*people):
        for user in people:
            user.refresh_from_db()
            assert user.balance == 100
        fresh = CreditEntry.objects.exclude(kind="grant").count()
        assert (fresh, Video.objects.count(), Batch.objects.count()) == (0, 0, 0)
        assert CreditEntry.objects.count() - entries <= len(people)

    return check
