"""Shortens the product's waits in proportion, so that what takes minutes in production takes seconds here."""

import importlib

# For a real installation under random faults: only the longest waits.
RUN: dict[str, dict[str, float]] = {
    "worker.steps": {"GRACE": 20, "LONGEST_SUBMIT": 12},
    "worker.dispatcher": {"LIFETIME": 20},
    "timing": {"LONGEST_WAIT": 20},
    "catalogue.breaker": {"LONGEST_BREAK": 20},
}

# For the fault matrix, which follows one video through one fault.
MATRIX: dict[str, dict[str, float]] = {
    "worker.steps": {"GRACE": 4, "LONGEST_SUBMIT": 2, "LONGEST_DOWNLOAD": 5},
    "timing": {"FIRST_POLL": 0.3, "LAST_POLL": 0.6, "LONGEST_WAIT": 1.0, "LEASE": 4, "RENEW": 0.5},
    "worker.dispatcher": {"LIFETIME": 1.5, "DRAIN": 20, "WIND_DOWN": 1, "TICK": 0.1},
    "catalogue.breaker": {"SHORTEST_BREAK": 0.5, "LONGEST_BREAK": 2},
}


def shorten_waits(waits: dict[str, dict[str, float]]) -> None:
    """Set these constants. Raises LookupError for one that no longer exists."""
    for module_name, constants in waits.items():
        module = importlib.import_module(f"videos.{module_name}")
        for name, value in constants.items():
            if not hasattr(module, name):
                raise LookupError(f"{module_name}.{name} no longer exists")
            setattr(module, name, value)
