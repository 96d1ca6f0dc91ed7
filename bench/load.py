"""The load generator, a separate process that uses as little CPU as possible: `get(order)`.

It implements just enough HTTP/1.1 for Django behind gunicorn: GET, persistent connections, Content-Length. A general
client needs more CPU for a request than the simplest view, on the same two cores.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from bench.measure import percentile

ETAG = re.compile(rb"\r\nETag: ([^\r]+)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """What to request. `pages` are pairs of a path and the value of `header`, requested in turn."""

    port: int
    pages: list[tuple[str, str]]
    seconds: float
    connections: int = 32  # each sends its next request after the response: a closed loop
    rate: float = 0  # if set: this many requests per second, without waiting for responses: an open loop
    header: str = "Cookie"
    conditional: bool = False  # whether to send the last ETag of a page, as its script does


def get(order: Order) -> dict[str, Any]:
    """Generate the load. Returns `rate` (responses per second), `statuses`, `p50`, `p95`, `p99` (milliseconds; in an
    open loop from when the request was due), and `load` (the share of a core that the generator itself used)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(asdict(order)), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


class Generator:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.etags: dict[int, bytes] = {}
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.idle: list[Connection] = []
        self.turns = count()

    async def run(self) -> dict[str, Any]:
        for _ in range(0 if self.order.rate else self.order.connections):
            # One at a time, or the first server process to wake up accepts all of them.
            self.idle.append(await self.connect())
            await asyncio.sleep(0.005)
        began, cpu = time.perf_counter(), time.process_time()
        self.end = began + self.order.seconds
        if self.order.rate:
            await self.open_loop(began)
        else:
            await asyncio.gather(*(self.closed_loop() for _ in range(self.order.connections)))
        took = time.perf_counter() - began
        milliseconds = [1000 * latency for latency in self.latencies]
        return {
            "rate": len(milliseconds) / took,
            "statuses": self.statuses,
            **{f"p{share}": percentile(milliseconds, share) for share in (50, 95, 99)},
            "load": (time.process_time() - cpu) / took,
        }

    async def closed_loop(self) -> None:
        while (now := time.perf_counter()) < self.end:
            await self.ask(now)

    async def open_loop(self, began: float) -> None:
        asked = []
        for number in range(int(self.order.rate * self.order.seconds)):
            due = began + number / self.order.rate
            await asyncio.sleep(due - time.perf_counter())
            asked.append(asyncio.create_task(self.ask(due)))
        await asyncio.gather(*asked)

    async def ask(self, due: float) -> None:
        turn = next(self.turns) % len(self.order.pages)
        path, value = self.order.pages[turn]
        known = b"If-None-Match: %s\r\n" % self.etags[turn] if turn in self.etags else b""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHX-Request: true\r\n{self.order.header}: {value}\r\n".encode()
        status, etag = await self.answer_to(request + known + b"\r\n")
        self.latencies.append(time.perf_counter() - due)
        self.statuses[status] += 1
        if self.order.conditional and etag:
            self.etags[turn] = etag

    async def answer_to(self, request: bytes) -> tuple[str, bytes]:
        while self.idle:
            connection = self.idle.pop()
            if connection.transport.is_closing():
                continue
            try:
                answer = await connection.ask(request)
            except ConnectionError:
                continue  # the server closed it for its idleness, while the request was on its way
            break
        else:
            connection = await self.connect()
            answer = await connection.ask(request)
        self.idle.append(connection)
        return answer

    async def connect(self) -> "Connection":
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, "127.0.0.1", self.order.port))[1]


class Connection(asyncio.Protocol):
    """One request at a time: `await ask(bytes)` returns status and ETag once the response is complete."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.answer: asyncio.Future[tuple[str, bytes]] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[tuple[str, bytes]]":
        self.received = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or self.answer is None:
            return
        head = self.received[:end]
        length = LENGTH.search(head)
        if len(self.received) >= end + 4 + (int(length[1]) if length else 0):
            etag = ETAG.search(head)
            self.answer.set_result((head[9:12].decode(), etag[1] if etag else b""))
            self.answer = None
            if b"\r\nConnection: close" in head:
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error or ConnectionError("closed before the answer"))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Generator(Order(**json.load(sys.stdin))).run())))
