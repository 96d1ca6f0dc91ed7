"""A zip file of stored videos, generated while it is sent."""

import zipfile
from collections.abc import Iterator

from django.core.files.storage import default_storage

BLOCK = 256 * 1024


class _Pipe:
    """A write-only buffer between the zip writer and the response."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def drain(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def zipped(files: list[tuple[str, str]]) -> Iterator[bytes]:
    """A zip of these (name in the zip, stored name) files, in pieces. Stored uncompressed: videos are compressed already."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, stored in files:
            with (
                default_storage.open(stored, "rb") as source,
                archive.open(name, "w", force_zip64=True) as target,
            ):
                while block := source.read(BLOCK):
                    target.write(block)
                    yield pipe.drain()
    yield pipe.drain()
