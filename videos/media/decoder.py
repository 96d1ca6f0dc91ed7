"""A child process that decodes downloaded videos, one at a time, behind everything else on the machine.

Decoding a frame takes twenty times the CPU of all the rest of a video, and a hostile file may crash FFmpeg or keep it
busy for ever. So it happens in a process of its own that may be killed, and that politely waits for a free core.
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

CPU_SECONDS = 30  # of a core, for one file: a busy machine gives it those in its own time
PATIENCE_SECONDS = 200  # on the clock, after which a child that does nothing is taken for dead
MAX_BYTES = 8 * 1024**2  # of an answer: a poster is far smaller
QUEUE_LENGTH = 1  # files at a time before newcomers are told to come back later
NICE = 10


class Died(Exception):
    """The child ended or was killed before it answered: it says nothing about the file."""


class Decoder:
    """Starts its child with the first file, and a new one when that died."""

    def __init__(self) -> None:
        self.child: asyncio.subprocess.Process | None = None
        self.turn = asyncio.Lock()
        self.waiting = 0

    @property
    def is_free(self) -> bool:
        return self.waiting < QUEUE_LENGTH

    async def look(self, path: Path) -> tuple[Probe, bytes]:
        """What the file holds, and its poster (see media). Raises NotAVideo, or Died."""
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
            # An answer that nobody waits for would be taken for the next one's.
            await self.close()
            raise


def _main() -> None:
    """The child: a path on each line of stdin, what was found on each line of stdout."""
    os.nice(NICE)
    for line in sys.stdin:
        path = Path(json.loads(line))
        _limit_the_next_file()
        try:
            facts, poster = inspection.look(path)
            found = {"probe": asdict(facts), "poster": base64.b64encode(poster).decode()}
        except NotAVideo as refusal:
            found = {"refused": str(refusal)}
        print(json.dumps(found), flush=True)


def _limit_the_next_file() -> None:
    """Have the kernel end this process once it has used CPU_SECONDS more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, hard))


if __name__ == "__main__":
    _main()
