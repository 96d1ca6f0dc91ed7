"""Video frames for Pillow, plane by plane in YUV 4:2:0, which is half the work of RGB."""

from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image


def frame_of(picture: Image.Image) -> VideoFrame:
    """The picture as a frame."""
    return VideoFrame.from_image(picture).reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)


def planes_of(frame: VideoFrame) -> list[Image.Image]:
    """The three planes of a frame, each as a grayscale picture."""
    return [
        Image.frombuffer("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size, 1)
        for plane in frame.planes
    ]


def joined(planes: list[Image.Image]) -> VideoFrame:
    """The frame made of these planes."""
    frame = VideoFrame(*planes[0].size, "yuv420p")
    for plane, image in zip(frame.planes, planes, strict=True):
        row = image.tobytes("raw", "L", plane.line_size, 1)
        plane.update(row.ljust(plane.buffer_size, b"\0"))
    return frame


def blended(one: VideoFrame, other: VideoFrame, share: float) -> VideoFrame:
    """A mix of two frames; `share` is that of `other`."""
    pairs = zip(planes_of(one), planes_of(other), strict=True)
    return joined([Image.blend(before, after, share) for before, after in pairs])
