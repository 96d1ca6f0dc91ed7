"""A zip file of stored videos, made while it is sent."""

import zipfile
from collections.abc import Iterator

from django.core.files.storage import default_storage

BLOCK = 256 * 1024


class _Pipe:
    """Where a zip file is written to, and read from at once."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def zipped(files: list[tuple[str, str]]) -> Iterator[bytes]:
    """A zip of stored files, piece by piece. Videos are compressed already, so nothing is compressed here."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, stored in files:
            with (
                default_storage.open(stored, "rb") as source,
                archive.open(name, "w", force_zip64=True) as target,
            ):
                while block := source.read(BLOCK):
                    target.write(block)
                    yield pipe.taken()
    yield pipe.taken()
