"""What a request may ask for besides words, size, length and a first frame."""

from dataclasses import asdict, dataclass, fields
from typing import Any

FRAME_RATES = ("24", "30")
QUALITIES = ("standard", "hd")


@dataclass(frozen=True)
class Extras:
    """The defaults are what is made of a request that says nothing of them."""

    seed: str = ""
    negative_prompt: str = ""
    audio: bool = True
    fps: int = 24
    quality: str = "standard"
    last_frame: str = ""  # the name of the picture that the video ends on, as kept with the references

    @property
    def said(self) -> dict[str, Any]:
        """Those that are not as by default."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Extras, name)}


EXTRAS = tuple(field.name for field in fields(Extras))
