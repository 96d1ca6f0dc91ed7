"""Visitors who send or read slowly, without an nginx in front of the site: they hold no thread that others need."""

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import requests

from aivideo import web_worker
from tests.support.fixtures import scaled_timeout, wait_until
from tests.support.installation import ROOT, Site
from tests.support.sabotage import becomes, drop, never, without

THREADS = 16  # of the two web processes together
PAGE = 2.0  # seconds until a page is there, on an idle machine
BESIDE = 6.0  # seconds for which pages are asked for beside the slow visitors

# The file of the one video becomes larger than what the system keeps for somebody who does not read.
ENLARGE = """
from django.core.files.storage import default_storage
from videos.models import Video
with open(default_storage.path(Video.objects.get().file.name), "r+b") as file:
    file.truncate(50_000_000)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), API_REQUESTS_A_MINUTE="0") as site:
        yield site


@pytest.fixture(scope="module")
def key(site):
    return site.new_key("program@example.com", 100)


@pytest.fixture(scope="module")
def buyer(site):
    return site.new_key("buyer@example.com", 100)


@pytest.fixture(scope="module")
def video(site, key):
    """The address of a large file."""
    headers = {"Authorization": f"Bearer {key}"}
    made = requests.post(f"{site.url}/v1/videos", json={"prompt": "A kite"}, headers=headers).json()["id"]
    address = f"/v1/videos/{made}"
    wait_until(lambda: requests.get(site.url + address, headers=headers).json()["status"] == "completed")
    site.manage("shell", "--no-imports", "-c", ENLARGE)
    return f"{address}/content"


def connect(site: Site) -> socket.socket:
    visitor = socket.socket()
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    visitor.settimeout(60)
    visitor.connect(("127.0.0.1", site.port))
    return visitor


def is_closed(visitor: socket.socket) -> bool:
    """Whether the site has closed the connection; what it has answered before is read on the way."""
    try:
        while piece := visitor.recv(65_536, socket.MSG_DONTWAIT):
            assert piece
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def head(method: str, path: str, key: str, **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def seconds_of_pages(site: Site) -> list[float]:
    """How long each page took, asked for on a new connection again and again."""
    shown = []
    end = time.monotonic() + BESIDE
    while time.monotonic() < end:
        began = time.monotonic()
        assert requests.get(f"{site.url}/", timeout=60).status_code == 200
        shown.append(time.monotonic() - began)
    return shown


WAYS = ["silent", "half a head", "half a body", "drops of a body", "reads nothing", "second request"]


@without(
    "the wait for the head of a request",
    "aivideo.web_worker.WebWorker.on_pending_socket_readable",
    becomes("client.has_request()", "True"),
    "aivideo.web_worker.VisitorSocket._wait",
    drop("_take_place"),
)
@without("the few places of slow visitors", "aivideo.web_worker.VisitorSocket._wait", drop("_take_place"))
@pytest.mark.parametrize("way", WAYS)
def test_A53_pages_are_answered_beside_slow_visitors(site, key, video, way):
    done = threading.Event()
    body = json.dumps({"prompt": "A kite"}).encode()
    sent = {
        "silent": b"",
        "half a head": head("GET", "/", key)[:-3],
        "half a body": head("POST", "/v1/videos", key, Content_Length=5_000_000) + body,
        "drops of a body": head("POST", "/v1/videos", key, Content_Length=5_000_000),
        "reads nothing": head("GET", video, key),
        "second request": head("GET", "/healthz", key) + head("GET", "/", key)[:-3],
    }
    with ExitStack() as stack:

        def come() -> socket.socket:
            visitor = stack.enter_context(connect(site))
            with suppress(OSError):
                visitor.sendall(sent[way])
            return visitor

        def misbehave() -> None:
            """Come again whenever the site has closed the connection."""
            visitors = [come() for _ in range(3 * THREADS)]
            while not done.wait(0.2):
                for place, visitor in enumerate(visitors):
                    if way != "reads nothing" and is_closed(visitor):
                        visitors[place] = come()
                    elif way == "drops of a body":
                        with suppress(OSError):
                            visitor.send(b" ")

        thread = threading.Thread(target=misbehave)
        thread.start()
        try:
            time.sleep(web_worker.GRACE / 2)
            shown = seconds_of_pages(site)
        finally:
            done.set()
            thread.join()
    print(way, len(shown), max(shown))
    # While the threads wait for the first time, pages wait with them, and never longer.
    assert max(shown) < scaled_timeout(PAGE) + web_worker.GRACE


@without(
    "the room that is made for newcomers",
    "aivideo.web_worker.WebWorker.accept",
    never("self.nr_conns >= self.worker_connections"),
)
def test_A53_who_comes_after_two_thousand_silent_visitors_is_answered(site):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(2_000):
            stack.enter_context(connect(site))
        assert max(seconds_of_pages(site)) < scaled_timeout(PAGE) + web_worker.GRACE


def test_a_head_in_pieces_and_a_body_that_takes_its_time_are_answered(site, key):
    body = json.dumps({"prompt": "A kite"}).encode()
    request = head("POST", "/v1/videos/quote", key, Content_Length=len(body), Connection="close") + body
    with connect(site) as visitor:
        for start in range(0, len(request), 40):
            visitor.sendall(request[start : start + 40])
            time.sleep(0.3)
        answer = b"".join(iter(lambda: visitor.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"accepted": true' in answer


def test_a_file_that_is_read_slowly_arrives_whole(site, key, video):
    with connect(site) as visitor:
        visitor.sendall(head("GET", video, key, Range="bytes=0-9999999", Connection="close"))
        answer, paused = b"", time.monotonic() + 2 * web_worker.GRACE
        while piece := visitor.recv(65_536):
            answer += piece
            if time.monotonic() < paused:
                time.sleep(0.01)
    assert len(answer.partition(b"\r\n\r\n")[2]) == 10_000_000


def test_one_connection_serves_many_requests(site, key):
    with connect(site) as visitor:
        for together in (1, 1, 3):
            visitor.sendall(head("GET", "/healthz", key) * together)
            answers = b""
            while answers.count(b"ok 0.") < together:
                answers += (more := visitor.recv(4096))
                assert more


BODIES = {
    "application/json": b'{"prompt": "A kite"}',
    "application/x-www-form-urlencoded": b"prompt=A+ki",
    "multipart/form-data; boundary=x": (
        b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA ki\r\n--x--\r\n'
    ),
}


@pytest.mark.parametrize("rest", [b"", b"5\r\n", b"x\r\n", b'4\r\n{"pr'])
def test_chunks_that_are_cut_off_order_nothing_and_are_no_error_of_the_site(site, buyer, rest):
    began = len(site.log.read_text())
    json_in_chunks = {"Transfer_Encoding": "chunked", "Content_Type": "application/json"}
    with connect(site) as visitor:
        visitor.sendall(head("POST", "/v1/videos", buyer, **json_in_chunks))
        visitor.sendall(b'14\r\n{"prompt": "A kite"}\r\n' + rest)
        visitor.shutdown(socket.SHUT_WR)
        assert visitor.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert site.orders_of("buyer@example.com")[0] == []
    assert "Traceback" not in site.log.read_text()[began:]


@without(
    "the check that a body is whole",
    "aivideo.wsgi.application",
    becomes('WholeBody(environ["wsgi.input"], int(length))', 'environ["wsgi.input"]'),
)
@pytest.mark.parametrize("length", [1_000, 1_000_000])
@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_is_cut_off_orders_nothing_and_is_no_error_of_the_site(site, buyer, kind, length):
    began = len(site.log.read_text())
    with connect(site) as visitor:
        visitor.sendall(head("POST", "/v1/videos", buyer, Content_Length=length, Content_Type=kind))
        visitor.sendall(BODIES[kind])
        visitor.shutdown(socket.SHUT_WR)
        assert visitor.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert site.orders_of("buyer@example.com")[0] == []
    assert "Traceback" not in site.log.read_text()[began:]


def test_a_reload_loads_all_code_anew():
    """gunicorn's first process loads the worker's class, and those that it starts inherit what it has loaded."""
    code = (
        "import sys, aivideo.web_worker;"
        " exec(open('gunicorn.conf.py').read());"
        " print(sorted({'aivideo', 'aivideo.web_worker', 'videos', 'videos.thread_budget'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
