"""The baseline: the usual design, in which a worker process is occupied by a video from submission to stored file.

It polls once per second, processes the file just like the product, and has neither database rows nor a ledger.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

import openai

from bench import measure, rows
from videos.media import inspection, storage

WORKERS = 4
POLL_INTERVAL = 1  # seconds


@dataclass(frozen=True)
class Made:
    """One video: the provider's id, when it was stored (Unix seconds), and what its worker has used so far."""

    ref: str
    at: float
    pid: int
    cpu: float  # seconds since the worker was ready
    peak_memory: int  # bytes


@contextmanager
def workers(base_url: str, folder: Path) -> Iterator["SimpleQueue[Made]"]:
    """Run WORKERS processes, each making one video after another."""
    fork = multiprocessing.get_context("fork")
    made, over = fork.SimpleQueue(), fork.Event()
    crew = [fork.Process(target=_work, args=(base_url, folder, made, over)) for _ in range(WORKERS)]
    for worker in crew:
        worker.start()
    try:
        yield made
    finally:
        over.set()
        for worker in crew:
            worker.terminate()
            worker.join()


def take(made: "SimpleQueue[Made]", count: int) -> list[Made]:
    """Wait for the next `count` finished videos."""
    return [made.get() for _ in range(count)]


def _work(base_url: str, folder: Path, made: "SimpleQueue[Made]", over: Event) -> None:
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
    part = folder / f"usual-{os.getpid()}.part"
    before = time.process_time()
    while not over.is_set():
        video = client.videos.create(model="sora-2", prompt=rows.PROMPT, size="1280x720", seconds="4")
        while video.status in ("queued", "in_progress"):
            time.sleep(POLL_INTERVAL)
            video = client.videos.retrieve(video.id)
        with client.videos.with_streaming_response.download_content(video.id) as response:
            response.stream_to_file(part)
        storage.store(part, *inspection.look(part))
        spent = time.process_time() - before
        made.put(Made(video.id, time.time(), os.getpid(), spent, measure.peak_memory(os.getpid())))
