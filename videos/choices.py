"""What the form offers of each model, and what each choice costs."""

import json
from typing import Any

from videos import catalogue
from videos.forms import MOST_VARIATIONS
from videos.models import VideoModel


def offer(model: VideoModel) -> dict[str, Any]:
    """A model as the form shows it, with its record and the lines of its best wide or tall picture."""
    sides = [tuple(map(int, size.split("x"))) for size in model.sizes]
    return {
        "model": model,
        "record": catalogue.track_record(model),
        "lines": max([min(side) for side in sides if side[0] != side[1]] or map(min, sides)),
        "shortest": min(model.lengths),
        "longest": max(model.lengths),
        "prices": json.dumps(prices(model)),
    }


def prices(model: VideoModel) -> dict[str, int]:
    """What each choice of this model costs, by size, length, quality and sound as the form has them."""
    if not model.prices.all():
        return {}
    sounds = ["on", "off"] if "audio" in model.takes else [""]
    return {
        f"{size} {seconds} {quality} {audio}": model.price_of(
            size, seconds, {"quality": quality, **({"audio": audio == "on"} if audio else {})}
        )
        for size in model.sizes
        for seconds in model.lengths
        for quality in model.qualities or [""]
        for audio in sounds
    }


def price(user: Any, model: VideoModel | None, asked: dict[str, Any]) -> dict[str, int]:
    """What is asked for costs, and the credits that the user lacks for it. The values may be anything typed."""
    if model is None:
        return {"price": 0, "missing": 0}
    extras = {"quality": asked.get("quality"), "audio": asked.get("audio") not in ("off", False)}
    if "audio" not in model.takes:
        del extras["audio"]
    price = model.price_of(str(asked["size"]), number(asked["seconds"]), extras)
    price *= min(max(1, number(asked.get("variations"))), MOST_VARIATIONS)
    balance = user.balance if user.is_authenticated else price
    return {"price": price, "missing": max(0, price - balance)}


def number(typed: Any) -> int:
    """What is typed, as a number; 0 for what is none."""
    # Any longer is no length, and from some thousand digits on no number that Python reads.
    digits = str(typed)[:6]
    return int(digits) if digits.isdecimal() else 0


def shape(size: str) -> dict[str, Any]:
    width, height = map(int, size.split("x"))
    kind = "square" if width == height else "wide" if width > height else "tall"
    return {"size": size, "kind": kind, "width": width, "height": height}


def ordered(lists: Any) -> list[str]:
    """The different values of several lists, in the order of their first appearance."""
    return list(dict.fromkeys(value for values in lists for value in values))
