"""The preset pictures and sample clips of the studio, listed in `static/presets` and `static/samples`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

PRESETS: Path = settings.BASE_DIR / "static" / "presets"
SAMPLES: Path = settings.BASE_DIR / "static" / "samples"


@dataclass(frozen=True)
class Preset:
    name: str
    title: str
    prompt: str

    @property
    def file(self) -> Path:
        return PRESETS / f"{self.name}.jpg"

    @property
    def thumb_url(self) -> str:
        return f"presets/{self.name}.thumb.webp"


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in display order."""
    return {entry["name"]: Preset(**entry) for entry in json.loads((PRESETS / "presets.json").read_text())}


@cache
def samples() -> list[dict[str, str]]:
    """The sample clips: `file` and `poster` below static/samples, `prompt` and `alt`."""
    return json.loads((SAMPLES / "samples.json").read_text())
