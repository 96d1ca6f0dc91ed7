"""`python -m bench.child polling.run SEED FD [tiny]`: run one benchmark in its installation, reporting to a file descriptor."""

import importlib
import json
import os
import random
import sys

import django

from bench import report


def main() -> None:
    bench, seed, descriptor, *size = sys.argv[1:]
    random.seed(int(seed))
    report.to = os.fdopen(int(descriptor), "w")
    django.setup()
    module, _, function = bench.partition(".")
    for line in getattr(importlib.import_module(f"bench.{module}"), function)(tiny=bool(size)):
        print(json.dumps(line), file=report.to, flush=True)


if __name__ == "__main__":
    main()
