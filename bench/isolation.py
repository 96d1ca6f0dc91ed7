"""One channel whose provider is in trouble, beside a healthy one: what the healthy one makes goes on as before.

`ISOLATION_SECONDS=300` orders for so long with each kind of trouble.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from typing import Any, ClassVar

from django.conf import settings

from accounts.models import User
from bench import measure, rows, servers
from bench.report import line, say
from videos.catalogue.routing import Overloaded
from videos.generation import lifecycle, ordering
from videos.models import Channel, Status, Video, VideoModel
from videos.order import VideoOrder

RENDER, EVERY = 5, 0.4  # seconds: of a render, and between two orders at each channel
SECONDS = int(os.environ.get("ISOLATION_SECONDS", "40"))


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    """A line for each kind of trouble. Each is compared with runs without trouble before and after all of them."""
    env = {"USE_MOCK_SORA": "false", "PRIVATE_NETWORKS_ALLOWED": "127.0.0.0/8"}
    users, seconds = rows.people(100), 3 if tiny else SECONDS
    with servers.another_simulator(RENDER, settings.DATA_DIR / "well") as url:
        settings.USE_MOCK_SORA = False
        settings.PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]
        well = _model("well", url)
        with servers.managed("videoworker", **env):
            _delays(well, None, users, 1 if tiny else 10)  # the worker has begun
            found: dict[str, list[float]] = {}
            usual = _delays(well, None, users, seconds)
            for name, trouble in TROUBLES.items():
                say(f"trouble at another channel: {name}")
                with trouble() as at:
                    found[name] = _delays(well, _model(f"ill-{len(found)}", at), users, seconds)
            usual += _delays(well, None, users, seconds)
    rows.verify()
    made = len(usual) / 2
    for name, delays in found.items():
        p95, share = measure.percentile(delays, 95), len(delays) / made
        ratio = p95 / measure.percentile(usual, 95)
        yield line(
            f"isolation_{name}",
            p95,
            "s (p95) of delay at the healthy channel",
            ratio=ratio,
            against="the same channel without trouble at another",
            n=len(delays),
            target="<= 1.1 times, and >= 0.9 of the videos",
            met=ratio <= 1.1 and share >= 0.9,
            videos=share,
        )


def _model(slug: str, url: str) -> VideoModel:
    """A model that only a channel at this address makes."""
    model = VideoModel.objects.create(slug=slug, name=slug, sizes=["1280x720"], lengths=[4])
    channel = Channel.objects.create(
        slug=slug, base_url=url, max_running=None, max_submits_per_minute=None, honours_idempotency_key=True
    )
    model.offers.create(channel=channel, provider_model="sora-2")
    return model


def _delays(well: VideoModel, ill: VideoModel | None, users: list[User], seconds: float) -> list[float]:
    """Order at both for so long. Seconds from order to file, beyond RENDER, of what was made at the healthy one by then."""
    began = time.monotonic()
    videos: list[Video] = []
    for number, user in zip(count(1), cycle(users)):
        videos.append(_order(user, well))
        if ill:
            with suppress(Overloaded):
                _order(user, ill)
        time.sleep(max(0.0, began + number * EVERY - time.monotonic()))
        if time.monotonic() - began > seconds:
            break
    time.sleep(RENDER + 10)
    made = Video.objects.filter(pk__in=[video.pk for video in videos], status=Status.COMPLETED)
    delays = [
        (ended - created).total_seconds() - RENDER
        for created, ended in made.values_list("created_at", "ended_at")
        if ended
    ]
    for video in Video.objects.live():
        lifecycle.fail(video, "stopped")
    return delays


def _order(user: User, model: VideoModel) -> Video:
    return ordering.place(
        user, VideoOrder(model=model, prompt=rows.PROMPT, size=model.sizes[0], seconds=model.lengths[0])
    )


# --- Troubles -------------------------------------------------------------------------------------


class _Ill(BaseHTTPRequestHandler):
    """Takes every other order, and is ill in all other answers."""

    protocol_version = "HTTP/1.1"
    numbers = count()
    over: ClassVar[threading.Event]
    be_ill: ClassVar[Callable[["_Ill"], None]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        number = next(self.numbers)
        if number % 2:
            self.be_ill()
        else:
            self.say(200, b'{"id": "job-%d", "object": "video", "status": "queued"}' % number)

    def do_GET(self) -> None:
        self.be_ill()

    def say(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, pause: float, piece: bytes, length: int) -> None:
        with suppress(OSError):
            self.say(200, length=length)
            while not self.over.wait(pause):
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _server(be_ill: Callable[[_Ill], None], scheme: str = "http") -> Iterator[str]:
    handler = type("Ill", (_Ill,), {"be_ill": be_ill, "over": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}/v1"
    finally:
        handler.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _no_connection() -> Iterator[str]:
    """An address where connections are neither accepted nor refused, since the queue of those that wait is full."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        for one in waiting:
            one.close()


TROUBLES: dict[str, Callable[[], Any]] = {
    "connect": _no_connection,
    "body": lambda: _server(lambda ill: ill.trickle(600, b"", 1_000_000)),
    "trickle": lambda: _server(lambda ill: ill.trickle(1, b" ", 1_000_000)),
    "500": lambda: _server(lambda ill: ill.say(500)),
    "401": lambda: _server(lambda ill: ill.say(401)),
    "endless": lambda: _server(lambda ill: ill.trickle(0, b" " * 65_536, 10**12)),
    "redirects": lambda: _server(lambda ill: ill.say(302, Location=ill.path)),
    "tls": lambda: _server(lambda ill: ill.say(200), scheme="https"),
}
