"""The management commands of one installation, in a process that loads Django once: that takes longer than most of them.

Each line of stdin is a command as a JSON list, each of stdout a JSON list of whether it went well and what it said.
"""

import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

import django
from django.core.management import call_command
from django.db import connections


def main() -> None:
    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            is_well = run(json.loads(line))
        # As when a process ends: nobody waits for what it holds, or reads what it remembers.
        connections.close_all()
        print(json.dumps([is_well, said.getvalue()]), file=answers, flush=True)


def run(command: list[str]) -> bool:
    try:
        call_command(*command)
    except SystemExit as end:
        return not end.code
    except Exception:
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    main()
