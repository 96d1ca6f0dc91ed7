"""The layers that pictures are composed of."""

from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageFilter

Stops = list[tuple[float, int]]


@dataclass
class Layer:
    """A picture drawn over others. `x` and `y` are FFmpeg expressions in `t` (seconds) and `n` (frames)."""

    image: Image.Image  # RGBA
    x: str = "0"
    y: str = "0"
    enable: str = "1"  # shown while this is not 0


def drifting(image: Image.Image, speed: int, y: int) -> list[Layer]:
    """`image` moving to the left by `speed` pixels per frame.

    FFmpeg's overlay moves by at least two pixels, a whole chroma sample. So odd frames use a copy that is shifted by
    one pixel, which keeps the motion smooth.
    """
    if speed % 2 == 0:
        return [Layer(image, f"-{speed}*n", f"{y}")]
    shifted = image.crop((1, 0, image.width, image.height))
    return [
        Layer(image, f"-{speed}*n", f"{y}", enable="not(mod(n,2))"),
        Layer(shifted, f"1-{speed}*n", f"{y}", enable="mod(n,2)"),
    ]


def falling(size: tuple[int, int], stops: Stops) -> Image.Image:
    """A mask with a vertical gradient: `stops` are (share of the height, value from 0 to 255)."""
    height = size[1]
    column = Image.new("L", (1, height))
    column.putdata([round(_between(stops, row / max(1, height - 1))) for row in range(height)])
    # Sharp bends in a gradient look like edges, so they are smoothed.
    return column.filter(ImageFilter.BoxBlur((0, height * 0.05))).resize(size)


def _between(stops: Stops, place: float) -> float:
    """The value at `place` (0 to 1), interpolated between the two nearest stops."""
    if place <= stops[0][0]:
        return stops[0][1]
    for (start, before), (end, after) in pairwise(stops):
        if place <= end:
            return before + (after - before) * (place - start) / (end - start)
    return stops[-1][1]
