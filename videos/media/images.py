"""Reference images that people upload: made safe to keep and to send on.

Nothing of the upload itself is kept. It is decoded in a child process with little memory and little time, since a
picture of 1 KB can ask for half a gigabyte and one of 10 MB for half an hour, and only our own re-encoding comes back.
"""

import io
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import BinaryIO

from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageCms, ImageOps

logger = logging.getLogger(__name__)

LIMITS = {"megabytes": 10, "megapixels": 25, "side": 64}
LONG_SIDE = 2048
QUALITY = 90

# What the child may use. The worst honest picture, a WebP of 25 megapixels, takes 500 MB of addresses and 1.5 s.
CHILD_BYTES = 1 << 30
CHILD_SECONDS = 6  # of a core
TIMEOUT_SECONDS = 20  # seconds on the clock, in which a busy server gives it those
QUEUE_SECONDS = 2

REFUSALS = {
    "unreadable": _("This file is not a picture we can read. Use a JPEG, PNG or WebP."),
    "heavy": _("This file is larger than %(megabytes)d MB, the most we take."),
    "large": _("This picture has more than %(megapixels)d megapixels, the most we take."),
    "small": _("This picture is too small. Each side needs at least %(side)d pixels."),
    "busy": _("Many pictures are arriving at this moment. Nothing was charged; send it again."),
    "unkept": _("We cannot keep pictures at this moment. Nothing was charged; send it again."),
    "moving": _("This picture is animated. Use a still one."),
}

# Many small uploads at once must not add up to the memory that one large one is denied.
_one_at_a_time = threading.Lock()


class ImageRefused(ValueError):
    """The upload is not a picture we take. Its text is a translated sentence for the person."""

    def __init__(self, why: str) -> None:
        super().__init__(REFUSALS[why] % LIMITS)


@dataclass(frozen=True)
class Picture:
    """A JPEG of our own making, upright and without metadata; width and height in pixels."""

    data: bytes
    width: int
    height: int


def clean(file: BinaryIO) -> Picture:
    """Read an upload from where it stands and make it a picture we can trust, at most 2048 pixels long.

    Raises ImageRefused for anything but one still JPEG, PNG or WebP within LIMITS.
    """
    most = LIMITS["megabytes"] * 1_000_000
    upload = file.read(most + 1)

    if len(upload) > most:
        raise ImageRefused("heavy")

    data = _decode_in_child(upload)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return Picture(data, image.width, image.height)


def fit(data: bytes, width: int, height: int) -> bytes:
    """A cleaned picture as a JPEG of exactly width x height pixels: scaled to cover it, cut evenly at the edges.

    The same input gives the same bytes, so that a repeated submit sends an identical body.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return _jpeg(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def _decode_in_child(upload: bytes) -> bytes:
    command = [sys.executable, "-I", "-W", "ignore", __file__, str(CHILD_SECONDS)]

    # Everybody who waits here keeps one of the few threads that serve the site.
    if not _one_at_a_time.acquire(timeout=QUEUE_SECONDS):
        raise ImageRefused("busy")
    try:
        child = subprocess.run(command, input=upload, capture_output=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ImageRefused("busy") from None
    finally:
        _one_at_a_time.release()

    if child.returncode:
        # One of our words, or the last line of whatever Pillow stumbled over; nothing at all when a limit killed it.
        word = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        logger.info("Refused a picture: %r, status %d", word, child.returncode)
        raise ImageRefused(word if word in REFUSALS else "unreadable")

    return child.stdout


def _main() -> None:
    """The child: an upload on stdin, our JPEG on stdout, or a word of REFUSALS on stderr and status 1."""
    _limit_this_process(int(sys.argv[1]))
    upload = io.BytesIO(sys.stdin.buffer.read())

    try:
        # Only these three decoders are ever tried: no SVG, EPS, TIFF or PDF.
        image: Image.Image = Image.open(upload, formats=["JPEG", "PNG", "WEBP"])
    except Image.DecompressionBombError:
        sys.exit("large")

    # Phones save a photo together with its depth map or a second view as one "MPO": still a picture, the first one.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        sys.exit("moving")
    if min(image.size) < LIMITS["side"]:
        sys.exit("small")

    profile = image.info.get("icc_profile")
    if image.mode == "I;16":  # convert() would make all but the darkest shades white
        image = image.point(lambda shade: shade / 256, "L")
    if image.mode not in ("RGB", "RGBA"):  # palettes and the like do not shrink smoothly
        image = image.convert("RGBA")
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    image = _on_white(ImageOps.exif_transpose(image))

    sys.stdout.buffer.write(_jpeg(_in_srgb(image, profile)))


def _limit_this_process(seconds: int) -> None:
    import resource  # not on Windows: the site still starts there, only uploads are refused

    # Should the parent be killed, its own clock is gone, and a JPEG of many scans would keep us busy for half an hour.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if sys.platform == "linux":  # macOS refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))

    # Pillow reads the size from the header and refuses what has more than twice this, before it decodes anything.
    Image.MAX_IMAGE_PIXELS = LIMITS["megapixels"] * 1_000_000 // 2


def _on_white(image: Image.Image) -> Image.Image:
    """A new image, so that no comment, profile or EXIF can ride along in the old one's info."""
    layer = image.convert("RGBA")
    sheet = Image.new("RGB", layer.size, "white")
    sheet.paste(layer, mask=layer)

    return sheet


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Phones photograph in wider colour spaces: without their profile the colours would look dull."""
    if not profile:
        return image

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")) or image
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile, or one for greys or inks: the colours are close enough without


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)

    return out.getvalue()


if __name__ == "__main__":
    _main()
