"""What a downloaded file really is, and a picture to show for it.

A provider may send anything under the name of an MP4: an error page, half a file, a playlist that asks the reader to
open /etc/passwd. So its boxes are walked first, and no other format than MP4 is ever tried on it. All of this blocks:
call it from a thread.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from PIL import Image, ImageStat

MAX_SIDE = 4096
MAX_BOXES = 10_000
DECODERS = ("h264", "hevc", "vp9", "av1", "libdav1d")  # FFmpeg's names

POSTER_SIDE = 640
DULL = 8  # standard deviation of grey, of 255, below which a frame shows next to nothing
MAX_STEPS = 600  # frames from one key frame on: a hostile file must not hold the worker


class NotAVideo(ValueError):
    """The file is not an MP4 that a browser could play. Its text is a reason for the log."""


@dataclass(frozen=True)
class Probe:
    """What a video file holds. Width and height in pixels, seconds of play, size in bytes, sha256 in hex."""

    width: int
    height: int
    seconds: float
    has_sound: bool
    size: int
    sha256: str


def probe(path: Path) -> Probe:
    """Check that a file is a whole, playable MP4, and measure it. Raises NotAVideo."""
    size = _walk_boxes(path)

    with _opened(path) as container:
        frame = next(container.decode(video=0), None)
        if frame is None or frame.is_corrupt:
            raise NotAVideo("its first frame cannot be decoded")
        # The decoder's word counts: the header was checked before, but need not tell the truth.
        _check_side(frame.width, frame.height)

        return Probe(
            width=frame.width,
            height=frame.height,
            seconds=_seconds(container),
            has_sound=bool(container.streams.audio),
            size=size,
            sha256=_sha256(path),
        )


def poster(path: Path) -> bytes:
    """A WebP of at most 640 pixels on its long side: the frame a quarter in, or a later one if that shows nothing.

    Expects a file that `probe` has accepted. Raises NotAVideo where no frame can be decoded after all.
    """
    with _opened(path) as container:
        length = _seconds(container)
        frames = (_frame_at(container, length * share) for share in (0.25, 0.5, 0.75, 0))
        image = next(filter(_shows_something, frames), None) or _frame_at(container, length * 0.25)

    image.thumbnail((POSTER_SIDE, POSTER_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80)

    return out.getvalue()


def _walk_boxes(path: Path) -> int:
    """The file's size, if its top-level boxes fill it exactly: nothing cut off, nothing appended."""
    size = path.stat().st_size
    kinds: list[bytes] = []
    at = 0

    with path.open("rb") as file:
        while at < size and len(kinds) < MAX_BOXES:
            file.seek(at)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4]), header[4:8]

            if not kinds and kind != b"ftyp":
                raise NotAVideo(f"it is no MP4: it begins with {header!r}")
            if length == 1:
                length = int.from_bytes(header[8:16])
            elif length == 0:  # the last box, up to the end
                length = size - at
            if length < 8:
                raise NotAVideo(f"a box at byte {at} has an impossible length")

            kinds.append(kind)
            at += length

    if at != size:
        raise NotAVideo(f"its boxes end at byte {at}, the file at byte {size}")
    if b"moov" not in kinds:
        raise NotAVideo("it has no moov box")

    return size


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    # Nothing is guessed from the content, nothing else is opened, and only decoders that browsers have too may run.
    options = {"protocol_whitelist": "file", "codec_whitelist": ",".join(DECODERS)}

    try:
        with av.open(path, format="mov", container_options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise NotAVideo("it has no pictures")

            stream = container.streams.video[0]
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            if codec not in DECODERS:
                raise NotAVideo(f"its codec is {codec}")
            _check_side(stream.width, stream.height)

            yield container
    except FFmpegError as error:
        raise NotAVideo(f"FFmpeg cannot read it: {error.strerror}") from error


def _check_side(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise NotAVideo(f"it measures {width}x{height}")


def _seconds(container: InputContainer) -> float:
    if not container.duration or container.duration < 0:
        raise NotAVideo("it has no duration")

    return container.duration / av.time_base


def _frame_at(container: InputContainer, seconds: float) -> Image.Image:
    """The frame shown at that time; the last one before it where decoding takes too many steps or ends early."""
    container.seek(round(seconds * av.time_base))
    frame = None

    for frame in islice(container.decode(video=0), MAX_STEPS):
        if frame.time is not None and frame.time >= seconds:
            break
    if frame is None:
        raise NotAVideo(f"no frame can be decoded at {seconds:.1f} s")
    _check_side(frame.width, frame.height)  # a stream may change its size on the way

    return frame.to_image()


def _shows_something(image: Image.Image) -> bool:
    """False for black, white and other plain frames, as at the start and in a fade."""
    return ImageStat.Stat(image.convert("L")).stddev[0] >= DULL


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
