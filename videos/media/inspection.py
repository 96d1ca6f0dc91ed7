"""Checks that a downloaded file really is a playable MP4, and makes its poster and sprite sheet.

A provider may send anything as an MP4: an error page, half a file, a playlist that makes the reader open /etc/passwd.
So the boxes are walked first, and no demuxer but MP4's is ever tried. All of this blocks and decodes: call it in a child
process.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from PIL import Image, ImageStat

from videos.media import mp4
from videos.media.mp4 import NotAVideo, Probe

DECODERS = ("h264", "hevc", "vp9", "av1", "libdav1d")  # FFmpeg's names

POSTER_SIDE = 640
DULL = 8  # standard deviation of gray levels (0-255) below which a frame counts as blank
MAX_STEPS = 600  # frames decoded after a seek: a hostile file must not keep the decoder busy


def look(path: Path) -> tuple[Probe, bytes]:
    """Check that a file is a complete, playable MP4, and return its facts and its poster. Raises NotAVideo.

    The poster is a WebP of at most 640 pixels on its long side: the frame a quarter of the way in, or another one if
    that is blank.
    """
    mp4.walk(path)

    with _opened(path) as container:
        frame = next(container.decode(video=0), None)
        if frame is None or frame.is_corrupt:
            raise NotAVideo("its first frame cannot be decoded")
        # Check the decoded frame as well: the header was checked before, but may lie.
        mp4.check_side(frame.width, frame.height)

        facts = Probe(
            width=frame.width,
            height=frame.height,
            seconds=_seconds(container),
            has_sound=bool(container.streams.audio),
            size=path.stat().st_size,
            sha256=_sha256(path),
        )
        return facts, _poster(container, facts.seconds)


def _poster(container: InputContainer, length: float) -> bytes:
    # Skipping frames that no other frame refers to takes only a quarter of the time.
    container.streams.video[0].codec_context.skip_frame = "NONREF"
    # First decode on from the current position: seeking back to the key frame would decode that part twice.
    frames = chain(
        [_frame_until(container, length * 0.25)],
        (_frame_at(container, length * share) for share in (0.5, 0.75, 0)),
    )
    image = next(filter(_shows_something, frames), None) or _frame_at(container, length * 0.25)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, method=2)

    return out.getvalue()


def sheet(path: Path, columns: int, rows: int, width: int) -> bytes:
    """A sprite sheet: evenly spaced frames in reading order, as one JPEG. Raises NotAVideo.

    `path` is a file that has passed `look`; `width` is that of each frame, in pixels.
    """
    with _opened(path) as container:
        length, count = _seconds(container), columns * rows
        frames = [_frame_at(container, length * (number + 0.5) / count) for number in range(count)]
    height = max(1, round(width * frames[0].height / frames[0].width))
    canvas = Image.new("RGB", (columns * width, rows * height))
    for number, frame in enumerate(frames):
        down, across = divmod(number, columns)
        canvas.paste(frame.resize((width, height)), (across * width, down * height))
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=80)
    return out.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    # No format detection, no other files or URLs, and only decoders for codecs that browsers support.
    options = {"protocol_whitelist": "file", "codec_whitelist": ",".join(DECODERS)}

    try:
        with av.open(path, format="mov", container_options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise NotAVideo("it has no pictures")

            stream = container.streams.video[0]
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            if codec not in DECODERS:
                raise NotAVideo(f"its codec is {codec}")
            mp4.check_side(stream.width, stream.height)

            yield container
    except FFmpegError as error:
        raise NotAVideo(f"FFmpeg cannot read it: {error.strerror}") from error


def _seconds(container: InputContainer) -> float:
    if not container.duration or container.duration < 0:
        raise NotAVideo("it has no duration")

    return container.duration / av.time_base


def _frame_at(container: InputContainer, seconds: float) -> Image.Image:
    """The frame shown at `seconds`, regardless of the container's current position."""
    container.seek(round(seconds * av.time_base))
    return _frame_until(container, seconds)


def _frame_until(container: InputContainer, seconds: float) -> Image.Image:
    """Decode on to the frame shown at `seconds`, or to the last one before that within MAX_STEPS.

    Scaled to at most POSTER_SIDE pixels: FFmpeg scales ten times as fast as Pillow.
    """
    frame = None

    for frame in islice(container.decode(video=0), MAX_STEPS):
        if frame.time is not None and frame.time >= seconds:
            break
    if frame is None:
        raise NotAVideo(f"no frame can be decoded at {seconds:.1f} s")
    mp4.check_side(frame.width, frame.height)  # a stream may change its size midway

    scale = min(1.0, POSTER_SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    return frame.reformat(width=width, height=height, interpolation="AREA").to_image()


def _shows_something(image: Image.Image) -> bool:
    """False for black, white and other blank frames, as at the start or in a fade."""
    return ImageStat.Stat(image.convert("L")).stddev[0] >= DULL


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _main() -> None:
    """Child process for one sprite sheet: path, columns, rows and width as arguments, the JPEG on stdout."""
    path, *numbers = sys.argv[1:]
    columns, rows, width = map(int, numbers)
    sys.stdout.buffer.write(sheet(Path(path), columns, rows, width))


if __name__ == "__main__":
    _main()
