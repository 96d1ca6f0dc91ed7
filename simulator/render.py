"""Render a picture's files: an MP4 with its index at the front, a thumbnail and a sprite sheet.

It is cheap because FFmpeg does the work for each frame: Pillow draws every layer once, and a filter graph moves the
layers over each other in C. A 4-second clip in 720p takes about one second of CPU. Large and long videos repeat
themselves: see `course`.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, repeat
from pathlib import Path

import av
import av.filter
from av.filter.context import FilterContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from .caption import caption_layers
from .course import Course
from .extras import Extras
from .frames import blended, frame_of
from .layers import Layer
from .photo import AIM, moving
from .pictures import Picture
from .scene import Scene

# By quality: x264's constant rate factor (6 more halves the bytes), and the maximum number of bits per pixel.
CRF = {"standard": 23, "hd": 17}
MAX_BITS = {"standard": 0.15, "hd": 0.3}
FADE, HOLD = 1.0, 0.25  # seconds: fading to the last frame, and showing it
SPRITES = (5, 2)  # columns and rows of the sprite sheet
SPRITE_SIZE = 240  # pixels on the longer side
THUMBNAIL_SIZE = 960
# A soft, quiet chord (A, E, A, C sharp, E). The volume of each voice varies at its own pace.
VOICES = ((110.0, 0.05), (164.81, 0.03), (220.0, 0.03), (277.18, 0.016), (329.63, 0.012))
SAMPLE_RATE = 44_100


def render(picture: Picture, references: Path, folder: Path) -> None:
    """Write the files of `picture` into `folder`. Its input images are in `references`."""
    size, extras = (picture.width, picture.height), picture.extras
    count = picture.seconds * extras.fps
    last = None
    if extras.last_frame:
        with Image.open(references / extras.last_frame) as image:
            last = frame_of(image.convert("RGB"))
    ending = min(count // 2, round((FADE + HOLD) * extras.fps)) if last else 0
    course = Course.of(count, size[0] * size[1], bool(picture.reference), ending)

    backdrop, layers = _seen(picture, references, course)
    composed = _composed(backdrop, layers + caption_layers(picture.caption, size), size, extras.fps)
    stills = Stills(course.order, size)
    frames = stills.watch(_encoded(islice(composed, course.painted), course, last, round(HOLD * extras.fps)))

    video = folder / f"{picture.name}.mp4"
    part = folder / f"{picture.name}.mp4.part"
    _write(part, size, picture.seconds, extras, frames, course)
    stills.thumbnail.save(video.with_suffix(".webp"), quality=82, method=2)
    stills.sheet.save(video.with_suffix(".jpg"), quality=85)
    part.replace(video)


def _seen(picture: Picture, references: Path, course: Course) -> tuple[Iterator[VideoFrame], list[Layer]]:
    """The background frames, and the layers that move in front of them."""
    extras = [picture.extras.seed, picture.extras.negative_prompt]
    # Without these, the prompt alone determines the scene.
    seed = "\n".join([picture.caption, *extras]) if any(extras) else picture.caption
    if picture.reference:
        chance = random.Random(seed)
        towards = (chance.uniform(0.2, 0.8), chance.uniform(0.2, 0.8)) if any(extras) else AIM
        with Image.open(references / picture.reference) as photo:
            length = course.length if course.passes > 1 else 0
            return moving(photo.convert("RGB"), course.painted, length, towards), []
    scene = Scene(seed, (picture.width, picture.height), course.painted)
    return repeat(frame_of(scene.sky())), scene.layers()


def _encoded(
    painted: Iterator[VideoFrame], course: Course, last: VideoFrame | None, hold: int
) -> Iterator[VideoFrame]:
    """The frames to encode, in the order of `course`. If there is a last frame, the last `hold` ones show it."""
    beginning: list[VideoFrame] = []
    for frame in islice(painted, course.length):
        if len(beginning) < course.bridge:
            beginning.append(frame)
        yield frame

    following = list(islice(painted, course.bridge))
    for number, (frame, first) in enumerate(zip(following, beginning, strict=True), 1):
        yield blended(frame, first, number / (course.bridge + 1))

    fade = course.ending - hold
    for number, frame in enumerate(
        islice(chain(following, painted), course.tail), 1 + course.ending - course.tail
    ):
        if last is None or number < 1:
            yield frame
        else:
            share = min(1, number / (fade + 1))
            yield blended(frame, last, share * share * (3 - 2 * share))  # ease in and out


class Stills:
    """The thumbnail and the sprite sheet, taken from the frames while they are encoded."""

    def __init__(self, order: list[int], size: tuple[int, int]) -> None:
        """`order` has, for each frame of the file, the number of the encoded frame."""
        columns, rows = SPRITES
        scale = SPRITE_SIZE / max(size)
        self._tile = (round(size[0] * scale), round(size[1] * scale))
        self._places: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for number in range(columns * rows):
            row, column = divmod(number, columns)
            shown = order[-(-number * len(order) // (columns * rows))]
            self._places[shown].append((column * self._tile[0], row * self._tile[1]))
        self._of_thumbnail = order[len(order) // 3]
        self.sheet = Image.new("RGB", (self._tile[0] * columns, self._tile[1] * rows))
        self.thumbnail = Image.new("RGB", (1, 1))

    def watch(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for number, frame in enumerate(frames):
            if number == self._of_thumbnail:
                scale = min(1, THUMBNAIL_SIZE / max(frame.width, frame.height))
                self.thumbnail = _still(frame, (round(frame.width * scale), round(frame.height * scale)))
            for place in self._places.get(number, ()):
                self.sheet.paste(_still(frame, self._tile), place)
            yield frame


def _still(frame: VideoFrame, size: tuple[int, int]) -> Image.Image:
    # Frames from the filter graph do not carry their color space.
    return frame.to_image(width=size[0], height=size[1], src_colorspace=Colorspace.ITU709)


def _composed(
    backdrop: Iterator[VideoFrame], layers: list[Layer], size: tuple[int, int], fps: int
) -> Iterator[VideoFrame]:
    """Compose the layers over each frame of the backdrop, the last layer on top."""
    graph = av.filter.Graph()
    graph.threads = 1
    composed = source = _buffer(graph, size, "yuv420p", fps)
    stills = []
    for layer in layers:
        still = _buffer(graph, layer.image.size, "rgba", fps)
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
        still.push(None)  # end of stream: overlay repeats the last frame
    for number, frame in enumerate(backdrop):
        frame.pts = number
        source.push(frame)
        yield graph.vpull()


def _buffer(graph: av.filter.Graph, size: tuple[int, int], pixels: str, fps: int) -> FilterContext:
    width, height = size
    return graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pixels), time_base=Fraction(1, fps)
    )


def _write(
    path: Path,
    size: tuple[int, int],
    seconds: int,
    extras: Extras,
    frames: Iterator[VideoFrame],
    course: Course,
) -> None:
    """Encode `frames` and write the file, which shows them in the order of `course`."""
    fps = extras.fps
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        video = file.add_stream("libx264", rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, fps)
        video.codec_context.thread_count = 1
        video.codec_context.colorspace = Colorspace.ITU709
        video.codec_context.color_primaries = ColorPrimaries.BT709
        video.codec_context.color_trc = ColorTrc.BT709
        video.codec_context.color_range = ColorRange.MPEG
        # Without B frames, packets are in display order and do not depend on later ones. From an IDR frame on, they do
        # not depend on earlier ones either.
        bitrate = str(round(MAX_BITS[extras.quality] * size[0] * size[1] * fps))
        video.options = {
            **{"preset": "superfast", "crf": str(CRF[extras.quality]), "threads": "1"},
            **{"bf": "0", "forced-idr": "1", "maxrate": bitrate, "bufsize": bitrate},
        }
        sound = samples = None
        if extras.audio:
            sound = file.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
            sound.bit_rate = 64_000
            samples = _chord(seconds)

        packets: list[av.Packet] = []
        keys = course.keys
        for number, frame in enumerate(frames):
            frame.pts = number
            frame.pict_type = PictureType.I if number in keys else PictureType.NONE
            packets += video.encode(frame)
        packets += video.encode(None)

        heard = 0
        for number, encoded in enumerate(course.order):
            packet = packets[encoded]
            packet.time_base = Fraction(1, fps)
            packet.pts = packet.dts = number
            packet.duration = 1
            file.mux(packet)
            # Interleave sound and picture, so that players find both in the same part of the file.
            while (
                sound
                and samples
                and heard < (number + 1) * SAMPLE_RATE // fps
                and (sample := next(samples, None))
            ):
                heard += sample.samples
                file.mux(sound.encode(sample))
        if sound:
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
    fade_out = graph.add("afade", f"t=out:d=1.2:st={max(0, seconds - 1.2)}")
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
