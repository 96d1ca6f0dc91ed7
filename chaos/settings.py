"""The product's settings, and the app that lets faults in.

CHAOS_CONTROL names a folder of the harness: a file `trap` in it arms one crash point (see `points`), a file `clock`
holds the seconds by which this machine's clock is wrong (see `clock`).
"""

import os
from pathlib import Path

from aivideo.settings import *  # noqa: F403
from aivideo.settings import INSTALLED_APPS
from chaos import clock

CHAOS_CONTROL = Path(os.environ["CHAOS_CONTROL"])
# Before any model takes `timezone.now` for a default.
clock.bend(CHAOS_CONTROL / "clock")

# After the product's own, so that everything to be wrapped is there.
INSTALLED_APPS = [*INSTALLED_APPS, "chaos.app.Chaos"]
