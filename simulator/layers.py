"""What pictures are put together from."""

from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageFilter

Stops = list[tuple[float, int]]


@dataclass
class Layer:
    """A picture that lies over others. `x` and `y` are FFmpeg expressions of `t`, seconds, and `n`, frames."""

    image: Image.Image  # RGBA
    x: str = "0"
    y: str = "0"
    enable: str = "1"  # shown while this is not 0


def drifting(image: Image.Image, speed: int, y: int) -> list[Layer]:
    """`image` moving to the left by `speed` pixels a frame.

    FFmpeg's overlay moves by two pixels at least, whole samples of chroma. So odd frames have a copy of their own,
    shifted by the one pixel, and the motion stays smooth.
    """
    if speed % 2 == 0:
        return [Layer(image, f"-{speed}*n", f"{y}")]
    shifted = image.crop((1, 0, image.width, image.height))
    return [
        Layer(image, f"-{speed}*n", f"{y}", enable="not(mod(n,2))"),
        Layer(shifted, f"1-{speed}*n", f"{y}", enable="mod(n,2)"),
    ]


def falling(size: tuple[int, int], stops: Stops) -> Image.Image:
    """A mask that changes from top to bottom: `stops` are (share of the height, value from 0 to 255)."""
    height = size[1]
    column = Image.new("L", (1, height))
    column.putdata([round(_between(stops, row / max(1, height - 1))) for row in range(height)])
    # Bends in a gradient are seen as edges, so they are rounded off.
    return column.filter(ImageFilter.BoxBlur((0, height * 0.05))).resize(size)


def _between(stops: Stops, place: float) -> float:
    """The value at `place`, from 0 to 1, between its two neighbours among the stops."""
    if place <= stops[0][0]:
        return stops[0][1]
    for (start, before), (end, after) in pairwise(stops):
        if place <= end:
            return before + (after - before) * (place - start) / (end - start)
    return stops[-1][1]
