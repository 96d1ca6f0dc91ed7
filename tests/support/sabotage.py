"""Which defense a test judges, and the change of the source that takes this defense away.

    @without("the lease check before a purchase", "videos.worker.steps.submit", drop("_confirm_lease"))
    def test_…

On a normal run the decorator does nothing; `make sabotage` makes the change in a copy and expects the test to fail.
Code is named by function, class or assignment, and compared as a syntax tree: formatting does not matter.
"""

import ast
import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Edit = Callable[[], None]  # makes a change in one place


class DoesNotFit(Exception):
    """A case that names code that is not there, or not there exactly once."""


@dataclass(frozen=True)
class Operator:
    """A change of one piece of code. `places` returns an edit for each place where it could be made."""

    text: str
    places: Callable[[ast.AST], list[Edit]]
    added: tuple[ast.AST, ...] = ()


@dataclass(frozen=True)
class Case:
    """What is taken away, and how: the dotted names of the code and the operators for each."""

    without: str
    changes: tuple[tuple[str, tuple[Operator, ...]], ...]
    attack: str = ""  # such as A25; by default, what follows `test_` in the test's name


def without(defense: str, *changes: str | Operator, attack: str = "") -> pytest.MarkDecorator:
    """Mark a test that must fail without `defense`: the dotted name of the code, then operators; both may repeat."""
    grouped: list[tuple[str, tuple[Operator, ...]]] = []
    for change in changes:
        if isinstance(change, str):
            grouped.append((change, ()))
        else:
            name, operators = grouped.pop()
            grouped.append((name, (*operators, change)))
    return pytest.mark.without(Case(defense, tuple(grouped), attack))


def drop(name: str) -> Operator:
    """Remove the statement that calls `name`, or assigns to it; `drop("charge")` finds `credits.charge(…)`, too."""

    def places(root: ast.AST) -> list[Edit]:
        return [partial(put, ast.Pass()) for node, put in _nodes(root) if _is_about(node, name)]

    return Operator(f"drop({name!r})", places)


def never(condition: str) -> Operator:
    """Make the condition of an `if` false that is or contains this expression."""
    wanted = _normal(_parsed(condition))

    def places(root: ast.AST) -> list[Edit]:
        return [
            partial(setattr, node, "test", ast.Constant(False))
            for node in ast.walk(root)
            if isinstance(node, ast.If | ast.IfExp)
            if any(_normal(part) == wanted for part in ast.walk(node.test))
        ]

    return Operator(f"never({condition!r})", places)


def becomes(old: str, new: str) -> Operator:
    """Replace an expression or, written as `name=value`, a keyword argument."""
    wanted, replacement = _normal(_parsed(old)), _parsed(new)

    def places(root: ast.AST) -> list[Edit]:
        return [partial(put, replacement) for node, put in _nodes(root) if _normal(node) == wanted]

    return Operator(f"becomes({old!r}, …)", places, (replacement,))


def becomes_text(old: str, new: str) -> Operator:
    """Replace a part of a string, such as a condition in SQL."""

    def places(root: ast.AST) -> list[Edit]:
        return [
            partial(setattr, node, "value", node.value.replace(old, new))
            for node in ast.walk(root)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            for _ in range(node.value.count(old))
        ]

    return Operator(f"becomes_text({old!r}, …)", places)


def omit(item: str) -> Operator:
    """Leave out a keyword argument (`name` or `name=value`), an entry of a dict (its key) or of a list, set or tuple."""
    wanted = _normal(_parsed(item))

    def places(root: ast.AST) -> list[Edit]:
        found: list[Edit] = []
        for node in ast.walk(root):
            if isinstance(node, ast.Dict):
                found += [
                    partial(_delete_entry, node, index)
                    for index, key in enumerate(node.keys)
                    if key and _normal(key) == wanted
                ]
            for items in (getattr(node, "keywords", None), getattr(node, "elts", None)):
                found += [
                    partial(items.remove, one)
                    for one in items or ()
                    if wanted in (_normal(one), getattr(one, "arg", None))
                ]
        return found

    return Operator(f"omit({item!r})", places)


def insert_first(code: str) -> Operator:
    """Put statements at the beginning of a function or class, after its docstring."""
    added = ast.parse(code).body

    def places(root: ast.AST) -> list[Edit]:
        if not isinstance(root, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return []
        start = 0 if ast.get_docstring(root) is None else 1
        return [lambda: root.body.__setitem__(slice(start, start), added)]

    return Operator(f"insert_first({code!r})", places, tuple(added))


def insert_after(name: str, code: str) -> Operator:
    """Put statements after the one that calls `name`, or assigns to it."""
    added = ast.parse(code).body

    def places(root: ast.AST) -> list[Edit]:
        return [
            partial(put, ast.If(ast.Constant(True), [node, *added], []))
            for node, put in _nodes(root)
            if _is_about(node, name)
        ]

    return Operator(f"insert_after({name!r}, …)", places, tuple(added))


def sabotaged(case: Case, root: Path) -> dict[Path, str]:
    """The files of the tree at `root` that this case changes, and what is in them then. Raises DoesNotFit."""
    trees: dict[Path, ast.Module] = {}
    for name, operators in case.changes:
        file, within = _module_of(name, root)
        tree = trees.setdefault(file, ast.parse((root / file).read_text()))
        code = _named(tree, within, name)
        for operator in operators:
            _check_names(operator, tree, name)
            places = operator.places(code)
            if len(places) != 1:
                raise DoesNotFit(f"{operator.text} fits {len(places)} times, not once, in {name}.")
            places[0]()
    return {file: ast.unparse(ast.fix_missing_locations(tree)) + "\n" for file, tree in trees.items()}


def marked_files(root: Path) -> list[Path]:
    """The files with tests that use this module."""
    packages = sorted(init.parent for init in root.glob("*/__init__.py"))
    files = [file for package in packages for file in sorted(package.rglob("test_*.py"))]
    return [file for file in files if f"from {__name__} import" in file.read_text()]


def cases_of(test: Any) -> list[Case]:
    """The cases of a test function, in the order in which they are written."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "without"]
    return [mark.args[0] for mark in reversed(marks)]


def marked_tests(module: ModuleType) -> list[Any]:
    return [value for value in vars(module).values() if callable(value) and cases_of(value)]


def _module_of(name: str, root: Path) -> tuple[Path, list[str]]:
    """The file of the longest part of a dotted name that is a module, and the rest of the name."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = Path(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (root / file).exists():
                return file, parts[length:]
    raise DoesNotFit(f"There is no module of {name}.")


def _named(tree: ast.Module, within: list[str], name: str) -> ast.AST:
    """The function, class or assignment of this name."""
    code: Any = tree
    for part in within:
        found = [node for node in getattr(code, "body", ()) if part in _names_of(node)]
        if len(found) != 1:
            raise DoesNotFit(f"{part!r} is defined {len(found)} times, not once, on the way to {name}.")
        code = found[0]
    return code


def _names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    return _targets(node)


def _targets(node: ast.AST) -> list[str]:
    """What a statement assigns to."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets]
    return [ast.unparse(node.target)] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def _check_names(operator: Operator, tree: ast.Module, name: str) -> None:
    """A name that the module does not know would make the test fail for another reason than the missing defense."""
    known = set(dir(builtins)) | {"__name__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            known.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Name):
            known.add(node.id)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(node.name)
    for added in operator.added:
        unknown = {node.id for node in ast.walk(added) if isinstance(node, ast.Name)} - known
        if unknown:
            raise DoesNotFit(f"{operator.text} uses {sorted(unknown)}, which the module of {name} lacks.")


def _nodes(root: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """What is below a node, each with the function that puts something else in its place."""
    for parent in ast.walk(root):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield value, partial(setattr, parent, field)
            elif isinstance(value, list):
                yield from (
                    (child, partial(value.__setitem__, index))
                    for index, child in enumerate(value)
                    if isinstance(child, ast.AST)
                )


def _is_about(node: ast.AST, name: str) -> bool:
    """Whether a statement calls `name`, or assigns to it."""
    value = getattr(node, "value", None) if isinstance(node, ast.Expr | ast.Return) else None
    call = value.value if isinstance(value, ast.Await) else value
    called = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    return f".{called}".endswith(f".{name}") or name in _targets(node)


def _parsed(text: str) -> ast.AST:
    """An expression, or `name=value` as in a call."""
    call = ast.parse(f"_({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    (item,) = [*call.args, *call.keywords]
    return item


def _normal(node: ast.AST) -> str | None:
    """Code in one way of writing; None for what is no value, such as the target of an assignment."""
    if not isinstance(node, ast.expr | ast.keyword) or isinstance(node, ast.FormattedValue):
        return None
    return ast.unparse(node) if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) else None


def _delete_entry(node: ast.Dict, index: int) -> None:
    del node.keys[index], node.values[index]
