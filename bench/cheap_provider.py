"""`python -m bench.cheap_provider ENDING SECONDS`: a provider that costs next to nothing, and keeps books on who asks.

Every job was accepted before it started; ENDING of them are done evenly within SECONDS from GET /begin on, and the others
never. Their progress stays the same. The first part of a path names the dispatcher: /3/v1/videos/video_00000000000000ff.
It prints its port.
"""

import asyncio
import io
import json
import math
import sys
import time

import av


class Provider:
    def __init__(self, ending: int, seconds: float) -> None:
        self.ending, self.seconds = ending, seconds
        self.file = _small_mp4()
        self.begin()
        self.began = math.inf

    def begin(self) -> None:
        """From now on, jobs end, and the books are kept anew."""
        self.began = time.time()
        self.polls = 0
        self.askers: dict[int, set[str]] = {}
        self.delays: dict[int, float] = {}  # from a job's end until somebody is told so, in seconds

    def answer(self, path: str) -> tuple[str, bytes]:
        """Content type and body."""
        if path == "/begin":
            self.begin()
        if path == "/end":
            self.began = math.inf
            self.askers = {}
        if path in ("/begin", "/end", "/books"):
            shared = sum(len(askers) > 1 for askers in self.askers.values())
            books = {"polls": self.polls, "asked_about": len(self.askers), "by_several": shared}
            return "application/json", json.dumps({**books, "delays": list(self.delays.values())}).encode()
        asker, _v1, _videos, ref, *content = path.strip("/").split("/")
        if content:
            return "video/mp4", self.file
        number = int(ref.removeprefix("video_"), 16)
        self.polls += 1
        self.askers.setdefault(number, set()).add(asker)
        status = "in_progress"
        if number < self.ending:
            done = self.began + self.seconds * (number + 1) / self.ending
            if time.time() >= done:
                status = "completed"
                self.delays.setdefault(number, time.time() - done)
        job = {
            "id": ref,
            "object": "video",
            "status": status,
            "progress": 40 if status == "in_progress" else 100,
        }
        return "application/json", json.dumps(job).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                _method, path, _version = head.partition(b"\r\n")[0].decode().split(" ")
                kind, body = self.answer(path.partition("?")[0])
                writer.write(
                    f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _small_mp4(seconds: int = 4, rate: int = 5) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(seconds * rate):
            frame = av.VideoFrame(1280, 720, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


async def main(ending: int, seconds: float) -> None:
    server = await asyncio.start_server(Provider(ending, seconds).serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
