"""A child process that decodes downloaded videos, one at a time, at low CPU priority.

Decoding one frame takes twenty times the CPU of everything else that a video needs, and a hostile file may crash FFmpeg
or keep it busy forever. So it happens in a niced process that can be killed.
"""

import asyncio
import base64
import json
import os
import resource
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from videos import child_processes
from videos.media import inspection
from videos.media.mp4 import NotAVideo, Probe

FOLDER = Path(__file__).parents[2]

CPU_SECONDS = 30  # CPU time for one file
PATIENCE_SECONDS = (
    200  # wall-clock time, far longer because the process is niced, after which the child is killed
)
MAX_BYTES = 8 * 1024**2  # of an answer; a poster is far smaller
QUEUE_LENGTH = 1  # files that may be in the decoder before it reports itself as busy
NICE = 10


class Died(Exception):
    """The child exited or was killed before it answered, which proves nothing about the file."""


class Decoder:
    """Starts its child process for the first file, and a new one if it has died."""

    def __init__(self) -> None:
        self.child: asyncio.subprocess.Process | None = None
        self.turn = asyncio.Lock()
        self.waiting = 0

    @property
    def is_free(self) -> bool:
        return self.waiting < QUEUE_LENGTH

    async def look(self, path: Path) -> tuple[Probe, bytes]:
        """Facts about the file, and its poster (see `inspection.look`). Raises NotAVideo or Died."""
        self.waiting += 1
        try:
            async with self.turn:
                answer = await self._ask(path)
        finally:
            self.waiting -= 1
        if "refused" in answer:
            raise NotAVideo(answer["refused"])
        return Probe(**answer["probe"]), base64.b64decode(answer["poster"])

    async def close(self) -> None:
        if self.child and self.child.returncode is None:
            self.child.kill()
            await self.child.wait()
        self.child = None

    async def _ask(self, path: Path) -> dict:
        try:
            if self.child is None or self.child.returncode is not None:
                self.child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "videos.media.decoder"),
                    cwd=FOLDER,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=MAX_BYTES,
                    preexec_fn=partial(child_processes.die_with_parent, os.getpid()),
                )
            assert self.child.stdin is not None
            assert self.child.stdout is not None
            self.child.stdin.write(f"{json.dumps(str(path))}\n".encode())
            async with asyncio.timeout(PATIENCE_SECONDS):
                line = await self.child.stdout.readline()
            return json.loads(line)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            await self.close()
            raise Died(f"the decoder died: {error!r}") from error
        except asyncio.CancelledError:
            # Otherwise the answer that nobody reads now would be read as the answer for the next file.
            await self.close()
            raise


def _main() -> None:
    """The child process: reads a path (JSON) per line from stdin and writes a result (JSON) per line to stdout."""
    os.nice(NICE)
    for line in sys.stdin:
        path = Path(json.loads(line))
        _limit_the_next_file()
        try:
            facts, poster = inspection.look(path)
            result = {"probe": asdict(facts), "poster": base64.b64encode(poster).decode()}
        except NotAVideo as error:
            result = {"refused": str(error)}
        print(json.dumps(result), flush=True)


def _limit_the_next_file() -> None:
    """Have the kernel kill this process once it has used another CPU_SECONDS."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, hard))


if __name__ == "__main__":
    _main()
