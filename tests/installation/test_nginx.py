"""Local files behind nginx: the site says who may have which, and nginx, with the configuration of deploy/, sends them."""

import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from tests.support.api_client import Program
from tests.support.fixtures import TEST_TIMEOUT, new_user, order, signed_in
from tests.support.installation import free_port, listens
from videos.models import Status, Video
from videos.serializers import public_id

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
TEN = b"0123456789"
SHA256 = "a1" * 32

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light"),
]


@pytest.fixture
def nginx(live_server, settings, tmp_path):
    """The address of an nginx before a site, both real."""
    settings.X_ACCEL_PREFIX = "/protected/"
    with nginx_before(live_server.url, tmp_path) as url:
        yield url


@contextmanager
def nginx_before(upstream, folder, plain=0):
    port = free_port()
    temporary = " ".join(f"{kind}_temp_path {kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    main = folder / "nginx.conf"
    main.write_text(
        "daemon off; master_process off; error_log stderr; pid nginx.pid; events {}\n"
        f"http {{ access_log off; client_body_temp_path body; {temporary} types {{ text/css css; }}\n"
        f"{configuration(upstream, port, folder, plain)} }}"
    )
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(main)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not listens(port):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=TEST_TIMEOUT)


def configuration(upstream, port, folder, plain=0):
    """The configuration of deploy/, on these addresses and without TLS."""
    text = CONFIGURATION.read_text()
    text = text.replace("127.0.0.1:8000", upstream.removeprefix("http://"))
    text = text.replace("/srv/aivideo/data", str(folder))
    text = text.replace("listen 443 ssl http2", f"listen 127.0.0.1:{port}")
    text = text.replace("listen 80", f"listen 127.0.0.1:{plain or free_port()}")
    text = text.replace(
        "server_name video.example.com;", "server_name video.example.com www.example.com 127.0.0.1;"
    )
    return re.sub(r"^ *(ssl_\w+|listen \[::\]).*;$", "", text, flags=re.MULTILINE)


@pytest.fixture
def video():
    video = order(new_user())
    name = default_storage.save("videos/ten.mp4", ContentFile(TEN))
    Video.objects.filter(pk=video.pk).update(status=Status.COMPLETED, file=name, sha256=SHA256)
    return video


def ask(nginx, video, user=None, method="GET", query="", **headers):
    """What the video's owner gets for it, or `user`."""
    session = signed_in(user or video.user).cookies["sessionid"].value
    return requests.request(
        method,
        f"{nginx}/videos/{video.pk}/file/{query}",
        cookies={"sessionid": session},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_the_site_sends_no_byte_itself(settings, video):
    settings.X_ACCEL_PREFIX = "/protected/"
    answer = signed_in(video.user).get(f"/videos/{video.pk}/file/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["X-Accel-Redirect"] == f"/protected/{Video.objects.get(pk=video.pk).file.name}"


def test_ranges_are_answered_as_without_nginx(nginx, video):
    def told(**headers):
        answer = ask(nginx, video, **headers)
        body = answer.content if answer.ok else b""
        return answer.status_code, answer.headers.get("Content-Range"), body

    whole = (200, None, TEN)
    assert {
        "no range": told(),
        "the middle": told(range="bytes=4-6"),
        "the end": told(range="bytes=-3"),
        "too far": told(range="bytes=99-"),
        "several": told(range="bytes=0-1,3-4"),
        "if it is the same": told(range="bytes=8-", if_range=f'"{SHA256}"'),
        "if it is another": told(range="bytes=8-", if_range='"other"'),
        "of some date": told(range="bytes=8-", if_range="Wed, 21 Oct 2026 07:28:00 GMT"),
        "already there": told(if_none_match=f'"{SHA256}"'),
        "another is there": told(if_none_match='"other"'),
    } == {
        "no range": whole,
        "the middle": (206, "bytes 4-6/10", b"456"),
        "the end": (206, "bytes 7-9/10", b"789"),
        "too far": (416, "bytes */10", b""),
        "several": whole,
        "if it is the same": (206, "bytes 8-9/10", b"89"),
        "if it is another": whole,
        "of some date": whole,
        "already there": (304, None, b""),
        "another is there": whole,
    }


def test_the_headers_are_those_of_the_site(nginx, video, settings):
    names = (
        "Content-Type",
        "Content-Disposition",
        "Content-Length",
        "ETag",
        "Last-Modified",
        "Cache-Control",
        "Vary",
        "X-Content-Type-Options",
        "Content-Security-Policy",
        "X-Frame-Options",
        "Referrer-Policy",
        "Permissions-Policy",
        "Cross-Origin-Resource-Policy",
        "X-Request-Id",
    )
    for query, headers in (("", {}), ("?download=1", {}), ("", {"range": "bytes=2-3"})):
        headers = headers | {"x_request_id": "mine"}
        by_nginx = ask(nginx, video, query=query, **headers)
        settings.X_ACCEL_PREFIX = ""
        by_site = ask(nginx, video, query=query, **headers)
        settings.X_ACCEL_PREFIX = "/protected/"
        assert {n: by_nginx.headers.get(n) for n in names} == {n: by_site.headers.get(n) for n in names}
    head = ask(nginx, video, method="HEAD")
    told = {name: head.headers[name] for name in ("Content-Length", "Accept-Ranges")}
    assert (head.status_code, told) == (200, {"Content-Length": "10", "Accept-Ranges": "bytes"})


def test_a_page_of_another_site_may_read_a_file_of_the_api(nginx, video):
    program = Program(video.user)
    answer = requests.get(
        f"{nginx}/v1/videos/{public_id(video.pk)}/content",
        headers={"Authorization": f"Bearer {program.text}", "Origin": "https://elsewhere.example"},
    )
    assert (answer.status_code, answer.content) == (200, TEN)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]
    assert {"X-Request-Id", "OpenAI-Processing-Ms", "RateLimit-Remaining"} <= set(answer.headers)
    by_session = ask(nginx, video)
    assert "Access-Control-Allow-Origin" not in by_session.headers


def test_A03_a_stranger_and_a_guessed_path_find_nothing(nginx, video):
    name = Video.objects.get(pk=video.pk).file.name
    assert ask(nginx, video, user=new_user()).status_code == 404
    for path in (f"/protected/{name}", f"/protected%2f{name}", f"/static/../protected/{name}", "/protected/"):
        assert requests.get(nginx + path).status_code == 404
    anonymous = requests.get(f"{nginx}/videos/{video.pk}/file/", allow_redirects=False)
    assert anonymous.headers["Location"].startswith("/accounts/login/")


def test_static_files_are_kept_as_long_as_their_names_allow(nginx, tmp_path):
    (tmp_path / "static").mkdir()
    for name in ("page.css", "page.0123456789ab.css"):
        (tmp_path / "static" / name).write_text("body {}")
    kept = {
        name: requests.get(f"{nginx}/static/{name}").headers.get("Cache-Control")
        for name in ("page.css", "page.0123456789ab.css")
    }
    served = requests.get(f"{nginx}/static/page.0123456789ab.css").headers
    assert served["Cross-Origin-Resource-Policy"] == "same-origin"
    assert kept == {
        "page.css": "public, max-age=60",
        "page.0123456789ab.css": "public, max-age=31536000, immutable",
    }
    assert requests.get(f"{nginx}/static/../nginx.conf").status_code == 404


def test_A52_what_visitors_say_of_themselves_does_not_reach_the_site(tmp_path):
    heard = {}

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.update(self.headers)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.handle_request, daemon=True).start()
        with nginx_before(f"http://127.0.0.1:{site.server_port}", tmp_path) as url:
            forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
            requests.get(url, headers=forged)
    said = {name: heard[name] for name in ("Host", "X-Forwarded-Proto", "X-Forwarded-For")}
    assert said == {"Host": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1"}


@pytest.mark.parametrize("host", ["video.example.com", "www.example.com"])
def test_without_tls_each_name_of_the_site_leads_to_its_first(tmp_path, host):
    plain = free_port()
    with nginx_before("http://127.0.0.1:9", tmp_path, plain):
        answer = requests.get(
            f"http://127.0.0.1:{plain}/videos/?a=b", headers={"Host": host}, allow_redirects=False
        )
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://video.example.com/videos/?a=b")


@pytest.mark.parametrize("host", ["evil.example", "evil.video.example.com", "video.example.com.evil.example"])
def test_names_that_are_not_the_sites_get_no_answer(tmp_path, host):
    plain = free_port()
    with nginx_before("http://127.0.0.1:9", tmp_path, plain) as url:
        for address in (f"http://127.0.0.1:{plain}", url):
            with pytest.raises(requests.ConnectionError):
                requests.get(address, headers={"Host": host}, allow_redirects=False)
