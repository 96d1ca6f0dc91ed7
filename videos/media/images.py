"""Uploaded reference pictures, made safe to store and to send to providers.

The upload itself is not kept. It is decoded in a child process with limited memory and CPU time, since a 1 KB file can
take half a gigabyte to decode and a 10 MB file half an hour, and only our own re-encoding comes back.
"""

import io
import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import BinaryIO

from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageCms, ImageOps

logger = logging.getLogger(__name__)

LIMITS = {"megabytes": 10, "megapixels": 25, "side": 64}
LONG_SIDE = 2048
QUALITY = 90

# Limits of the child. The worst legitimate picture, a 25-megapixel WebP, takes 500 MB of address space and 1.5 s.
CHILD_BYTES = 1 << 30
CHILD_SECONDS = 6  # CPU time
TIMEOUT_SECONDS = 20  # wall-clock time, longer because the server may be busy

REFUSALS = {
    "unreadable": _("This file could not be read as a picture. Use a JPEG, PNG, or WebP file."),
    "heavy": _("Pictures can be at most %(megabytes)d MB."),
    "large": _("Pictures can have at most %(megapixels)d megapixels."),
    "small": _("This picture is too small. Each side must be at least %(side)d pixels."),
    "busy": _("Too many pictures are being processed right now. Nothing was charged; try again."),
    "unkept": _("Pictures cannot be stored right now. Nothing was charged; try again."),
    "moving": _("Animated pictures are not supported. Use a still picture."),
}


class ImageRefused(ValueError):
    """The upload is not a picture we accept. `reason` is a key of REFUSALS; the text is a translated sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(REFUSALS[reason] % LIMITS)


@dataclass(frozen=True)
class Picture:
    """A JPEG that we encoded, upright and without metadata; width and height in pixels."""

    data: bytes
    width: int
    height: int


def clean(file: BinaryIO) -> Picture:
    """Read an upload from its current position and re-encode it as a safe JPEG of at most 2048 pixels on its long side.

    Raises ImageRefused for anything but one still JPEG, PNG or WebP within LIMITS.
    """
    max_bytes = LIMITS["megabytes"] * 1_000_000
    upload = file.read(max_bytes + 1)

    if len(upload) > max_bytes:
        raise ImageRefused("heavy")

    data = _decode_in_child(upload)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return Picture(data, image.width, image.height)


def fit(data: bytes, width: int, height: int) -> bytes:
    """A cleaned picture as a JPEG of exactly width x height pixels: scaled to cover that size, and cropped at the center.

    Deterministic, so that a repeated submit sends an identical body.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return _jpeg(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def _decode_in_child(upload: bytes) -> bytes:
    command = [sys.executable, "-I", "-W", "ignore", __file__, str(CHILD_SECONDS)]

    try:
        child = subprocess.run(command, input=upload, capture_output=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ImageRefused("busy") from None

    if child.returncode:
        # A key of REFUSALS, or the last line of Pillow's traceback, or nothing if a limit killed the child.
        reason = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        logger.info("Refused a picture: %r, status %d", reason, child.returncode)
        raise ImageRefused(reason if reason in REFUSALS else "unreadable")

    return child.stdout


def _main() -> None:
    """The child process: an upload on stdin; our JPEG on stdout, or a key of REFUSALS on stderr and status 1."""
    _limit_this_process(int(sys.argv[1]))
    upload = io.BytesIO(sys.stdin.buffer.read())

    try:
        # Only these three decoders are ever tried: no SVG, EPS, TIFF or PDF.
        image: Image.Image = Image.open(upload, formats=["JPEG", "PNG", "WEBP"])
    except Image.DecompressionBombError:
        sys.exit("large")

    # Phones save a photo with its depth map or a second view as an "MPO", whose first frame is the photo.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        sys.exit("moving")
    if min(image.size) < LIMITS["side"]:
        sys.exit("small")

    profile = image.info.get("icc_profile")
    if image.mode == "I;16":  # convert() would turn all but the darkest shades white
        image = image.point(lambda shade: shade / 256, "L")
    if image.mode not in ("RGB", "RGBA"):  # palette images do not scale smoothly
        image = image.convert("RGBA")
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    image = _on_white(ImageOps.exif_transpose(image))

    sys.stdout.buffer.write(_jpeg(_in_srgb(image, profile)))


def _limit_this_process(seconds: int) -> None:
    import resource  # missing on Windows: the site still starts there, but refuses uploads

    # The parent's timeout is gone if the parent is killed, and a JPEG with many scans would take half an hour.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if sys.platform == "linux":  # macOS refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))

    # Before decoding, Pillow reads the size from the header and refuses anything larger than twice this.
    Image.MAX_IMAGE_PIXELS = LIMITS["megapixels"] * 1_000_000 // 2


def _on_white(image: Image.Image) -> Image.Image:
    """A new image, so that no comment, profile or EXIF of the old one is carried along."""
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", layer.size, "white")
    canvas.paste(layer, mask=layer)

    return canvas


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Phones use wide color spaces; with the profile just dropped, the colors would look dull."""
    if not profile:
        return image

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")) or image
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile, or one for gray or CMYK: the colors are close enough without it


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)

    return out.getvalue()


if __name__ == "__main__":
    _main()
