"""Clients that others wrote, in programs of their own. `make test` installs them beside our packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fixtures import TEST_TIMEOUT

FOLDER = Path(sys.prefix)

# The first lines of a program with a client of MCP: `Client`, the transport, and `options` for the newest revision it knows.
OLD_MCP = """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const options = {};
"""
MCP = """
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
const options = { versionNegotiation: { mode: "auto" } };
"""


def python(source: str, *arguments: str, packages: str = "", timeout: float = TEST_TIMEOUT) -> str:
    """What this program prints. It imports from `packages`, such as `openai-2`, before our own environment."""
    folder = FOLDER / packages
    if not folder.exists():
        pytest.skip(f"{packages} is not there: `make test` installs it")
    path = {"PYTHONPATH": str(folder)} if packages else {}
    return run([sys.executable, "-", *arguments], source, timeout=timeout, **path)


def javascript(source: str, *arguments: str, timeout: float = TEST_TIMEOUT) -> str:
    """What this module prints, which imports what npm installed."""
    return run(["node", "--input-type=module", "-", *arguments], source, node_folder(), timeout)


def node_folder() -> Path:
    """The folder of `node_modules`. Skips the test where there is no npm."""
    folder = FOLDER / "node"
    if not (folder / "node_modules").exists():
        pytest.skip("`make test` installs the clients for JavaScript where there is npm")
    return folder


def run(
    command: list[str],
    source: str = "",
    folder: Path | None = None,
    timeout: float = TEST_TIMEOUT,
    **env: str,
) -> str:
    """What this command prints, in `folder` and given `source`. Fails the test if it does not end well.

    Skips the test where a language is not installed.
    """
    if command[0] in ("node", "go") and not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        input=source,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
