"""The threads of a web process, shared between slow calls and everything else.

A page or a poll takes milliseconds. A few calls take seconds: they wait for somebody else's server, for a child
process, or for a video, and occupy their thread meanwhile. So each of them first takes one of `max_slow()` places,
which are fewer than the threads. A call that finds no place free is refused immediately: waiting for one would
occupy a thread as well.

- No kind of slow call gets all places, no matter whether its calls run or wait for their turn.
- The last place is reserved for what any order may need: moderation, and the decoding of an uploaded picture.

A call holds its place during one step and releases it before the next step, so no request ever holds two, but for one of a
visitor who sends slowly (aivideo/web_worker.py).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# As `manage.py serve` and deploy/ start gunicorn. gunicorn.conf.py sets the number that gunicorn was really started
# with. Other processes (worker, commands, `runserver`) have no fixed number of threads and keep this one.
THREADS = 8
ALWAYS_FREE = 2  # threads for pages and polls

_lock = threading.Lock()  # guards the counts of places
_threads = THREADS
_taken = 0


class Busy(Exception):
    """No place is free for a slow call, or its turn did not come in time."""


def set_threads(count: int) -> None:
    """Set how many threads of this process serve requests."""
    global _threads
    _threads = count


def max_slow() -> int:
    """How many slow calls of all kinds may be in progress."""
    return max(1, _threads - ALWAYS_FREE)


class SlowCalls:
    """One kind of slow call: up to `at_once` run, and further ones wait up to `wait` seconds for their turn.

    Only calls that are `for_orders` may take the last place.
    """

    def __init__(self, at_once: int, wait: float = 0.0, *, for_orders: bool = False) -> None:
        self.at_once, self.wait, self.for_orders = at_once, wait, for_orders
        self._places = 0  # of those that run and those that wait for their turn
        self._turns = threading.BoundedSemaphore(at_once)

    @property
    def max_running(self) -> int:
        """`at_once`, or less if there are few threads."""
        return min(self.at_once, self._max_places)

    @property
    def _max_places(self) -> int:
        return max(1, max_slow() - 1)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Run a slow call inside this context. Raises Busy."""
        self._take_place()
        try:
            if not self._turns.acquire(timeout=self.wait):
                raise Busy
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._release_place()

    def _take_place(self) -> None:
        global _taken
        own = self._max_places if self.wait else self.max_running
        total = max_slow() if self.for_orders else self._max_places
        with _lock:
            if self._places >= own or _taken >= total:
                raise Busy
            self._places += 1
            _taken += 1

    def _release_place(self) -> None:
        global _taken
        with _lock:
            self._places -= 1
            _taken -= 1
