"""Every case of `make sabotage` still fits the code that it changes. The cases themselves run there, not here."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.sabotage import (
    Case,
    DoesNotFit,
    becomes,
    becomes_text,
    cases_of,
    drop,
    insert_after,
    insert_first,
    marked_files,
    marked_tests,
    never,
    omit,
    sabotaged,
    without,
)

BASE_DIR = Path(__file__).resolve().parents[2]
FILES = {
    str(file.relative_to(BASE_DIR)): file
    for file in marked_files(BASE_DIR)
    if file != Path(__file__).resolve()
}
SOURCE = '''
LIMIT = 5

class Shop:
    """A shop."""

    async def buy(self, user, *, amount: int = 1) -> bool:
        """Buy something."""
        if user.is_blocked or not amount:
            return False
        await self._check(user, day="today", limit=LIMIT)
        rows = run("UPDATE shop SET n = n - 1 WHERE n > 0", {"user": user.pk, "amount": amount})
        return (
            rows  == 1
        )
'''


@pytest.mark.parametrize("file", FILES)
def test_every_case_fits_the_code(file):
    tests = marked_tests(import_module(file.removesuffix(".py").replace("/", ".")))
    assert tests
    assert [problem for test in tests for case in cases_of(test) if (problem := problem_of(case))] == []


def problem_of(case):
    try:
        changed = sabotaged(case, BASE_DIR)
    except DoesNotFit as error:
        return f"{case.without}: {error}"
    if any(text == as_written((BASE_DIR / file).read_text()) for file, text in changed.items()):
        return f"{case.without}: this changes nothing"
    return None


def as_written(source):
    return ast.unparse(ast.parse(source)) + "\n"


def changes(tmp_path, name, *operators):
    """The lines that go and come when the operators are applied to SOURCE."""
    (tmp_path / "shop.py").write_text(SOURCE)
    [text] = sabotaged(Case("", ((name, operators),)), tmp_path).values()
    before, after = as_written(SOURCE).splitlines(), text.splitlines()
    return (
        [line.strip() for line in before if line not in after],
        [line.strip() for line in after if line not in before],
    )


CHECK = "await self._check(user, day='today', limit=LIMIT)"


@pytest.mark.parametrize(
    ("name", "operator", "gone", "new"),
    [
        ("shop.LIMIT", becomes("5", "10 ** 9"), ["LIMIT = 5"], ["LIMIT = 10 ** 9"]),
        ("shop.Shop.buy", becomes("rows==1", "True"), ["return rows == 1"], ["return True"]),
        (
            "shop.Shop.buy",
            becomes("day='today'", "day=amount"),
            [CHECK],
            ["await self._check(user, day=amount, limit=LIMIT)"],
        ),
        ("shop.Shop.buy", omit("day"), [CHECK], ["await self._check(user, limit=LIMIT)"]),
        ("shop.Shop.buy", drop("_check"), [CHECK], ["pass"]),
        (
            "shop.Shop.buy",
            never("user.is_blocked"),
            ["if user.is_blocked or not amount:"],
            ["if False:"],
        ),
        ("shop.Shop.buy", insert_first("amount = 0"), [], ["amount = 0"]),
        ("shop.Shop", insert_first("def sell(self): pass"), [], ["def sell(self):", "pass"]),
    ],
)
def test_an_operator_changes_one_place(tmp_path, name, operator, gone, new):
    assert changes(tmp_path, name, operator) == (gone, new)


def test_strings_and_dicts_are_changed_in_part(tmp_path):
    gone, new = changes(tmp_path, "shop.Shop.buy", becomes_text("n > 0", "n > -9"), omit("'amount'"))
    assert gone == [
        "rows = run('UPDATE shop SET n = n - 1 WHERE n > 0', {'user': user.pk, 'amount': amount})"
    ]
    assert new == ["rows = run('UPDATE shop SET n = n - 1 WHERE n > -9', {'user': user.pk})"]


def test_statements_follow_the_one_that_is_named(tmp_path):
    _gone, new = changes(tmp_path, "shop.Shop.buy", insert_after("rows", "rows = 1"))
    assert new[0] == "if True:"
    assert new[-1] == "rows = 1"


@pytest.mark.parametrize(
    ("name", "operator", "why"),
    [
        ("shop.Shop.sell", drop("x"), "'sell' is defined 0 times"),
        ("stall.Shop.buy", drop("x"), "There is no module of stall.Shop.buy"),
        ("shop.Shop.buy", drop("_look"), "drop('_look') fits 0 times"),
        ("shop.Shop.buy", becomes("amount", "0"), "becomes('amount', …) fits 2 times"),
        (
            "shop.Shop.buy",
            becomes("rows == 1", "row"),
            "uses ['row'], which the module of shop.Shop.buy lacks",
        ),
        ("shop.LIMIT", insert_first("pass"), "insert_first('pass') fits 0 times"),
    ],
)
def test_an_operator_that_does_not_fit_once_is_an_error(tmp_path, name, operator, why):
    with pytest.raises(DoesNotFit) as error:
        changes(tmp_path, name, operator)
    assert why in str(error.value)


def test_a_test_may_have_several_cases_and_a_case_several_changes():
    @without("one", "a.b", drop("x"), omit("y"), "a.c", drop("z"))
    @without("two", "a.d", drop("x"), attack="A25")
    def test(): ...

    one, two = cases_of(test)
    assert [(name, len(operators)) for name, operators in one.changes] == [("a.b", 2), ("a.c", 1)]
    assert (one.without, two.without, two.attack) == ("one", "two", "A25")
