"""The files of finished videos, and the processes that paint them.

A picture's name is a hash of its contents' description, so identical requests share files: a thousand equal prompts
are painted once. The files of picture `abc` are `abc.mp4`, `abc.webp` (thumbnail) and `abc.jpg` (sprite sheet). The
MP4 is moved into place last, so if it exists, all of them do.
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .extras import Extras

log = logging.getLogger(__name__)

PAINTERS = min(2, os.cpu_count() or 1)
TRIES = 2  # for a picture whose painter crashes
VARIANTS = {
    "video": (".mp4", "video/mp4"),
    "thumbnail": (".webp", "image/webp"),
    "spritesheet": (".jpg", "image/jpeg"),
}
PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Picture:
    """Everything that determines what a video looks like. Sent to the painters as JSON."""

    caption: str
    seconds: int
    width: int
    height: int
    reference: str = ""  # the name of the input image in the references folder
    extras: Extras = field(default_factory=Extras)

    @property
    def name(self) -> str:
        """A hash of the picture. Default extras are left out, so that older pictures keep their names."""
        fields = asdict(self) | {"extras": self.extras.non_defaults}
        if not fields["extras"]:
            del fields["extras"]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:40]

    @property
    def as_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: str) -> "Picture":
        fields = json.loads(line)
        return cls(**fields | {"extras": Extras(**fields["extras"])})


def name_of(image: bytes) -> str:
    """The name of an input image in the references folder."""
    return hashlib.sha256(image).hexdigest()


class Pictures:
    """The folder of painted pictures and the queue of those to paint. For use in one event loop."""

    def __init__(self, folder: Path, on_ready: Callable[[str], None]) -> None:
        """`on_ready` is called with the name of each picture that is painted, or has failed for good."""
        self._on_ready = on_ready
        self.folder = folder / "pictures"
        self.references = folder / "references"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.references.mkdir(exist_ok=True)
        self.broken: set[str] = set()
        self._painted = {path.stem: path.stat().st_mtime for path in self.folder.glob("*.mp4")}
        self._wanted: set[str] = set()
        self._queue: asyncio.Queue[Picture] = asyncio.Queue()
        self._painters: list[asyncio.Task[None]] = []
        self._processes: set[asyncio.subprocess.Process] = set()

    def painted_at(self, name: str) -> float | None:
        """When this picture was ready, in Unix seconds; None if it is not yet. Called at every poll: no disk access."""
        return self._painted.get(name)

    def path(self, name: str, variant: str) -> Path:
        return self.folder / (name + VARIANTS[variant][0])

    def want(self, picture: Picture) -> None:
        """Queue the picture, unless it is painted or queued already."""
        if picture.name in self._painted or picture.name in self._wanted or picture.name in self.broken:
            return
        self._wanted.add(picture.name)
        self._queue.put_nowait(picture)
        if len(self._painters) < PAINTERS:
            self._painters.append(asyncio.create_task(self._keep_painting()))

    def keep_reference(self, data: bytes) -> None:
        """Store an input image for the painters; it survives a restart."""
        path = self.references / name_of(data)
        if not path.exists():
            part = path.with_suffix(
                f".{secrets.token_hex(8)}.part"
            )  # another request may store the same image
            part.write_bytes(data)
            part.replace(path)

    def reference(self, name: str) -> bytes | None:
        """A stored input image; None for the name ""."""
        return (self.references / name).read_bytes() if name else None

    def forget_all_but(self, names: set[str], references: set[str]) -> None:
        """Delete files that no job needs, and incomplete files left by a crash."""
        for folder, kept in ((self.folder, names), (self.references, references)):
            for path in folder.iterdir():
                if path.stem not in kept or ".part" in path.name:
                    path.unlink()
                    self._painted.pop(path.stem, None)

    async def close(self) -> None:
        for painter in self._painters:
            painter.cancel()
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(
            *self._painters, *(process.wait() for process in self._processes), return_exceptions=True
        )

    async def _keep_painting(self) -> None:
        process = None
        while True:
            picture = await self._queue.get()
            for _ in range(TRIES):
                if process is None or process.returncode is not None:
                    process = await self._start_painter()
                if await self._paint(process, picture):
                    self._painted[picture.name] = self.path(picture.name, "video").stat().st_mtime
                    break
            else:
                self.broken.add(picture.name)
            self._wanted.discard(picture.name)
            self._on_ready(picture.name)

    async def _start_painter(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulator.painter", str(self.folder), str(self.references)),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.add(process)
        return process

    async def _paint(self, process: asyncio.subprocess.Process, picture: Picture) -> bool:
        """Paint the picture in this process. True once its files are in place."""
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(picture.as_line)
            answer = await process.stdout.readline()
        except ConnectionError:
            answer = b""
        if answer == b"painted\n":
            return True
        if not answer:  # it crashed; a new one may succeed
            log.error("A painter crashed on picture %s.", picture.name)
            await process.wait()
            self._processes.discard(process)
        return False
