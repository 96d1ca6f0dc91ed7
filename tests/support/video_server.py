"""A provider that answers `/v1/videos` as a test says."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.utils import timezone

from tests.support.fixtures import serve


@contextmanager
def server(answer):
    """A real HTTP server; `answer(method, path)` gives (status, body), or None to hang up without a word."""

    class Handler(BaseHTTPRequestHandler):
        def do(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(self.command, self.path)
            if reply is None:
                self.close_connection = True
                return
            body = json.dumps(reply[1]).encode()
            self.send_response(reply[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        serve(http)
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


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
