"""The .in files list direct dependencies; `make requirements` compiles them into the .txt files that are installed."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BASE_DIR = Path(__file__).resolve().parents[1]
SOURCES = {
    "requirements.txt": "requirements.in",
    "requirements-dev.txt": "requirements-dev.in",
    "requirements-docs.txt": "requirements-docs.in",
    "requirements-audit.txt": "requirements-audit.in",
}


@pytest.mark.parametrize(("compiled", "source"), list(SOURCES.items()))
def test_compiled_files_hold_the_direct_dependencies_at_their_pinned_versions(compiled, source):
    # The compiler notes under each package what asked for it.
    direct = re.compile(rf"^    #.* -r {re.escape(source)}$", re.MULTILINE)
    found = sorted((name, pin) for name, pin, entry in _compiled(compiled) if direct.search(entry))

    assert found == _direct(source), "Run `make requirements` and commit what it writes."


@pytest.mark.parametrize("compiled", SOURCES)
def test_every_compiled_package_is_pinned_and_has_hashes(compiled):
    packages = _compiled(compiled)

    assert packages
    assert [
        name for name, pin, entry in packages if not pin.startswith("==") or "--hash=sha256:" not in entry
    ] == []


def test_development_installs_the_same_versions_as_production():
    production, development = (
        {(name, pin) for name, pin, _ in _compiled(file)}
        for file in ("requirements.txt", "requirements-dev.txt")
    )
    shared = {name for name, _ in production} & {name for name, _ in development}

    assert {(name, pin) for name, pin in development - production if name in shared} == set()


@pytest.mark.parametrize("compiled", SOURCES)
def test_compiled_files_name_no_package_index_and_no_path(compiled):
    text = (BASE_DIR / compiled).read_text()

    assert re.findall(r"^-.*|.*://.*|.* /.*", text, re.MULTILINE) == []


def _direct(source: str) -> list[tuple[str, str]]:
    lines = [line.partition("#")[0].strip() for line in (BASE_DIR / source).read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return sorted((canonicalize_name(each.name), str(each.specifier)) for each in requirements)


def _compiled(file: str) -> list[tuple[str, str, str]]:
    """Each package's name, its pin, and the whole entry with hashes and comments."""
    entries = re.split(r"\n(?=\w)", (BASE_DIR / file).read_text())[1:]  # the first is the header
    requirements = [Requirement(entry.partition("\\")[0]) for entry in entries]
    return [
        (canonicalize_name(requirement.name), str(requirement.specifier), entry)
        for requirement, entry in zip(requirements, entries, strict=True)
    ]
