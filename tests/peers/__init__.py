"""What others wrote, held against our adapters, our simulator and our API. `make test-peers`; not part of the suite."""

import os
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("PEERS", sys.prefix))  # where `make test-peers` installs them
HOW = "is not there: `make test-peers` installs it"
