"""The input image as a moving background: a slow zoom toward an off-center point."""

import math
from collections.abc import Iterator

from av.video.frame import VideoFrame
from PIL import Image

from .frames import frame_of, joined, planes_of

Point = tuple[float, float]

AIM = (0.65, 0.4)
ZOOM = 0.1  # share of the width, over the whole clip
BREATH = 0.0004  # share of the width per frame, for a zoom that goes in and out repeatedly


def moving(photo: Image.Image, count: int, length: int = 0, towards: Point = AIM) -> Iterator[VideoFrame]:
    """`count` YUV 4:2:0 frames of the size of `photo`, the last one zoomed in by `ZOOM`.

    With a `length`, the zoom returns to its start after so many frames and repeats. `towards` is the point to zoom
    to, as shares of the width and the height.
    Pillow's resize works with fractions of a pixel; FFmpeg's zoompan moves by whole pixels and jerks.
    """
    planes = planes_of(frame_of(photo))
    for number in range(count):
        share = number / count
        cut = ZOOM * share * (2 - share) / 2  # fast at first, then slowing down
        if length:
            cut = BREATH * length * (1 - math.cos(math.tau * number / length)) / 2
        yield joined([_zoomed(plane, cut + 0.002, towards) for plane in planes])


def _zoomed(plane: Image.Image, cut: float, towards: Point) -> Image.Image:
    width, height = plane.size
    left, top = width * cut * 2 * towards[0], height * cut * 2 * towards[1]
    box = (left, top, left + width * (1 - 2 * cut), top + height * (1 - 2 * cut))
    return plane.resize(plane.size, Image.Resampling.BILINEAR, box=box)
