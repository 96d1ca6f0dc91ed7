"""The product's waits, shortened in proportion, so that what takes minutes in life is seen in seconds."""

import importlib

# Of a real installation under random faults: only the longest ones.
RUN: dict[str, dict[str, float]] = {
    "worker.steps": {"GRACE": 20, "LONGEST_SUBMIT": 12},
    "timing": {"LONGEST_WAIT": 20},
    "catalogue.breaker": {"LONGEST_BREAK": 20},
}

# Of the fault matrix, where one video at a time is watched through one fault.
MATRIX: dict[str, dict[str, float]] = {
    "worker.steps": {"GRACE": 4, "LONGEST_SUBMIT": 2, "LONGEST_DOWNLOAD": 5},
    "timing": {"FIRST_POLL": 0.3, "LAST_POLL": 0.6, "LONGEST_WAIT": 1.0, "LEASE": 4, "RENEW": 0.5},
    "worker.dispatcher": {"SLICE": 1.5, "LONGEST_SLICE": 20, "HAND_BACK": 1, "TICK": 0.1},
    "catalogue.breaker": {"SHORTEST_BREAK": 0.5, "LONGEST_BREAK": 2},
}


def shorten_waits(waits: dict[str, dict[str, float]]) -> None:
    """Set these constants. Raises LookupError for one that is not there any more."""
    for module_name, constants in waits.items():
        module = importlib.import_module(f"videos.{module_name}")
        for name, value in constants.items():
            if not hasattr(module, name):
                raise LookupError(f"{module_name}.{name} is not there any more")
            setattr(module, name, value)
