"""The input image as a moving background: a slow zoom towards a point off its centre."""

from collections.abc import Iterator

from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image

ZOOM = 0.1  # of the width, within the whole clip


def moving(photo: Image.Image, count: int) -> Iterator[VideoFrame]:
    """`count` YUV 4:2:0 frames of the size of `photo`, the last one zoomed in by `ZOOM`.

    Pillow's resize takes fractions of a pixel, where FFmpeg's zoompan jerks by whole ones. Doing it for each plane
    halves the work of doing it in RGB.
    """
    whole = VideoFrame.from_image(photo).reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
    planes = [
        Image.frombuffer("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size, 1)
        for plane in whole.planes
    ]
    for number in range(count):
        share = number / count
        frame = VideoFrame(photo.width, photo.height, "yuv420p")
        for plane, image in zip(frame.planes, planes, strict=True):
            width, height = image.size
            cut = ZOOM * share * (2 - share) / 2 + 0.002  # fast at first, then coming to rest
            box = (width * cut * 1.3, height * cut * 0.8, width * (1 - cut * 0.7), height * (1 - cut * 1.2))
            moved = image.resize(image.size, Image.Resampling.BILINEAR, box=box)
            row = moved.tobytes("raw", "L", plane.line_size, 1)
            plane.update(row.ljust(plane.buffer_size, b"\0"))
        yield frame
