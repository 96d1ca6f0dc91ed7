"""A provider that answers `/v1/videos` as a test says."""

import json
from contextlib import contextmanager

from django.utils import timezone

from tests.support.http_server import Handler, LocalServer


@contextmanager
def server(answer):
    """A real HTTP server; `answer(method, path)` gives (status, body), or None to hang up without a word."""

    class VideoHandler(Handler):
        def do(self):
            self.body()
            said = answer(self.command, self.path)
            if said is None:
                self.close_connection = True
                return
            self.reply(said[0], json.dumps(said[1]).encode())

        do_GET = do_POST = do

    with LocalServer(VideoHandler) as server:
        yield f"{server.url}/v1"


def job(clock=0, **fields):
    """A video object of a provider that was made just now, by a clock that is `clock` seconds ahead of ours."""
    return {
        "id": "job-1",
        "object": "video",
        "model": "sora-2",
        "status": "in_progress",
        "progress": 0,
        "created_at": int(timezone.now().timestamp()) + clock,
        "prompt": "A red kite over the sea",
        "size": "1280x720",
        "seconds": "4",
        **fields,
    }
