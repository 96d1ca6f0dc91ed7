"""Which frames of a video are painted, and in which order its file shows them.

Painting and encoding every frame of a 1080p minute would take half a minute of CPU. So for a large and long video
only one pass is encoded, and its packets are repeated. From the second pass on, the beginning is replaced by a
bridge: a cross-fade from what would follow the pass to how it began, so that no jump is visible. The remaining
frames, and the transition to a last frame, form a tail.

Encoded in this order: the pass, the bridge, the tail. Each starts with a key frame, and so does the part of the pass
that follows the bridge, so they can be concatenated in every order that is needed.

With SIMULATOR_DRAFT in the environment, every video is painted as if it were that long: a tenth of the work, for tests
that want a real file and do not look at its motion.
"""

import os
from dataclasses import dataclass

BRIDGE = 12  # frames
# Limits of what is painted for one file, about 4 s of CPU. Zooming a photo costs more than sliding layers.
MAX_PIXELS, MAX_PIXELS_OF_PHOTO = 300_000_000, 200_000_000
IS_DRAFT = bool(os.environ.get("SIMULATOR_DRAFT"))


@dataclass(frozen=True)
class Course:
    """Numbers of frames."""

    length: int  # of one pass
    passes: int
    ending: int  # the transition to a last frame
    tail: int  # everything after the last pass, including the ending

    @classmethod
    def of(cls, count: int, pixels: int, of_photo: bool = False, ending: int = 0) -> "Course":
        """For `count` frames of `pixels` pixels each."""
        limit = (MAX_PIXELS_OF_PHOTO if of_photo else MAX_PIXELS) // pixels // (10 if IS_DRAFT else 1)
        if count <= limit:
            return cls(count - ending, 1, ending, ending)
        limit = max(2 * BRIDGE, limit - ending)
        # The longest of those that leave the fewest frames over, because these have to be painted, too.
        length = min(range(limit, limit * 2 // 3, -1), key=lambda length: (count - ending) % length)
        passes, rest = divmod(count - ending, length)
        return cls(length, passes, ending, ending + rest)

    @property
    def bridge(self) -> int:
        return BRIDGE if self.passes > 1 else 0

    @property
    def painted(self) -> int:
        """How many frames are painted: one pass, and as many after it as the bridge or the tail needs."""
        return self.length + max(self.bridge, self.tail)

    @property
    def keys(self) -> set[int]:
        """The encoded frames that must be key frames."""
        return {0, self.bridge, self.length, self.length + self.bridge}

    @property
    def order(self) -> list[int]:
        """For each frame of the file, the number of the encoded frame."""
        after = self.length + self.bridge
        repeated = [*range(self.length, after), *range(self.bridge, self.length)]
        return [*range(self.length), *repeated * (self.passes - 1), *range(after, after + self.tail)]
