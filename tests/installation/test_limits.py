"""Limits are those of the site, however many processes it has."""

import time
from collections import Counter

import pytest
import requests

from tests.support.installation import Site
from tests.support.sabotage import becomes, without

A_MINUTE = 30
FAILURES = 10  # in a minute from one address, by ACCOUNT_RATE_LIMITS


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), API_REQUESTS_A_MINUTE=str(A_MINUTE)) as site:
        yield site


def in_memory(test):
    return without(
        "the cache that all processes share",
        "aivideo.settings.CACHES",
        becomes('"aivideo.file_cache.FileCache"', '"django.core.cache.backends.locmem.LocMemCache"'),
    )(test)


@in_memory
def test_A73_requests_of_a_key_are_counted_by_all_processes_together(site):
    key = site.new_key("program@example.com", 1)
    began = time.monotonic()
    answers = Counter(
        # Each on a connection of its own, so that any process may take it.
        requests.get(f"{site.url}/v1/videos", headers={"Authorization": f"Bearer {key}"}).status_code
        for _ in range(2 * A_MINUTE)
    )
    refilled = (time.monotonic() - began) * A_MINUTE / 60
    assert set(answers) == {200, 429}
    assert A_MINUTE <= answers[200] <= A_MINUTE + refilled + 1


@in_memory
def test_A73_wrong_passwords_are_counted_by_all_processes_together(site):
    visitor = site.visitor()
    visitor.page("/accounts/login/")
    began = time.monotonic()
    answers = Counter(
        visitor.submit(
            "/accounts/login/",
            {"login": f"somebody-{number}", "password": "wrong"},
            headers={"Connection": "close"},
        ).status_code
        for number in range(3 * FAILURES)
    )
    minutes = 1 + (time.monotonic() - began) // 60
    assert set(answers) == {200, 429}
    assert FAILURES <= answers[200] <= FAILURES * minutes
