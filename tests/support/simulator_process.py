"""The simulator as a process of its own, asked over HTTP by the SDK and without it."""

import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import openai
from openai.types import Video
from PIL import Image

from simulator import jobs
from tests.support.fixtures import TEST_TIMEOUT, wait_until
from tests.support.webhook_receiver import Receiver

PROJECT = Path(__file__).resolve().parents[2]
PROMPT = "A heron takes off"  # most tests share this one picture


class Answer(NamedTuple):
    status: int
    type: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Simulator:
    """A running `manage.py simulator`."""

    receiver: Receiver

    def __init__(self, process: subprocess.Popen, base_url: str, folder: Path) -> None:
        self.process, self.base_url, self.folder = process, base_url, folder
        self._client = openai.OpenAI(base_url=base_url, api_key="a-key", max_retries=0)

    def client(self, key: str = "a-key", **options) -> openai.OpenAI:
        return self._client.with_options(api_key=key, **options)

    def create(self, prompt: str = PROMPT, key: str = "a-key", **fields) -> Video:
        fields = {"model": "sora-2", "seconds": "4", "size": "720x1280"} | fields
        return self.client(key).videos.create(prompt=prompt, **fields)

    def finished(self, video: Video, key: str = "a-key") -> Video:
        def is_finished() -> bool:
            return self.get(video, key=key).json["status"] not in ("queued", "in_progress")

        wait_until(is_finished)
        return self.client(key).videos.retrieve(video.id)

    def call(
        self,
        method: str,
        path: str,
        key: str | None = "a-key",
        data: dict | bytes | None = None,
        **headers: str,
    ) -> Answer:
        """A request without the SDK, to see what is really sent. Never raises for a status."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if isinstance(data, dict):
            data, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
        url = path if path.startswith("http") else self.base_url + path
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=TEST_TIMEOUT)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(
                answer.status, answer.headers.get_content_type(), dict(answer.headers), answer.read()
            )

    def get(self, video: Video, path: str = "", key: str | None = "a-key", **headers: str) -> Answer:
        return self.call("GET", f"/videos/{video.id}{path}", key, **headers)

    def children(self) -> list[int]:
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]


@contextmanager
def running(folder: Path, seconds: int = 0, **environment: str) -> Iterator[Simulator]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulator", "--port", "0", "--data-dir", str(folder)],
        cwd=PROJECT,
        env={**os.environ, "SIMULATOR_SECONDS": str(seconds), "SIMULATOR_DRAFT": "true", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"simulator is listening on (http://127\.0\.0\.1:\d+/v1)\n", line)
        assert match, line
        yield Simulator(process, match[1], folder)
    finally:
        process.terminate()
        process.wait(TEST_TIMEOUT)
        process.stdout.close()


def image_of(size: str, kind: str = "PNG", left: str = "red", right: str = "blue") -> bytes:
    width, height = map(int, size.split("x"))
    image = Image.new("RGB", (width, height), left)
    image.paste(right, (width // 2, 0, width, height))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def a_job(fault: str, duration: float) -> jobs.Job:
    return jobs.Job(
        *(1, "video_1", "x", "sora-2", "4", "720x1280", frozenset([fault]), "abc", "", None, 0.0, duration),
        submit_key=None,
        body_hash="",
    )
