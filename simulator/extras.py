"""Optional parameters of a request besides prompt, size, length and first frame."""

from dataclasses import asdict, dataclass, fields

FRAME_RATES = ("24", "30")
QUALITIES = ("standard", "hd")


@dataclass(frozen=True)
class Extras:
    """The defaults apply to a request without these parameters."""

    seed: str = ""
    negative_prompt: str = ""
    audio: bool = True
    fps: int = 24
    quality: str = "standard"
    last_frame: str = ""  # name of the picture that the video ends on, in the references folder

    @property
    def non_defaults(self) -> dict[str, str | int | bool]:
        """The values that differ from the defaults."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Extras, name)}


EXTRAS = tuple(field.name for field in fields(Extras))
