"""A picture becomes files: an MP4 that streams from its first byte, a thumbnail and a sprite sheet.

Cheap by letting FFmpeg do the work for each frame: Pillow draws every layer once, and a filter graph slides the layers
over each other in C. A clip of 4 s in 720p takes about one second of CPU.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import av
import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from .caption import caption_layers
from .layers import Layer
from .photo import moving
from .pictures import Picture
from .scene import Scene

FPS = 24
SPRITES = (5, 2)  # columns and rows of the sprite sheet
SPRITE_SIZE = 240  # pixels on the longer side
THUMBNAIL_SIZE = 960
# A soft chord (A, E, A, C sharp, E), each voice breathing at its own pace, so quiet that it startles nobody.
VOICES = ((110.0, 0.05), (164.81, 0.03), (220.0, 0.03), (277.18, 0.016), (329.63, 0.012))
SAMPLE_RATE = 44_100


def render(picture: Picture, reference: Path | None, folder: Path) -> None:
    """Write the files of `picture` into `folder`. `reference` is its input image."""
    size = (picture.width, picture.height)
    count = picture.seconds * FPS
    backdrop, layers = _seen(picture, reference, count)
    frames = _composed(backdrop, layers + caption_layers(picture.caption, size), size, count)

    video = folder / f"{picture.name}.mp4"
    part = folder / f"{picture.name}.mp4.part"
    stills = Stills(count, size)
    _encode(part, size, picture.seconds, stills.watch(frames))
    stills.thumbnail.save(video.with_suffix(".webp"), quality=82, method=2)
    stills.sheet.save(video.with_suffix(".jpg"), quality=85)
    part.replace(video)


def _seen(picture: Picture, reference: Path | None, count: int) -> tuple[Iterator[VideoFrame], list[Layer]]:
    """The frames at the back, and what moves before them."""
    if reference:
        with Image.open(reference) as photo:
            return moving(photo.convert("RGB"), count), []
    scene = Scene(picture.caption, (picture.width, picture.height), count)
    sky = VideoFrame.from_image(scene.sky()).reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
    return repeat(sky), scene.layers()


class Stills:
    """The thumbnail and the sprite sheet, taken from the frames on their way into the file."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        columns, rows = SPRITES
        scale = SPRITE_SIZE / max(size)
        self._tile = (round(size[0] * scale), round(size[1] * scale))
        self._step = count / (columns * rows)
        self._count = count
        self.sheet = Image.new("RGB", (self._tile[0] * columns, self._tile[1] * rows))
        self.thumbnail = Image.new("RGB", (1, 1))

    def watch(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        taken = 0
        for number, frame in enumerate(frames):
            if number == self._count // 3:
                scale = min(1, THUMBNAIL_SIZE / max(frame.width, frame.height))
                self.thumbnail = frame.to_image(
                    width=round(frame.width * scale), height=round(frame.height * scale)
                )
            if number >= taken * self._step:
                width, height = self._tile
                row, column = divmod(taken, SPRITES[0])
                self.sheet.paste(frame.to_image(width=width, height=height), (column * width, row * height))
                taken += 1
            yield frame


def _composed(
    backdrop: Iterator[VideoFrame], layers: list[Layer], size: tuple[int, int], count: int
) -> Iterator[VideoFrame]:
    """`count` frames of the layers over the backdrop, the last layer on top."""
    graph = av.filter.Graph()
    graph.threads = 1
    composed = source = _buffer(graph, size, "yuv420p")
    stills = []
    for layer in layers:
        still = _buffer(graph, layer.image.size, "rgba")
        to_yuv = graph.add("scale", "out_color_matrix=bt709:out_range=tv")
        with_alpha = graph.add("format", "yuva420p")
        overlay = graph.add("overlay", f"x='{layer.x}':y='{layer.y}':enable='{layer.enable}'")
        graph.link_nodes(still, to_yuv, with_alpha)
        composed.link_to(overlay, 0, 0)
        with_alpha.link_to(overlay, 0, 1)
        composed = overlay
        stills.append(still)
    sink = graph.add("buffersink")
    composed.link_to(sink)
    graph.configure()

    for layer, still in zip(layers, stills, strict=True):
        frame = VideoFrame.from_bytes(layer.image.tobytes(), *layer.image.size, "rgba")
        frame.pts = 0
        still.push(frame)
        still.push(None)  # that was all: an overlay repeats its last frame
    for number in range(count):
        frame = next(backdrop)
        frame.pts = number
        source.push(frame)
        yield graph.vpull()


def _buffer(graph: av.filter.Graph, size: tuple[int, int], pixels: str) -> FilterContext:
    width, height = size
    return graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pixels), time_base=Fraction(1, FPS)
    )


def _encode(path: Path, size: tuple[int, int], seconds: int, frames: Iterator[VideoFrame]) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        video = file.add_stream("libx264", rate=FPS)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, FPS)
        video.codec_context.thread_count = 1
        video.codec_context.colorspace = Colorspace.ITU709
        video.codec_context.color_primaries = ColorPrimaries.BT709
        video.codec_context.color_trc = ColorTrc.BT709
        video.codec_context.color_range = ColorRange.MPEG
        video.options = {"preset": "superfast", "crf": "23", "threads": "1"}
        sound = file.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        sound.bit_rate = 64_000

        samples = _chord(seconds)
        heard = 0
        for number, frame in enumerate(frames):
            file.mux(video.encode(frame))
            # Sound keeps pace with the picture, so that players find both in the same stretch of the file.
            while heard < (number + 1) * SAMPLE_RATE // FPS and (sample := next(samples, None)):
                heard += sample.samples
                file.mux(sound.encode(sample))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))


def _chord(seconds: int) -> Iterator[av.AudioFrame]:
    graph = av.filter.Graph()
    graph.threads = 1
    mix = graph.add("amix", f"inputs={len(VOICES)}:normalize=0")
    for number, (pitch, volume) in enumerate(VOICES):
        tone = graph.add("sine", f"frequency={pitch}:sample_rate={SAMPLE_RATE}:duration={seconds}")
        breath = graph.add("tremolo", f"f={0.11 + 0.05 * number}:d=0.6")
        level = graph.add("volume", str(volume * 8))
        graph.link_nodes(tone, breath, level)
        level.link_to(mix, 0, number)
    fade_in = graph.add("afade", "t=in:d=1")
    fade_out = graph.add("afade", f"t=out:d=1.2:st={seconds - 1.2}")
    form = graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo")
    sink = graph.add("abuffersink")
    graph.link_nodes(mix, fade_in, fade_out, form, sink)
    graph.configure()
    while True:
        try:
            frame = sink.pull()
        except av.error.EOFError:
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame
