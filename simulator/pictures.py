"""The files of finished videos, and the processes that paint them.

A picture is named by what is seen in it, so jobs that ask for the same share its files: a thousand identical prompts
are painted once. A picture `abc` is `abc.mp4`, `abc.webp` (thumbnail) and `abc.jpg` (sprite sheet); the MP4 is put in
place last, so where it is, all are.
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
TRIES = 2  # for a picture whose painter dies
VARIANTS = {
    "video": (".mp4", "video/mp4"),
    "thumbnail": (".webp", "image/webp"),
    "spritesheet": (".jpg", "image/jpeg"),
}
PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Picture:
    """All that decides what is seen in a video. Goes to the painters as JSON."""

    caption: str
    seconds: int
    width: int
    height: int
    reference: str = ""  # the name of the input image in the references folder
    extras: Extras = field(default_factory=Extras)

    @property
    def name(self) -> str:
        """Extras count only where they say something, so that what was painted before there were any keeps its name."""
        about = asdict(self) | {"extras": self.extras.said}
        if not about["extras"]:
            del about["extras"]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:40]

    @property
    def as_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: str) -> "Picture":
        about = json.loads(line)
        return cls(**about | {"extras": Extras(**about["extras"])})


def name_of(image: bytes) -> str:
    """What an input image is called in the references folder."""
    return hashlib.sha256(image).hexdigest()


class Pictures:
    """The folder of painted pictures and the queue of those to come. For one event loop."""

    def __init__(self, folder: Path, on_ready: Callable[[str], None]) -> None:
        """`on_ready` hears the name of each picture that was painted, or never will be."""
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
        """When this picture was ready, in Unix seconds; None while it is not. Asked at every poll, so no disk here."""
        return self._painted.get(name)

    def path(self, name: str, variant: str) -> Path:
        return self.folder / (name + VARIANTS[variant][0])

    def want(self, picture: Picture) -> None:
        """Have it painted, unless it is or will be already."""
        if picture.name in self._painted or picture.name in self._wanted or picture.name in self.broken:
            return
        self._wanted.add(picture.name)
        self._queue.put_nowait(picture)
        if len(self._painters) < PAINTERS:
            self._painters.append(asyncio.create_task(self._keep_painting()))

    def keep_reference(self, data: bytes) -> None:
        """Put an input image where painters find it, also after a restart."""
        path = self.references / name_of(data)
        if not path.exists():
            part = path.with_suffix(f".{secrets.token_hex(8)}.part")  # others may be sending the same
            part.write_bytes(data)
            part.replace(path)

    def reference(self, name: str) -> bytes | None:
        """An input image that was kept; None for the name ""."""
        return (self.references / name).read_bytes() if name else None

    def forget_all_but(self, names: set[str], references: set[str]) -> None:
        """Delete files that no job needs, and what a crash left half-written."""
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
        """True once the picture's files are in place."""
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(picture.as_line)
            answer = await process.stdout.readline()
        except ConnectionError:
            answer = b""
        if answer == b"painted\n":
            return True
        if not answer:  # it died, and a new one may do better
            log.error("A painter died over picture %s.", picture.name)
            await process.wait()
            self._processes.discard(process)
        return False
