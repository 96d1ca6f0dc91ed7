"""Uploaded pictures: what is taken, what is refused, and what is left of it."""

import io
import json
import struct
import subprocess
import sys
import zlib

import pytest
from django.conf import settings
from PIL import Image, ImageCms

from videos.media import images

UNREADABLE = "This file could not be read as a picture. Use a JPEG, PNG, or WebP file."
HEAVY = "Pictures can be at most 10 MB."
LARGE = "Pictures can have at most 25 megapixels."
SMALL = "This picture is too small. Each side must be at least 64 pixels."
MOVING = "Animated pictures are not supported. Use a still picture."

ORIENTATION, MAKE, GPS = 0x0112, 0x010F, 0x8825


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A black PNG of one bit a pixel: very small for what it asks a decoder to do."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated_webp_header(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def cleaned(data: bytes) -> Image.Image:
    picture = images.clean(io.BytesIO(data))
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (picture.width, picture.height))
    return image


def refusal(data: bytes) -> str:
    with pytest.raises(images.ImageRefused) as refused:
        images.clean(io.BytesIO(data))
    return str(refused.value)


def close(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 4 for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_jpeg_png_or_webp_comes_back_as_our_jpeg(kind):
    image = cleaned(saved(Image.new("RGB", (200, 100), (200, 60, 30)), kind))

    assert image.size == (200, 100)
    assert close(image.getpixel((100, 50)), (200, 60, 30))


@pytest.mark.parametrize(
    ("mode", "colour", "shown"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 128, (128, 128, 128)),
        ("LA", (128, 0), (255, 255, 255)),
        ("RGBA", (200, 60, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),
        ("I;16", 128 * 256, (128, 128, 128)),
    ],
)
def test_every_kind_of_png_becomes_rgb_on_white(mode, colour, shown):
    image = cleaned(saved(Image.new(mode, (80, 80), colour), "PNG"))

    assert close(image.getpixel((40, 40)), shown)


def test_a_transparent_palette_becomes_white():
    palette = Image.new("RGB", (80, 80), "red").quantize(4)

    image = cleaned(saved(palette, "PNG", transparency=palette.getpixel((0, 0))))

    assert close(image.getpixel((40, 40)), (255, 255, 255))


def test_a_jpeg_for_print_keeps_its_colours():
    image = cleaned(saved(Image.new("CMYK", (80, 80), (0, 255, 255, 0)), "JPEG"))

    assert close(image.getpixel((40, 40)), (255, 0, 0))


def test_a_large_picture_shrinks_to_2048_pixels():
    assert cleaned(saved(Image.new("RGB", (1500, 3000)), "JPEG")).size == (1024, 2048)


def test_a_picture_of_exactly_25_megapixels_is_taken():
    assert cleaned(png(5000, 5000)).size == (2048, 2048)


def test_a_photo_that_a_phone_saved_with_a_second_view_is_taken_as_its_first():
    views = [Image.new("RGB", (80, 80), "red"), Image.new("RGB", (80, 80), "blue")]

    image = cleaned(saved(views[0], "MPO", save_all=True, append_images=views[1:]))

    assert close(image.getpixel((40, 40)), (255, 0, 0))


def test_colours_of_another_profile_are_converted():
    # sRGB with the names of its red and blue primaries exchanged: in this profile, "red" means blue.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    odd = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")

    image = cleaned(saved(Image.new("RGB", (80, 80), (255, 0, 0)), "PNG", icc_profile=odd))

    assert close(image.getpixel((40, 40)), (0, 0, 255))


@pytest.mark.parametrize(
    "profile", [b"junk" * 99, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_does_not_fit_is_ignored(profile):
    image = cleaned(saved(Image.new("RGB", (80, 80), (255, 0, 0)), "JPEG", icc_profile=profile))

    assert close(image.getpixel((40, 40)), (255, 0, 0))


def test_the_same_upload_gives_the_same_bytes():
    upload = saved(Image.linear_gradient("L"), "PNG")

    assert images.clean(io.BytesIO(upload)) == images.clean(io.BytesIO(upload))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_picture_is_refused(kind, share):
    whole = saved(Image.effect_noise((200, 200), 90).convert("RGB"), kind)

    assert refusal(whole[: int(len(whole) * share)]) == UNREADABLE


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animated_picture_is_refused(kind):
    frames = [Image.new("RGB", (80, 80), "red"), Image.new("RGB", (80, 80), "blue")]

    assert refusal(saved(frames[0], kind, save_all=True, append_images=frames[1:])) == MOVING


def test_a_tiny_picture_is_refused():
    assert refusal(saved(Image.new("RGB", (500, 63)), "PNG")) == SMALL


def test_A17_no_more_is_read_than_10_MB():
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            assert size > 0
            self.given += size
            return bytes(size)

    file = Endless()
    with pytest.raises(images.ImageRefused) as refused:
        images.clean(file)

    assert (str(refused.value), file.given) == (HEAVY, 10_000_001)


@pytest.mark.parametrize(
    ("bomb", "sentence"),
    [
        pytest.param(png(13_000, 13_000), LARGE, id="png"),
        pytest.param(png(9_000, 9_000, chunk(b"acTL", struct.pack(">II", 50, 0))), LARGE, id="apng"),
        pytest.param(animated_webp_header(9_000, 9_000), LARGE, id="webp"),
        pytest.param(animated_webp_header(16_384, 16_384), LARGE, id="large-webp"),
        *(
            pytest.param(
                png(80, 80, chunk(kind, head + zlib.compress(bytes(200_000_000)))),
                UNREADABLE,
                id=kind.decode(),
            )
            for kind, head in [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")]
        ),
    ],
)
def test_A19_a_bomb_is_refused_without_a_rise_of_memory(tmp_path, bomb, sentence):
    file = tmp_path / "bomb"
    file.write_bytes(bomb)
    # From a small process of its own, since the peak of a child counts what the parent held when it was started.
    script = """
import json, resource, sys
from django.conf import settings
settings.configure(USE_I18N=False)
from videos.media import images
try:
    images.clean(open(sys.argv[1], "rb"))
except images.ImageRefused as refused:
    print(json.dumps([str(refused), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
    run = subprocess.run(
        [sys.executable, "-c", script, file], cwd=settings.BASE_DIR, capture_output=True, check=True
    )

    said, megabytes = json.loads(run.stdout)
    assert said == sentence
    assert megabytes < 300


def test_A19_a_picture_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(images, "CHILD_SECONDS", 1)
    whole = saved(Image.new("RGB", (4000, 4000), "red"), "JPEG", progressive=True)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]

    assert refusal(whole[:-2] + last_scan * 50_000 + whole[-2:]) == UNREADABLE


def test_a_server_that_is_too_busy_to_look_says_so(monkeypatch):
    monkeypatch.setattr(images, "TIMEOUT_SECONDS", 0.01)
    assert refusal(saved(Image.new("RGB", (4000, 4000), "red"), "JPEG")).startswith(
        "Too many pictures are being processed"
    )


def test_A20_nothing_of_a_polyglot_survives():
    script = b"<script>alert(1)</script>"
    jpeg = saved(Image.new("RGB", (80, 80), "red"), "JPEG", comment=script)

    data = images.clean(io.BytesIO(jpeg + b"PK\x03\x04" + script)).data

    assert [part for part in (b"script", b"alert", b"PK\x03\x04") if part in data] == []


@pytest.mark.parametrize(
    "fake",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', id="svg"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n", id="eps"),
        pytest.param(b"%PDF-1.7\n", id="pdf"),
        pytest.param(b"<!doctype html><title>x</title>", id="html"),
        pytest.param(b"\xff\xd8\xff\xe0<script>", id="jpeg-in-name-only"),
        pytest.param(saved(Image.new("RGB", (80, 80)), "GIF"), id="gif"),
        pytest.param(saved(Image.new("RGB", (80, 80)), "BMP"), id="bmp"),
        pytest.param(saved(Image.new("RGB", (80, 80)), "TIFF"), id="tiff"),
    ],
)
def test_A20_any_other_format_is_refused(fake):
    assert refusal(fake) == UNREADABLE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_A21_a_photo_is_turned_upright_and_keeps_no_metadata(kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKE] = "secret maker"
    exif.get_ifd(GPS)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste("blue", (0, 0, 100, 100))
    xmp = {} if kind == "PNG" else {"xmp": b"<x:xmpmeta>secret</x:xmpmeta>"}

    image = cleaned(saved(photo, kind, exif=exif, icc_profile=profile, comment=b"secret", **xmp))

    # Turned clockwise, the left half is on top.
    assert image.size == (100, 200)
    assert close(image.getpixel((50, 40)), (0, 0, 255))
    assert close(image.getpixel((50, 160)), (255, 0, 0))
    assert set(image.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert dict(image.getexif()) == {}


def test_fit_gives_exactly_the_size_and_keeps_the_middle():
    flag = Image.new("RGB", (300, 100), "lime")
    flag.paste("red", (0, 0, 90, 100))
    flag.paste("blue", (210, 0, 300, 100))

    fitted = Image.open(io.BytesIO(images.fit(saved(flag, "JPEG", quality=95), 720, 720)))

    assert (fitted.format, fitted.size) == ("JPEG", (720, 720))
    assert all(close(fitted.getpixel((x, 360)), (0, 255, 0)) for x in (60, 360, 660))


def test_fit_gives_the_same_bytes_each_time():
    data = saved(Image.effect_noise((500, 300), 90).convert("RGB"), "JPEG")

    assert images.fit(data, 1280, 720) == images.fit(data, 1280, 720)
