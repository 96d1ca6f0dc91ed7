"""`make sabotage`: are the defenses tested at all? Each is taken away in turn, and its test has to fail.

The cases are the tests marked with `without` (tests/support/sabotage.py). Each change is made in a copy of the
tree. A case that does not fit the code ends the run at once; a test that breaks instead of failing is reported.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.sabotage import Case, DoesNotFit, cases_of, marked_files, sabotaged

BASE_DIR = Path(__file__).resolve().parents[2]
FAILED = 1  # pytest's exit code; a test that is not there, or cannot be imported, has another one
TIMEOUT_SECONDS = 900  # longer than any test waits before it fails
# As it was before pytest collected here: what conftest.py sets then, such as DATA_DIR, would be shared by all runs.
ENVIRONMENT = dict(os.environ)


@dataclass(frozen=True)
class Sabotage:
    """A case and its test."""

    case: Case
    test: str

    @property
    def attack(self) -> str:
        """The attack that the defense is against, such as A25."""
        return self.case.attack or self.test.partition("::test_")[2].partition("_")[0]

    def is_meant_by(self, word: str) -> bool:
        if re.fullmatch(r"[A-Z]+[0-9]*", word):
            return word == self.attack
        return word.lower() in f"{self.test} {self.case.without}".lower()


class Collector:
    """A plugin of pytest: the marked tests that it collects."""

    def __init__(self) -> None:
        self.found: dict[str, list[Case]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and (cases := cases_of(item.function)):
                # All parameters of a test together.
                self.found[item.nodeid.partition("[")[0]] = cases


def main(words: list[str]) -> int:
    # Before pytest collects here, because conftest.py chooses another place for temporary files.
    with tempfile.TemporaryDirectory(prefix="aivideo-sabotage-") as folder:
        chosen = [one for one in _collected() if not words or any(map(one.is_meant_by, words))]
        if not chosen:
            print("No case matches these words.", file=sys.stderr)
            return 2
        try:
            changed = [sabotaged(one.case, BASE_DIR) for one in chosen]
        except DoesNotFit as error:
            print(error, file=sys.stderr)
            return 2
        sound = _copy(Path(folder) / "sound")
        done = _run(sound, "-n", str(os.cpu_count() or 1), *sorted({one.test for one in chosen}))
        if done.returncode:
            print(f"The tests fail with all defenses in place:\n{done.stdout[-4000:]}", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            folders = [Path(folder) / str(number) for number in range(len(chosen))]
            noticed = list(pool.map(_is_noticed, chosen, changed, folders))
    for one, is_red in zip(chosen, noticed, strict=True):
        line = {"case": one.attack, "without": one.case.without, "test": one.test, "red": is_red}
        print(json.dumps(line))
    judged = [is_red for is_red in noticed if is_red is not None]
    print(f"{sum(judged)}-of-{len(judged)}")
    if skipped := len(noticed) - len(judged):
        print(f"{skipped} skipped: run them with the other database.", file=sys.stderr)
    return 0 if all(judged) else 1


def _collected() -> list[Sabotage]:
    collector, said = Collector(), io.StringIO()
    options = ["--collect-only", "-p", "no:cacheprovider", f"--rootdir={BASE_DIR}"]
    with redirect_stdout(said):
        code = pytest.main([*options, *map(str, marked_files(BASE_DIR))], plugins=[collector])
    if code:
        sys.exit(f"The tests cannot be collected:\n{said.getvalue()[-4000:]}")
    return [Sabotage(case, test) for test, cases in collector.found.items() for case in cases]


def _is_noticed(sabotage: Sabotage, changed: dict[Path, str], folder: Path) -> bool | None:
    """Whether the test fails in a copy without the defense; None if it is skipped on this database."""
    copy = _copy(folder)
    for file, text in changed.items():
        (copy / file).write_text(text)
    try:
        done = _run(copy, sabotage.test)
    except subprocess.TimeoutExpired:
        print(f"{sabotage.test} without {sabotage.case.without} does not end.", file=sys.stderr)
        return False
    shutil.rmtree(copy)
    if not done.returncode and re.search(r"^\d+ skipped in ", done.stdout, re.MULTILINE):
        return None
    # Of a fixture that breaks, pytest says ERROR.
    is_red = done.returncode == FAILED and "\nFAILED " in done.stdout
    if done.returncode and not is_red:
        print(
            f"{sabotage.test} without {sabotage.case.without} broke instead of failing:\n{done.stdout[-4000:]}",
            file=sys.stderr,
        )
    return is_red


def _copy(folder: Path) -> Path:
    """The files of this project as they are now, without what git does not know."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=BASE_DIR, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (BASE_DIR / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BASE_DIR / name, folder / name)
    return folder


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-x", "-rfE", "-p", "no:cacheprovider", *arguments]
    timeout = TIMEOUT_SECONDS * (1 + len(arguments) // 10)
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, timeout=timeout, capture_output=True, text=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
