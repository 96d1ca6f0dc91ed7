"""The input image as a moving background: a slow zoom towards a point off its centre."""

import math
from collections.abc import Iterator

from av.video.frame import VideoFrame
from PIL import Image

from .frames import frame_of, joined, planes_of

Point = tuple[float, float]

AIM = (0.65, 0.4)
ZOOM = 0.1  # of the width, within the whole clip
BREATH = (
    0.0004  # the same for each frame, where the zoom goes in and out again and again: slow in each length
)


def moving(photo: Image.Image, count: int, length: int = 0, towards: Point = AIM) -> Iterator[VideoFrame]:
    """`count` YUV 4:2:0 frames of the size of `photo`, the last one zoomed in by `ZOOM`.

    With a `length` it is back where it began after so many frames, and begins anew. `towards` is where it zooms to,
    as shares of the width and the height.
    Pillow's resize takes fractions of a pixel, where FFmpeg's zoompan jerks by whole ones.
    """
    planes = planes_of(frame_of(photo))
    for number in range(count):
        share = number / count
        cut = ZOOM * share * (2 - share) / 2  # fast at first, then coming to rest
        if length:
            cut = BREATH * length * (1 - math.cos(math.tau * number / length)) / 2
        yield joined([_zoomed(plane, cut + 0.002, towards) for plane in planes])


def _zoomed(plane: Image.Image, cut: float, towards: Point) -> Image.Image:
    width, height = plane.size
    left, top = width * cut * 2 * towards[0], height * cut * 2 * towards[1]
    box = (left, top, left + width * (1 - 2 * cut), top + height * (1 - 2 * cut))
    return plane.resize(plane.size, Image.Resampling.BILINEAR, box=box)
