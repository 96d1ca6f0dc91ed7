"""A model's sizes as the pages offer them: by aspect ratio and resolution."""

from collections.abc import Iterable

from videos.providers.base import ASPECT_RATIOS, aspect_ratio, pixels, resolution

STANDARD = ("480p", "720p", "1080p", "1440p", "2160p")

Shape = tuple[str, str]  # an aspect ratio and a resolution, such as ("16:9", "720p")


def table(sizes: list[str]) -> dict[Shape, str]:
    """The sizes by aspect ratio and resolution, in the model's order.

    A size with an unusual resolution, such as 1024x1024, is left out if its aspect ratio has a standard one. The API
    accepts every size.
    """
    shapes = [shape_of(size) for size in sizes]
    in_standard = {ratio for ratio, lines in shapes if lines in STANDARD}
    found: dict[Shape, str] = {}
    for shape, size in zip(shapes, sizes, strict=True):
        if shape[1] in STANDARD or shape[0] not in in_standard:
            found.setdefault(shape, size)
    return found


def shape_of(size: str) -> Shape:
    return aspect_ratio(*pixels(size)), resolution(*pixels(size))


def ratios(shapes: Iterable[Shape]) -> list[str]:
    """The distinct aspect ratios, the most common first."""
    return sorted({ratio for ratio, _lines in shapes}, key=list(ASPECT_RATIOS).index)


def resolutions(shapes: Iterable[Shape], ratio: str | None = None) -> list[str]:
    """The distinct resolutions, of all aspect ratios or of this one, smallest first."""
    found = {lines for its_ratio, lines in shapes if ratio in (None, its_ratio)}
    return sorted(found, key=lambda lines: int(lines.removesuffix("p")))
