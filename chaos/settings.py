"""The product's settings, plus the app that injects faults.

CHAOS_CONTROL is a folder of the harness: a file `trap` in it arms one crash point (see `points`), a file `clock` has
the offset of the clock in seconds (see `clock`).
"""

import os
from pathlib import Path

from aivideo.settings import *  # noqa: F403
from aivideo.settings import INSTALLED_APPS
from chaos import clock

CHAOS_CONTROL = Path(os.environ["CHAOS_CONTROL"])
# Before any model uses `timezone.now` as a default.
clock.bend(CHAOS_CONTROL / "clock")

# After the product's own apps, so that everything to be wrapped is loaded.
INSTALLED_APPS = [*INSTALLED_APPS, "chaos.app.Chaos"]
