"""The background without an input image: a generated landscape, seeded with the prompt's hash.

Sky, sun and stars stand still; mist, light and ridges drift past, nearer ones faster. Each ridge moves by whole
pixels, which looks smooth and is cheap to encode.
"""

import hashlib
import math
import random
from dataclasses import dataclass
from statistics import NormalDist

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .layers import Layer, drifting, falling

Color = tuple[int, int, int]

SEAS = 0.4  # the share of scenes with water; the others have hills
RIDGES = 4
SPEEDS = (0, 1, 2, 3)  # of the ridges in pixels per frame, the farthest first
# Maps each byte of noise to a gray value around the middle, normally distributed like film grain.
GRAIN = [round(NormalDist(128, 3.5).inv_cdf((value + 0.5) / 256)) for value in range(256)]
GLINTS = 140  # on each of the layers that make water sparkle


@dataclass(frozen=True)
class Palette:
    sky: tuple[str, str, str, str]  # from the top to the horizon
    sun: str
    far: str  # the most distant ridge; nearer ones are closer to `near`
    near: str
    stars: bool = False


PALETTES = (
    Palette(("#16204a", "#5b4b8a", "#d9828b", "#ffd3a5"), "#fff0d2", "#b0788f", "#17122b", stars=True),
    Palette(("#070b24", "#1b2a5e", "#3f5f9b", "#93b4d6"), "#f3f6ff", "#5f7fae", "#050918", stars=True),
    Palette(("#2f5d8c", "#6fa3c7", "#bcd9e0", "#fdeed3"), "#fffbe9", "#93b3bd", "#12303d"),
    Palette(("#3a1c3f", "#93344e", "#e8694a", "#ffc36b"), "#fff1c4", "#c2604f", "#200b1c"),
    Palette(("#03131d", "#0b3f4c", "#2b8a7e", "#a5dcb4"), "#f2ffe6", "#3f8f86", "#02141a", stars=True),
    Palette(("#43506b", "#7c8ba1", "#bcc5c9", "#f2e6d8"), "#fffaf0", "#9aa7ad", "#1d2833"),
    Palette(("#251a52", "#6d3fa0", "#d274b4", "#ffc9bd"), "#fff2e6", "#a869a8", "#140c2e", stars=True),
    Palette(("#1f4a4f", "#5c9487", "#c3cf9f", "#fbeab4"), "#fffbe0", "#8fae86", "#0f2a2a"),
)


class Scene:
    """One landscape, wide enough for a clip of `count` frames. The same text gives the same landscape."""

    def __init__(self, text: str, size: tuple[int, int], count: int) -> None:
        self.chance = chance = random.Random(hashlib.sha256(text.encode()).digest())
        self.palette = chance.choice(PALETTES)
        self.width, self.height = self.size = size
        self.count = count
        self.horizon = self.height * chance.uniform(0.56, 0.64)
        side = chance.choice((chance.uniform(0.2, 0.38), chance.uniform(0.6, 0.8)))
        self.sun = (self.width * side, self.horizon * chance.uniform(0.58, 0.86))
        self.sun_radius = min(size) * chance.uniform(0.05, 0.075)
        self.ruggedness = chance.random()
        self.is_sea = chance.random() < SEAS

    def layers(self) -> list[Layer]:
        """The moving layers in front of the sky, the farthest first."""
        return [
            self._light(self.sun_radius * 13, strength=120),
            self._mist(self.horizon * 0.62, self.height * 0.3, strength=70),
            *(self._sea() if self.is_sea else self._hills()),
            self._light(self.sun_radius * 24, strength=55),
        ]

    def sky(self) -> Image.Image:
        """The sky with its sun and stars."""
        horizon = self.horizon / self.height
        places = (0, 0.42 * horizon, 0.78 * horizon, horizon)
        sky = _gradient(self.size, list(zip(places, map(_rgb, self.palette.sky), strict=True)))
        if self.palette.stars:
            self._sprinkle_stars(sky)
        self._hang_sun(sky)
        # Without grain, gradients in 8-bit color show visible bands.
        noise = Image.frombytes("L", self.size, random.Random(0).randbytes(self.width * self.height))
        grain = noise.point(GRAIN)
        return ImageChops.add(sky, Image.merge("RGB", (grain, grain, grain)), offset=-128)

    def _sprinkle_stars(self, sky: Image.Image) -> None:
        draw, chance = ImageDraw.Draw(sky, "RGBA"), self.chance
        for _ in range(self.width * self.height // 5200):
            x, height = chance.uniform(0, self.width), chance.random() ** 1.4 * 0.8
            y, size = height * self.horizon, 0.5 if chance.random() < 0.85 else 1.0
            glow = round(chance.random() ** 3 * 200 * (1 - height)) + 25
            draw.ellipse((x - size, y - size, x + size, y + size), fill=(255, 255, 255, glow))

    def _hang_sun(self, sky: Image.Image) -> None:
        scale, rim = 4, 4  # drawn larger and scaled down, for a smooth rim
        side = round(self.sun_radius * 2) + 2 * rim
        disc = Image.new("L", (side * scale, side * scale))
        inside = (rim * scale, rim * scale, (side - rim) * scale, (side - rim) * scale)
        ImageDraw.Draw(disc).ellipse(inside, fill=245)
        disc = disc.reduce(scale).filter(ImageFilter.GaussianBlur(1.2))
        x, y = self.sun
        sky.paste(_rgb(self.palette.sun), (round(x - side / 2), round(y - side / 2)), disc)

    def _light(self, diameter: float, strength: int) -> Layer:
        """A glow around the sun that sways a little."""
        side = round(diameter)
        glow = Image.radial_gradient("L").resize((side, side), Image.Resampling.BICUBIC)
        image = Image.new("RGBA", (side, side), _rgb(self.palette.sun))
        image.putalpha(glow.point(lambda value: strength * (1 - min(1, value / 128)) ** 2.2))
        sway = side * 0.035
        x, y = self.sun[0] - side / 2, self.sun[1] - side / 2
        return Layer(image, f"{x:.0f}+{sway:.1f}*sin(t*0.9)", f"{y:.0f}+{sway * 0.6:.1f}*cos(t*0.7)")

    def _mist(self, level: float, thickness: float, strength: float) -> Layer:
        """A bank of mist around `level` that drifts in the opposite direction to the ridges."""
        size = (self.width + self.count + 2, round(thickness))
        cells = (max(3, size[0] // 260), 4)
        noise = Image.new("L", cells)
        noise.putdata([round(self.chance.random() ** 1.6 * 255) for _ in range(cells[0] * cells[1])])
        cloud = noise.resize(size, Image.Resampling.BICUBIC)
        soft = ImageChops.multiply(cloud, falling(size, [(0.05, 0), (0.5, 255), (0.95, 0)]))
        image = Image.new("RGBA", size, _rgb(self.palette.sky[3]))
        image.putalpha(soft.point(lambda value: value * strength / 255))
        return Layer(image, f"n-{self.count}", f"{level - size[1] / 2:.0f}")

    def _hills(self) -> list[Layer]:
        layers: list[Layer] = []
        below = self.height - self.horizon
        for number, speed in enumerate(SPEEDS):
            depth = number / (RIDGES - 1)
            layers += self._ridge(self.horizon + below * (0.02 + 0.62 * depth), depth, speed)
            if number < RIDGES - 1:
                level = self.horizon + below * (0.55 * depth - 0.02)
                layers.append(self._mist(level, self.height * 0.16, strength=120 - 60 * depth))
        return layers

    def _sea(self) -> list[Layer]:
        """Water that reflects the sky, with a far and a near coast, and glints under the sun."""
        top = _even(self.horizon)
        size = (self.width, self.height - top)
        near = _rgb(self.palette.near)
        mirrored = [
            _mixed(_rgb(self.palette.sky[place]), near, dark)
            for place, dark in ((3, 0.12), (2, 0.35), (0, 0.5))
        ]
        water = _gradient(size, list(zip((0, 0.4, 1), mirrored, strict=True)))
        # Several layers of glints that slide across each other appear to sparkle.
        sheets = [
            Layer(self._glints(size), f"{sway}*sin(t*{pace})", f"{top}")
            for sway, pace in ((7, 1.45), (-9, 1.55), (12, 1.7))
        ]
        below = self.height - self.horizon
        return [
            *self._ridge(self.horizon - below * 0.05, depth=0, speed=0),
            Layer(water.convert("RGBA"), "0", f"{top}"),
            *sheets,
            *self._ridge(self.horizon + below * 0.77, depth=1, speed=2),
        ]

    def _glints(self, size: tuple[int, int]) -> Image.Image:
        chance = self.chance
        mask = Image.new("L", size)
        draw = ImageDraw.Draw(mask)
        for _ in range(GLINTS):
            nearness = chance.random() ** 1.3
            x = chance.gauss(self.sun[0], size[0] * (0.025 + 0.1 * nearness))
            y = 2 + nearness * (size[1] - 4)
            wide = self.height * (0.008 + 0.04 * nearness) * chance.uniform(0.4, 1.3)
            tall = 0.3 + 1.1 * nearness
            glow = round(chance.uniform(60, 190) * (1 - 0.5 * nearness))
            draw.ellipse((x - wide, y - tall, x + wide, y + tall), fill=glow)
        image = Image.new("RGBA", size, _rgb(self.palette.sun))
        image.putalpha(mask.filter(ImageFilter.GaussianBlur(0.8)))
        return image

    def _ridge(self, base: float, depth: float, speed: int) -> list[Layer]:
        """A line of hills around the height `base`; `depth` is 0 for the farthest and 1 for the nearest."""
        swing = self.height * (0.055 + 0.05 * depth)
        top = _even(base - swing * 1.9)
        size = (self.width + speed * self.count + 2, self.height - top)
        scale = 2  # drawn larger and scaled down, for a smooth edge
        mask = Image.new("L", (size[0] * scale, size[1] * scale))
        outline = [(x * scale, (base - top - y) * scale) for x, y in self._outline(size[0], swing, depth)]
        ImageDraw.Draw(mask).polygon([*outline, (mask.width, mask.height), (0, mask.height)], fill=255)

        color = _mixed(_rgb(self.palette.far), _rgb(self.palette.near), depth**0.8)
        haze = _mixed(color, _rgb(self.palette.sky[3]), 0.55 - 0.4 * depth)
        image = _gradient(size, [(0.1, color), (0.75, haze)])
        image.putalpha(mask.reduce(scale))
        return drifting(image, speed, top)

    def _outline(self, width: int, swing: float, depth: float) -> list[tuple[float, float]]:
        """Heights above the base along a ridge: long waves plus rough rock, which is smoother on near ridges."""
        chance = self.chance
        waves = [
            (
                swing * 0.75**octave * (0.36 if octave else 0.6),
                1.7**octave * 0.0042,
                chance.uniform(0, math.tau),
            )
            for octave in range(3)
        ]
        roughness = swing * self.ruggedness * (0.6 - 0.33 * depth)
        rocks = [
            (roughness / 1.8**octave, 147 / 2.1**octave, [chance.uniform(-1, 1) for _ in range(64)])
            for octave in range(5)
        ]
        outline = []
        for x in range(0, width + 4, 3):
            y = sum(size * math.sin(x * pace + phase) for size, pace, phase in waves)
            for size, step, heights in rocks:
                cell, share = divmod(x / step, 1)
                before, after = heights[int(cell) % 64], heights[int(cell + 1) % 64]
                y += size * (before + (after - before) * share)
            outline.append((float(x), y))
        return outline


def _gradient(size: tuple[int, int], stops: list[tuple[float, Color]]) -> Image.Image:
    """A vertical color gradient: `stops` are (share of the height, color)."""
    bands = [falling(size, [(place, color[band]) for place, color in stops]) for band in range(3)]
    return Image.merge("RGB", bands)


def _even(place: float) -> int:
    """Round to an even number: FFmpeg's overlay rounds odd positions down, which would leave the last row uncovered."""
    return round(place / 2) * 2


def _mixed(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def _rgb(color: str) -> Color:
    return (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
