"""The order of the tests, and marks by what their code, their fixtures and their helpers can reach.

`quick`: starts no process and no browser. `database`: works on a database or on a whole site, which has one, except for
journeys: they look at pages, and other tests run the queries of these on every database.
"""

import inspect
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

DATABASE = "tests.support.database.template"
PROCESSES = {"subprocess", "sync_playwright"}
JOURNEYS = Path(__file__).parents[1] / "journeys"
LONGEST = [Path(__file__).parents[1] / "installation", JOURNEYS]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    _mark(items)
    starters = {item.path for item in items if not item.get_closest_marker("quick")}
    yield
    items.sort(key=lambda item: (_turn(item.path), item.path not in starters))


def _mark(items: list[pytest.Item]) -> None:
    for item in items:
        assert isinstance(item, pytest.Function)
        fixtures = [fixture for several in item._fixtureinfo.name2fixturedefs.values() for fixture in several]
        reached = _reached(item.function).union(*(_reached(fixture.func) for fixture in fixtures))
        if not reached & PROCESSES:
            item.add_marker("quick")
        uses_database = (
            item.get_closest_marker("django_db") or "db" in item.fixturenames or DATABASE in reached
        )
        if uses_database and item.path.parent != JOURNEYS:
            item.add_marker("database")


def _turn(path: Path) -> int:
    """Whole sites first: they wait more than they work, and no process should be left alone with them in the end."""
    return LONGEST.index(path.parent) if path.parent in LONGEST else len(LONGEST)


@cache
def _reached(function: Any) -> frozenset[str]:
    """What this function names, and whatever it calls in the code of the tests."""
    reached: set[str] = set()
    pending = [function]
    seen = set()
    while pending:
        one = inspect.unwrap(pending.pop())
        if one in seen:
            continue
        seen.add(one)
        if inspect.isclass(one):
            parts = [getattr(part, "fget", part) for part in vars(one).values()]
            pending += filter(callable, parts)
        elif inspect.isfunction(one):
            for name in _names(one.__code__):
                named = one.__globals__.get(name)
                whole_name = f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
                reached |= {name, whole_name}
                if callable(named) and "tests" in whole_name.split(".") and whole_name != DATABASE:
                    pending.append(named)
    return frozenset(reached)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
