"""Serving a long video by byte range: our view against Django's FileResponse and, if installed, nginx."""

import http.client
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import Popen
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from bench import measure, rows, servers
from bench.report import line, say
from bench.site import free_port
from videos import child_processes
from videos.models import Status, Video

MIB = 2**20


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    size, rounds = (MIB, 1) if tiny else (60 * MIB, 15)
    owner = rows.people(1)[0]
    name = default_storage.save("videos/long.mp4", ContentFile(os.urandom(size)))
    video = _finished(owner, name, size)
    cookie = rows.cookie(owner)

    with ExitStack() as stack:
        stack.enter_context(servers.web())
        contestants = {
            "product": partial(_fetch, settings.PORT, f"/videos/{video.pk}/file/", cookie, size),
            "FileResponse": partial(_fetch, settings.PORT, f"/bench/file/{video.pk}/", cookie, size),
        }
        if shutil.which("nginx"):
            port = stack.enter_context(_nginx())
            contestants["nginx"] = partial(_fetch, port, f"/{name}", "", size)
        for contestant in contestants.values():
            contestant()  # warm-up
        say(f"{rounds} times {size // MIB} MiB from {', '.join(contestants)}")
        speeds = measure.alternate(rounds, contestants)

    figures = {"product": speeds["product"], **speeds}
    for line_name, other, against in (
        ("playback", "FileResponse", "Django's FileResponse behind the same server and sign-in"),
        ("playback_nginx", "nginx", "nginx, serving the file itself"),
    ):
        if other in figures:
            yield line(
                line_name,
                median(speeds["product"]),
                "MiB/s",
                ratio=measure.ratio(speeds["product"], speeds[other]),
                against=against,
                n=rounds,
                other=median(speeds[other]),
                mib=size // MIB,
            )


def _finished(owner: Any, name: str, size: int) -> Video:
    now = timezone.now()
    return rows.orders(
        [owner],
        1,
        status=Status.COMPLETED,
        progress=100,
        file=name,
        bytes=size,
        sha256="0" * 64,
        ended_at=now,
    )[0]


def _fetch(port: int, path: str, cookie: str, size: int) -> float:
    """MiB per second for one player that reads the whole file, with a request like a browser's."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    buffer = memoryview(bytearray(MIB))
    began = time.perf_counter()
    connection.request("GET", path, headers={"Range": "bytes=0-", "Cookie": cookie})
    answer = connection.getresponse()
    got = 0
    while count := answer.readinto(buffer):
        got += count
    took = time.perf_counter() - began
    connection.close()
    if got != size:
        raise AssertionError(f"{path} answers {answer.status} with {got} of {size} bytes")
    return size / MIB / took


@contextmanager
def _nginx() -> Iterator[int]:
    port, folder = free_port(), Path(settings.DATA_DIR) / "nginx"
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log; user root; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {settings.MEDIA_ROOT}; }} }}\n"
    )
    process = child_processes.start(["nginx", "-p", str(folder), "-c", str(configuration)])
    try:
        _wait_for(port, process)
        yield port
    finally:
        child_processes.stop([process], seconds=5)


def _wait_for(port: int, process: Popen[bytes]) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nginx is not listening: {process.poll()}")
