"""Clients that others wrote, in programs of their own. `make test` installs them beside our packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fixtures import TEST_TIMEOUT

FOLDER = Path(sys.prefix)


def python(source: str, *arguments: str, packages: str = "") -> str:
    """What this program prints. It imports from `packages`, such as `openai-2`, before our own environment."""
    folder = FOLDER / packages
    if not folder.exists():
        pytest.skip(f"{packages} is not there: `make test` installs it")
    return run([sys.executable, "-", *arguments], source, PYTHONPATH=str(folder) if packages else "")


def javascript(source: str, *arguments: str) -> str:
    """What this module prints, which imports what npm installed. Skips the test where there is no npm."""
    folder = FOLDER / "node"
    if not shutil.which("node") or not (folder / "node_modules").exists():
        pytest.skip("`make test` installs the clients for JavaScript where there is npm")
    return run(["node", "--input-type=module", "-", *arguments], source, folder)


def run(command: list[str], source: str, folder: Path | None = None, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        input=source,
        capture_output=True,
        text=True,
        timeout=TEST_TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
