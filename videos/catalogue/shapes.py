"""A model's sizes as the pages offer them: an aspect ratio, and one of its resolutions."""

from collections.abc import Iterable

from videos.providers.base import ASPECT_RATIOS, aspect_ratio, resolution

STANDARD = ("480p", "720p", "1080p", "1440p", "2160p")

Shape = tuple[str, str]  # an aspect ratio and a resolution, such as ("16:9", "720p")


def table(sizes: list[str]) -> dict[Shape, str]:
    """The sizes by what they are called, in their own order.

    One such as 1024x1024 would be a resolution that nobody knows beside those that everybody does, so it is offered
    only where there is no standard one of its aspect ratio. Programs may ask for any size by its name.
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


def pixels(size: str) -> tuple[int, int]:
    width, height = map(int, size.split("x"))
    return width, height


def ratios(shapes: Iterable[Shape]) -> list[str]:
    """The different aspect ratios, the usual ones first."""
    return sorted({ratio for ratio, _lines in shapes}, key=list(ASPECT_RATIOS).index)


def resolutions(shapes: Iterable[Shape], ratio: str | None = None) -> list[str]:
    """The different resolutions, of all aspect ratios or of this one, the smallest first."""
    found = {lines for one, lines in shapes if ratio in (None, one)}
    return sorted(found, key=lambda lines: int(lines.removesuffix("p")))
