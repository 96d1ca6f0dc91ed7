"""The cache that the processes of one machine share."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aivideo.file_cache import SWEEP, FileCache
from tests.support.sabotage import becomes_text, without


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def cache(path):
    return FileCache(str(path), {})


@pytest.fixture
def clock(monkeypatch):
    """Moves the time of this process; a list with the seconds by which it is ahead."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    return ahead


@pytest.mark.parametrize("value", [7, -1, 2**63, 1.5, True, "a", b"a", None, [1, {"a": (2,)}]])
def test_what_is_kept_comes_back_as_it_was(cache, path, value):
    cache.set("a", value)
    for one in (cache, FileCache(str(path), {})):
        assert one.get("a", "nothing") == value
        assert type(one.get("a", "nothing")) is type(value)
    assert (cache.get("b"), cache.get("b", 1), "a" in cache, "b" in cache) == (None, 1, True, False)


def test_entries_end_when_their_time_is_over(cache, clock):
    cache.set("a", 1, 60)
    cache.set("for ever", 1, None)
    cache.set("never", 1, 0)
    assert cache.get_many(["a", "for ever", "never"]) == {"a": 1, "for ever": 1}
    clock[0] = 59
    assert cache.incr("a") == 2
    assert cache.touch("a", 60)
    clock[0] = 118
    assert cache.get("a") == 2
    clock[0] = 120
    assert cache.get("a") is None
    with pytest.raises(ValueError, match="a"):
        cache.incr("a")
    assert not cache.touch("a", 60)
    assert not cache.delete("a")
    assert cache.get("for ever") == 1


def test_only_the_first_adds(cache, clock):
    assert cache.add("a", 1, 60)
    assert not cache.add("a", 2, 60)
    assert cache.get("a") == 1
    clock[0] = 61
    assert cache.add("a", 3, 60)
    assert cache.get("a") == 3
    assert cache.delete("a")
    assert cache.add("a", 4)
    cache.clear()
    assert cache.get("a") is None


def test_what_has_expired_leaves_the_file(cache, path, clock):
    for number in range(20):
        cache.set(f"old {number}", number, 10)
    clock[0] = 11
    for _ in range(SWEEP):
        cache.set("a", 1)
    rows = cache._file().execute("SELECT count(*) FROM entries").fetchone()
    assert rows == (1,)


def test_threads_count_together(cache):
    cache.set("a", 0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cache.incr("a"), range(400)))
    assert sorted(found) == list(range(1, 401))


COUNT = """
import sys
from aivideo.file_cache import FileCache
cache = FileCache(sys.argv[1], {})
for _ in range(500):
    cache.incr("a")
"""


@without(
    "the one step in which the cache adds",
    "aivideo.file_cache.FileCache.incr",
    becomes_text("value + ?", "value + 0 * ?"),
)
def test_A73_processes_count_together(cache, path):
    cache.set("a", 0)
    others = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    assert cache.get("a") == 1000
