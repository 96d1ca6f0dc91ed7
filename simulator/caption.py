"""Text in the picture: the prompt at the bottom, and a small "SIMULATED" mark."""

import re
from bisect import bisect
from functools import lru_cache
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .layers import Layer, falling

FONTS = Path(__file__).parent / "fonts"
# The first face that has a character draws it. Inter has one file per script; Droid has Chinese and Japanese.
FACES = (
    *("inter-latin.woff", "inter-latin-ext.woff", "inter-cyrillic.woff", "inter-greek.woff"),
    *("inter-vietnamese.woff", "droid-sans-fallback.ttf", "noto-sans-kr.woff"),
)
NO_CHARACTER = "\U000f1234"  # private use: every font draws its "missing glyph" box for it
CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
# A line may break after each ideograph, but closing punctuation stays with the text before it.
CHUNK = re.compile(rf"[{CJK}][、。，．！？；：）」』】》]*|[^\s{CJK}]+|\s+")

Line = str


def caption_layers(text: str, size: tuple[int, int]) -> list[Layer]:
    """The caption over a soft shadow, and the mark in the upper corner, for a frame of `size`."""
    return [*_caption(text, size), _mark(size)]


def _caption(text: str, size: tuple[int, int]) -> list[Layer]:
    width, height = size
    margin = round(min(size) * 0.075)
    text = " ".join("".join(letter for letter in text if letter.isspace() or _face(letter)).split())
    points, lines = _fitted(text, width - 2 * margin, round(height * (0.27 if width > height else 0.3)))
    if not lines:
        return []

    leading = round(points * 1.38)
    block = leading * len(lines)
    shade_height = min(height, block + round(margin * 3.2)) // 2 * 2
    top = 1 - (block + margin) / shade_height  # where the text starts
    shade = falling((width, shade_height), [(0, 0), (top, 105), (1, 190)])
    image = Image.new("RGBA", (width, shade_height), (6, 7, 14))
    image.putalpha(shade)

    words = Image.new("L", image.size)
    baseline = shade_height - margin - block + round(points * 1.02)
    for number, line in enumerate(lines):
        _write(words, (margin, baseline + number * leading), line, points)
    shadow = words.filter(ImageFilter.GaussianBlur(points * 0.16))
    image.paste((0, 0, 0, 255), (0, round(points * 0.05)), shadow.point(lambda value: value * 0.55))
    image.paste((255, 255, 255, 255), (0, 0), words.point(lambda value: value * 0.96))
    return [Layer(image, "0", str(height - shade_height))]


def _mark(size: tuple[int, int]) -> Layer:
    points = max(13, round(min(size) * 0.021))
    text = "SIMULATED"
    spacing = points * 0.14
    font = _font(FACES[0], points)
    width = round(sum(font.getlength(letter) + spacing for letter in text) + points * 1.7)
    height = round(points * 2.1)
    scale = 4  # drawn larger and scaled down, for smooth round ends
    pill = Image.new("L", (width * scale, height * scale))
    ImageDraw.Draw(pill).rounded_rectangle(
        (0, 0, width * scale - 1, height * scale - 1), height * scale // 2, 105
    )
    image = Image.new("RGBA", (width, height), (8, 9, 16))
    image.putalpha(pill.reduce(scale))
    letters = Image.new("L", image.size)
    draw, x = ImageDraw.Draw(letters), points * 0.85 + spacing / 2
    for letter in text:
        draw.text((x, height / 2 + points * 0.36), letter, font=font, fill=225, anchor="ls")
        x += font.getlength(letter) + spacing
    image.paste((255, 255, 255, 255), (0, 0), letters)
    margin = round(min(size) * 0.045) // 2 * 2
    return Layer(image, str((size[0] - margin - width) // 2 * 2), str(margin))


def _fitted(text: str, width: int, height: int) -> tuple[int, list[Line]]:
    """The largest of a few font sizes, in pixels, at which the text fits the box, and its lines at that size.

    If it does not fit even at the smallest size, it is cut and ends with an ellipsis.
    """
    base = min(width, height * 3.4)
    for share in (0.062, 0.052, 0.044, 0.038, 0.033, 0.0285):
        points = max(15, round(base * share))
        lines = _wrapped(text, width, points)
        room = int(height / (points * 1.38))
        if len(lines) <= min(room, 3 if share > 0.04 else room):
            return points, lines
    lines = lines[:room]
    while lines[-1] and _length(lines[-1] + "…", points) > width:
        lines[-1] = lines[-1][:-1]
    lines[-1] = lines[-1].rstrip() + "…"
    return points, lines


def _wrapped(text: str, width: int, points: int) -> list[Line]:
    lines, line = [], ""
    for chunk in CHUNK.findall(text[:4000]):  # far more than any frame can show
        while _length(line + chunk.rstrip(), points) > width:
            if line.strip():
                lines.append(line.rstrip())
                line, chunk = "", chunk.lstrip()
            else:  # a single word is longer than the line
                fits = _fitting(chunk, width, points)
                lines.append(chunk[:fits])
                chunk = chunk[fits:]
        line = line + chunk if line else chunk.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines


def _fitting(word: str, width: int, points: int) -> int:
    """How many of the word's first letters fit on a line: at least one."""
    longest = min(len(word), round(width / points * 5))  # no letter is narrower than that
    return bisect(range(2, longest + 1), width, key=lambda count: ceil(_length(word[:count], points))) + 1


def _write(image: Image.Image, at: tuple[float, float], text: Line, points: int) -> None:
    """Draw white text on a mask; `at` is the start of its baseline."""
    draw, (x, y) = ImageDraw.Draw(image), at
    for face, run in _runs(text):
        draw.text((x, y), run, font=_font(face, points), fill=255, anchor="ls")
        x += _font(face, points).getlength(run)


def _length(text: Line, points: int) -> float:
    return sum(_font(face, points).getlength(run) for face, run in _runs(text))


def _runs(text: Line) -> list[tuple[str, str]]:
    """The text split into runs, each drawn with one face."""
    runs: list[tuple[str, str]] = []
    for letter in text:
        face = _face(letter) or FACES[0]
        if runs and (runs[-1][0] == face or letter == " "):
            runs[-1] = (runs[-1][0], runs[-1][1] + letter)
        else:
            runs.append((face, letter))
    return runs


@lru_cache(maxsize=8192)
def _face(letter: str) -> str | None:
    """The face that has this letter; None if none has, as for emoji."""
    if letter == " ":
        return FACES[0]
    return next(
        (face for face in FACES if _shape(face, letter) not in (b"", _shape(face, NO_CHARACTER))), None
    )


@lru_cache(maxsize=8192)
def _shape(face: str, letter: str) -> bytes:
    # The basic layout engine: the other one would compose a missing Hangul syllable from its parts.
    font = ImageFont.truetype(FONTS / face, 20, layout_engine=ImageFont.Layout.BASIC)
    return bytes(font.getmask(letter))


@lru_cache(maxsize=64)
def _font(face: str, points: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / face, points)
