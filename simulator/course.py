"""Which frames of a video are painted, and in which order its file shows them.

Painting and encoding every frame of a minute in 1080p would take half a minute of CPU. So of what is large and long
only one pass is made, and the encoded packets of it are repeated: bytes are cheap. From the second pass on, its
beginning is a bridge, a cross-fade from what would follow the pass to how it began, so that no jump is seen. What is
left over, and the way to a last frame, is a tail of its own.

Encoded are, in this order: the pass, the bridge, the tail. Each starts with a key frame, and so does what follows the
bridge within the pass; so they fit together in any of the orders that are needed.
"""

from dataclasses import dataclass

BRIDGE = 12  # frames
# In all that is painted for one file: what takes some 4 s of CPU. Zooming a photo is dearer than sliding layers.
MAX_PIXELS, MAX_PIXELS_OF_PHOTO = 300_000_000, 200_000_000


@dataclass(frozen=True)
class Course:
    """Numbers of frames."""

    length: int  # of a pass
    passes: int
    ending: int  # the last ones, which lead to a last frame
    tail: int  # all after the last pass, with the ending

    @classmethod
    def of(cls, count: int, pixels: int, of_photo: bool = False, ending: int = 0) -> "Course":
        """For `count` frames of so many pixels each."""
        most = (MAX_PIXELS_OF_PHOTO if of_photo else MAX_PIXELS) // pixels
        if count <= most:
            return cls(count - ending, 1, ending, ending)
        most = max(2 * BRIDGE, most - ending)
        # The one that leaves the fewest frames over, as these are painted, too; the longest of such.
        length = min(range(most, most * 2 // 3, -1), key=lambda length: (count - ending) % length)
        passes, rest = divmod(count - ending, length)
        return cls(length, passes, ending, ending + rest)

    @property
    def bridge(self) -> int:
        return BRIDGE if self.passes > 1 else 0

    @property
    def painted(self) -> int:
        """How many frames are painted: one pass, and as many after it as the bridge or the tail need."""
        return self.length + max(self.bridge, self.tail)

    @property
    def keys(self) -> set[int]:
        """Of those that are encoded, the ones that must be key frames."""
        return {0, self.bridge, self.length, self.length + self.bridge}

    @property
    def order(self) -> list[int]:
        """For each frame of the file, which of the encoded ones it is."""
        after = self.length + self.bridge
        again = [*range(self.length, after), *range(self.bridge, self.length)]
        return [*range(self.length), *again * (self.passes - 1), *range(after, after + self.tail)]
