"""Reports of a benchmark: a `line` for each figure, and messages about its progress."""

import json
import sys
from typing import Any, TextIO

to: TextIO = sys.stdout


def say(text: str) -> None:
    """Print a progress message."""
    print(json.dumps(text), file=to, flush=True)


def line(
    name: str,
    value: float,
    unit: str,
    *,
    ratio: float | None = None,
    against: str = "",
    n: int,
    target: str = "",
    met: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """One figure. `ratio` is value / baseline, where `against` names the baseline, measured in the same run. `n` is the
    number of measurements.

    `target` is what the project promises, and `met` whether this run meets it.
    """
    promise = {"target": target, "met": met} if target else {}
    figure = {"name": name, "value": _short(value), "unit": unit, "ratio": _short(ratio), "against": against}
    return {**figure, "n": n, **promise, **{key: _short(value) for key, value in more.items()}}


def _short(value: Any) -> Any:
    """Floats rounded to four digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value
