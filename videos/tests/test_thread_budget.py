"""Slow calls share the threads of a web process, and leave some of them to pages."""

import itertools
import threading
import time
from contextlib import ExitStack

import pytest

from tests.support.fixtures import scaled_timeout, wait_until
from videos import thread_budget
from videos.thread_budget import ALWAYS_FREE, THREADS, Busy, SlowCalls

MAX_SLOW = THREADS - ALWAYS_FREE


@pytest.fixture(autouse=True)
def _every_place_comes_back(monkeypatch):
    monkeypatch.setattr(thread_budget, "_threads", THREADS)
    yield
    assert thread_budget._taken == 0


@pytest.fixture
def begun():
    """Take as many turns as there are and keep them until the test ends; how many there were."""
    with ExitStack() as stack:

        def begin(calls):
            for number in itertools.count():
                try:
                    stack.enter_context(calls.turn())
                except Busy:
                    return number

        yield begin


def test_as_many_run_as_may_and_the_next_is_refused_at_once(begun):
    calls = SlowCalls(at_once=3)
    began = time.monotonic()
    assert begun(calls) == 3
    assert time.monotonic() - began < scaled_timeout(1)


def test_a_turn_ends_with_its_block_however_that_ends():
    calls = SlowCalls(at_once=1)
    for error in (ValueError, KeyboardInterrupt, Busy):
        with pytest.raises(error), calls.turn():
            raise error
    with calls.turn(), pytest.raises(Busy), calls.turn():
        raise AssertionError
    with calls.turn():
        pass


def test_who_waits_gets_the_turn_that_becomes_free():
    calls = SlowCalls(at_once=1, wait=60)
    is_done = threading.Event()

    def come_second():
        with calls.turn():
            is_done.set()

    with calls.turn():
        second = threading.Thread(target=come_second)
        second.start()
        wait_until(lambda: thread_budget._taken == 2)
        assert not is_done.is_set()
    assert is_done.wait(60)
    second.join()


def test_who_waits_in_vain_is_refused_in_time():
    calls = SlowCalls(at_once=1, wait=0.2)
    with calls.turn():
        began = time.monotonic()
        with pytest.raises(Busy), calls.turn():
            raise AssertionError
        assert 0.2 <= time.monotonic() - began < scaled_timeout(2)


def test_one_kind_of_call_never_has_all_places_not_even_by_waiting():
    calls = SlowCalls(at_once=1, wait=60, for_orders=True)

    def come():
        with calls.turn():
            pass

    with calls.turn():
        threads = [threading.Thread(target=come) for _ in range(MAX_SLOW - 2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: thread_budget._taken == MAX_SLOW - 1)
        with pytest.raises(Busy), calls.turn():
            raise AssertionError
        with SlowCalls(at_once=1, for_orders=True).turn():
            assert thread_budget._taken == MAX_SLOW
    for thread in threads:
        thread.join()


def test_all_kinds_together_leave_threads_to_pages_and_the_last_place_to_orders(begun):
    assert begun(SlowCalls(at_once=3)) == 3
    assert begun(SlowCalls(at_once=3)) == 2
    assert begun(SlowCalls(at_once=1)) == 0
    assert begun(SlowCalls(at_once=4, for_orders=True)) == 1
    assert begun(SlowCalls(at_once=1, wait=60, for_orders=True)) == 0


@pytest.mark.parametrize(
    ("threads", "together", "of_one_kind"),
    [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 2, 1), (6, 4, 3), (8, 6, 4), (16, 14, 4)],
)
def test_the_budget_follows_the_threads_of_the_process(begun, threads, together, of_one_kind):
    thread_budget.set_threads(threads)
    assert thread_budget.max_slow() == together
    first = SlowCalls(at_once=4)
    assert (first.max_running, begun(first)) == (of_one_kind, of_one_kind)
    others = sum(begun(SlowCalls(at_once=4, for_orders=True)) for _ in range(4))
    assert of_one_kind + others == together


def test_a_hundred_threads_that_come_and_go_never_hold_more_than_there_is():
    kinds = [SlowCalls(at_once=2), SlowCalls(at_once=4, wait=0.01), SlowCalls(at_once=1, wait=0.01)]
    most: list[int] = []

    def come_and_go(number):
        for _ in range(20):
            try:
                with kinds[number % 3].turn():
                    most.append(thread_budget._taken)
                    time.sleep(0.001)
            except Busy:
                pass

    threads = [threading.Thread(target=come_and_go, args=[number]) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= max(most) <= MAX_SLOW
