"""The options that the studio form offers for each model, and what each choice costs."""

import json
from collections.abc import Mapping
from math import gcd, sqrt
from typing import Any, TypedDict

from videos.catalogue import shapes, track_record
from videos.models import LONGEST, VideoModel
from videos.pages.studio_form import MAX_VARIATIONS
from videos.providers.base import ASPECT_RATIOS, pixels

MAX_CHIPS = 6
USUAL_LENGTHS = (4, 8, 12, 20, 30, 60)  # seconds


class OtherLengths(TypedDict):
    """The limits and the step of the number field for lengths, in seconds."""

    min: int
    max: int
    step: int


class FormOffer(TypedDict):
    """A model as the form shows it. `other` is None if it has no lengths but the common ones."""

    model: VideoModel
    record: track_record.TrackRecord | None
    lines: int
    shortest: int
    longest: int
    shapes: list[str]
    ratios: list[str]
    resolutions: list[str]
    lengths: list[int]
    other: OtherLengths | None
    prices: str


def offer(model: VideoModel) -> FormOffer:
    """A model as the form shows it, with its track record and its highest non-square resolution."""
    sides = [pixels(size) for size in model.sizes]
    made = shapes.table(model.sizes)
    lengths = usual_lengths(model)
    return {
        "model": model,
        "record": track_record.track_record(model),
        "lines": max([min(side) for side in sides if side[0] != side[1]] or map(min, sides)),
        "shortest": min(model.lengths),
        "longest": max(model.lengths),
        "shapes": [",".join((*shape, size)) for shape, size in made.items()],
        "ratios": shapes.ratios(made),
        "resolutions": shapes.resolutions(made),
        "lengths": lengths,
        "other": other_lengths([model]) if set(lengths) < set(model.lengths) else None,
        "prices": json.dumps(prices(model), separators=(",", ":")),
    }


def sizes(models: list[VideoModel]) -> dict[str, object]:
    """The aspect ratios and resolutions of all models."""
    made = [shape for model in models for shape in shapes.table(model.sizes)]
    ratios = [drawn(ratio) for ratio in shapes.ratios(made)]
    return {"ratios": ratios, "resolutions": shapes.resolutions(made)}


def lengths(offers: list[FormOffer], chosen: FormOffer | None, asked: object) -> dict[str, object]:
    """The common lengths of all models and, if any model supports more, the limits of a number field.

    `is_other` says whether the requested length belongs in that field.
    """
    usual = sorted({length for offer in offers for length in offer["lengths"]})
    others = [limits for offer in offers if (limits := offer["other"])]
    if not others:
        return {"lengths": usual}
    if chosen and chosen["other"]:
        among, other = chosen["lengths"], chosen["other"]
    else:
        among, other = usual, others[0]
    return {"lengths": usual, "other": other, "is_other": str(asked) not in map(str, among)}


def usual_lengths(model: VideoModel) -> list[int]:
    """The lengths offered as chips: all of them if they are few, else the default and the common ones."""
    if len(model.lengths) <= MAX_CHIPS:
        return sorted(model.lengths)
    return sorted({model.lengths[0], *USUAL_LENGTHS}.intersection(model.lengths))


def other_lengths(models: list[VideoModel]) -> OtherLengths:
    lengths = {length for model in models for length in model.lengths}
    shortest = min(lengths, default=1)
    step = gcd(*(length - shortest for length in lengths)) or 1
    return {"min": shortest, "max": max(lengths, default=LONGEST), "step": step}


def prices(model: VideoModel) -> dict[str, int]:
    """What each choice of this model costs, by size, length, quality, and sound as the form has them.

    Sizes and lengths without a line in the price table share one entry under an empty name. Otherwise 13 sizes and
    60 lengths would put three thousand numbers on every page.
    """
    lines = model.prices.all()
    if not lines:
        return {}
    sizes = {line.size for line in lines}.intersection(model.sizes) | {""}
    lengths = {line.seconds for line in lines}.intersection(model.lengths) | {0}
    sounds = ["on", "off"] if "audio" in model.takes else [""]
    return {
        f"{size} {seconds or ''} {quality} {audio}": model.price_of(
            size, seconds, {"quality": quality, **({"audio": audio == "on"} if audio else {})}
        )
        for size in sorted(sizes)
        for seconds in sorted(lengths)
        for quality in model.qualities or [""]
        for audio in sounds
    }


def price(user: Any, model: VideoModel | None, asked: Mapping[str, object]) -> dict[str, int]:
    """The price of the selected options, and how many credits the user is short. `asked` may be unvalidated input."""
    if model is None:
        return {"price": 0, "missing": 0}
    extras = {"quality": asked.get("quality"), "audio": asked.get("audio") not in ("off", False)}
    if "audio" not in model.takes:
        del extras["audio"]
    price = model.price_of(str(asked["size"]), number(asked["seconds"]), extras)
    price *= min(max(1, number(asked.get("variations"))), MAX_VARIATIONS)
    balance = user.balance if user.is_authenticated else price
    return {"price": price, "missing": max(0, price - balance)}


def number(typed: object) -> int:
    """Typed text as a number; 0 if it is not one."""
    # Six digits are enough for a length, and Python refuses to parse numbers of thousands of digits.
    digits = str(typed)[:6]
    return int(digits) if digits.isdecimal() else 0


def drawn(ratio: str) -> dict[str, str | int]:
    """An aspect ratio and its rectangle, centered in a 40 x 40 square. All have about the same area."""
    wide = sqrt(ASPECT_RATIOS[ratio])
    width, height = round(23 * wide), round(23 / wide)
    return {
        "name": ratio,
        "width": width,
        "height": height,
        "x": (40 - width) // 2,
        "y": (40 - height) // 2,
    }


def ordered(lists: Any) -> list[str]:
    """The distinct values of several lists, in order of first appearance."""
    return list(dict.fromkeys(value for values in lists for value in values))
