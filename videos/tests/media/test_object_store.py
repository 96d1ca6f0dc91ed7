"""Files in an object store, against a real S3 server: stored, handed out by signed links, deleted, and not there."""

import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from urllib.parse import parse_qs, urlsplit

import av
import pytest
import requests
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from PIL import Image

from aivideo import health
from tests.support.browser import CHROMIUM, FLAGS
from tests.support.fixtures import (
    TEST_TIMEOUT,
    entries,
    new_user,
    order,
    pump_until_done,
    signed_in,
    wait_until,
)
from tests.support.http_server import Handler, LocalServer
from tests.support.s3 import BUCKET, S3Server
from tests.support.sabotage import becomes, without
from videos import timing
from videos.generation import lifecycle
from videos.media import inspection, storage
from videos.media.object_store import SIGNED_SECONDS
from videos.media.presets import SAMPLES, samples
from videos.models import Status, Video
from videos.providers.base import JobState
from videos.serializers import video_object
from videos.worker import dispatcher, steps

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server():
    with S3Server() as server:
        yield server


@pytest.fixture(autouse=True)
def _in_the_store(server, settings):
    server.empty()
    use(settings, server.settings)


def use(settings, values):
    for name, value in values.items():
        setattr(settings, name, value)
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "videos.media.object_store.ObjectStore"}}


@pytest.fixture
def completed(tmp_path):
    """Makes a finished video for a user, without the provider that would make it."""

    def complete(user):
        part = shutil.copy(SAMPLES / samples()[0]["file"], tmp_path / "sample.part")
        video = order(user)
        lifecycle.mark_submitting(video)
        lifecycle.accept(video, JobState(ref=f"job-{video.pk}", status="completed"))
        lifecycle.finish(video)
        lifecycle.complete(video, storage.store(part, *inspection.look(part)))
        return video

    return complete


def picture():
    out = io.BytesIO()
    Image.linear_gradient("L").save(out, "PNG")
    return SimpleUploadedFile("hill.png", out.getvalue(), "image/png")


def test_a_video_goes_from_order_to_a_ranged_read_and_its_deletion(server, simulator):
    user = new_user()
    video = order(user)
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.status, entries(video)) == (Status.COMPLETED, [("charge", -10)])
    assert sorted(server.names()) == sorted([video.file.name, video.poster.name])

    answer = signed_in(user).get(f"/videos/{video.pk}/file/")
    assert (answer.status_code, answer["Cache-Control"]) == (302, "private, no-store")
    part = requests.get(answer["Location"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert part.headers["Content-Range"] == f"bytes 4-7/{video.bytes}"
    assert (part.headers["Content-Type"], part.headers["Content-Disposition"]) == ("video/mp4", "inline")
    assert part.headers["Cache-Control"] == "private, no-store"

    assert signed_in(user).post(f"/videos/{video.pk}/delete/").status_code == 302
    assert server.names() == []
    assert requests.get(answer["Location"]).status_code in (403, 404)


def test_a_download_brings_its_name_and_a_poster_its_type(completed):
    user = new_user()
    video = completed(user)
    download = requests.get(signed_in(user).get(f"/videos/{video.pk}/file/?download=1")["Location"])
    assert re.fullmatch(
        r'attachment; filename="aivideo-[\d-]+\.mp4"', download.headers["Content-Disposition"]
    )
    assert len(download.content) == video.bytes
    poster = requests.get(signed_in(user).get(f"/videos/{video.pk}/poster/")["Location"])
    assert (poster.headers["Content-Type"], poster.content[8:12]) == ("image/webp", b"WEBP")


@without(
    "the owner check on a video",
    "videos.pages.video.own",
    becomes("user.videos", "user.videos.model.objects"),
)
def test_A03_only_the_owner_gets_a_link(completed):
    video = completed(new_user())
    for page in ("file", "poster"):
        assert signed_in(new_user()).get(f"/videos/{video.pk}/{page}/").status_code == 404
        assert "/accounts/login/" in Client().get(f"/videos/{video.pk}/{page}/")["Location"]


@without(
    "the expiry of a signed link",
    "videos.media.object_store.ObjectStore.get_default_settings",
    becomes("SIGNED_SECONDS", "7 * 24 * 3600"),
)
@pytest.mark.parametrize("method", ["get", "head"])
def test_A04_a_link_is_signed_for_one_object_one_method_and_a_few_minutes(method):
    user = new_user()
    upload = user.uploads.create(file="uploads/x.jpg", sha256="1" * 64, width=1, height=1)
    answer = getattr(signed_in(user), method)(f"/uploads/{upload.pk}/")
    link = urlsplit(answer["Location"])
    said = {name: values[0] for name, values in parse_qs(link.query).items()}
    assert link.path == f"/{BUCKET}/uploads/x.jpg"
    assert (said["X-Amz-Algorithm"], said["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", str(SIGNED_SECONDS))
    assert SIGNED_SECONDS <= 300
    assert answer.content == b""
    other = "head" if method == "get" else "get"
    signature = parse_qs(urlsplit(getattr(signed_in(user), other)(link_page(upload))["Location"]).query)
    assert signature["X-Amz-Signature"] != [said["X-Amz-Signature"]]


@without(
    "the short life of a redirect to the store",
    "videos.api.actions.REDIRECT_SECONDS",
    becomes("60", "24 * 3600"),
)
def test_A04_an_api_link_leads_to_the_store_for_a_minute_and_ends_with_its_owner(completed):
    user = new_user()
    link = urlsplit(video_object(completed(user))["url"]).path
    answer = Client().get(link)
    signature = parse_qs(urlsplit(answer["Location"]).query)
    assert (answer.status_code, signature["X-Amz-Expires"]) == (302, ["60"])
    assert requests.get(answer["Location"], headers={"Range": "bytes=4-7"}).content == b"ftyp"
    user.is_active = False
    user.save(update_fields=["is_active"])
    assert Client().get(link).status_code == 404


def link_page(upload):
    return f"/uploads/{upload.pk}/"


def test_an_uploaded_picture_is_stored_shown_and_sent_to_the_provider(server, simulator):
    user = new_user()
    order_form = {
        "prompt": "Wind",
        "model": "sora-2",
        "seconds": "4",
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    assert signed_in(user).post("/", {**order_form, "file": picture()}).status_code == 302
    upload = user.uploads.get()
    shown = requests.get(signed_in(user).get(link_page(upload))["Location"])
    assert (shown.headers["Content-Type"], shown.content[:2]) == ("image/jpeg", b"\xff\xd8")

    sent = steps.job_request(user.videos.get()).image
    assert Image.open(io.BytesIO(sent)).size == (1280, 720)
    user.videos.get().delete()


# --- The store is away ----------------------------------------------------------------------------


@pytest.fixture
def away(settings):
    """A store that does not answer until `away.start()`."""
    server = S3Server()
    use(settings, server.settings)
    yield server
    if hasattr(server, "process"):
        server.stop()


def test_a_finished_video_waits_for_the_store_and_completes_when_it_is_back(away, simulator, monkeypatch):
    monkeypatch.setattr(timing, "LONGEST_WAIT", 1.0)
    user = new_user()
    video = order(user)
    waiting = Video.objects.filter(pk=video.pk, status=Status.SAVING, attempts__gt=0)
    pumping = threading.Thread(target=dispatcher.run)
    pumping.start()
    wait_until(waiting.exists)
    away.start()
    pumping.join()
    pump_until_done(30)
    video.refresh_from_db()
    assert (video.status, entries(video)) == (Status.COMPLETED, [("charge", -10)])
    assert sorted(away.names()) == sorted([video.file.name, video.poster.name])


def test_a_picture_that_cannot_be_kept_is_told_beside_its_field_and_costs_nothing(away):
    user = new_user()
    order_form = {
        "prompt": "Wind",
        "model": "sora-2",
        "seconds": "4",
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    answer = signed_in(user).post("/", {**order_form, "file": picture()})
    assert (answer.status_code, user.uploads.count(), user.videos.count()) == (422, 0, 0)
    assert "Pictures cannot be stored right now" in answer.content.decode()


def test_a_video_is_deleted_for_its_owner_while_the_store_is_away(away):
    user = new_user()
    video = order(user)
    lifecycle.fail(video, "generation_failed")
    Video.objects.filter(pk=video.pk).update(file="videos/x.mp4")
    assert lifecycle.delete(Video.objects.get(pk=video.pk))
    assert signed_in(user).get(f"/videos/{video.pk}/file/").status_code == 404


def test_readyz_and_doctor_say_that_the_store_does_not_answer(away, capsys):
    assert Client().get("/readyz").json()["storage"] == "StoreError"
    with pytest.raises(SystemExit):
        call_command("doctor")
    assert (
        f"storage: StoreError: bucket {BUCKET}: the store does not answer: check AWS_S3_ENDPOINT_URL"
        in capsys.readouterr().out
    )


# --- What is wrong with a set-up ------------------------------------------------------------------


def test_a_store_that_works_is_ready_and_keeps_no_trace_of_being_asked(server):
    assert (health.problem(health.storage), server.names()) == (None, [])


def test_a_bucket_that_does_not_exist_is_named(settings):
    settings.AWS_STORAGE_BUCKET_NAME = "nowhere"
    use(settings, {})
    assert "bucket nowhere: the bucket does not exist: create it, or correct AWS_STORAGE_BUCKET_NAME" in str(
        health.problem(health.storage)
    )


@pytest.fixture
def strict():
    """A server that checks keys and what they may do, from now on."""
    with S3Server() as server:
        without_rights = server.make_user_without_rights()
        requests.post(f"{server.url}/moto-api/reset-auth", data=b"0")
        yield server, without_rights


def test_wrong_keys_and_missing_rights_are_told_apart(strict, settings):
    server, (key, secret) = strict
    found = {}
    for name, keys in {
        "unknown key": ("AKIAUNKNOWN", "x"),
        "wrong secret": (key, "x"),
        "no rights": (key, secret),
    }.items():
        use(settings, {**server.settings, "AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]})
        found[name] = str(health.problem(health.storage))
    assert "correct AWS_ACCESS_KEY_ID" in found["unknown key"]
    assert "correct AWS_SECRET_ACCESS_KEY" in found["wrong secret"]
    assert "the key may not do this: allow it s3:ListBucket" in found["no rights"]


SHOW_ORIGINS = """
import django; django.setup()
from django.conf import settings
from django.core.files.storage import default_storage
said = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
link = default_storage.link("videos/x.mp4", method="GET", content_type="video/mp4", disposition="inline")
print(link, *said["media-src"][1:], *said["img-src"][3:])
"""


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        ({"AWS_S3_REGION_NAME": "eu-central-1"}, "https://a-bucket.s3.eu-central-1.amazonaws.com"),
        ({"AWS_S3_REGION_NAME": "us-east-1"}, "https://a-bucket.s3.us-east-1.amazonaws.com"),
        ({"AWS_S3_ENDPOINT_URL": "https://store.example.com:9000"}, "https://store.example.com:9000"),
    ],
)
def test_pages_may_show_what_links_point_at_and_nothing_else(place, origin):
    env = {**os.environ, "AWS_STORAGE_BUCKET_NAME": "a-bucket", **place}
    env |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    shown = subprocess.run([sys.executable, "-c", SHOW_ORIGINS], env=env, capture_output=True, text=True)
    link, *allowed = shown.stdout.split()
    assert (allowed, link.startswith(f"{origin}/")) == ([origin, origin], True)


# --- Objects --------------------------------------------------------------------------------------


def test_a_name_is_never_stored_over():
    names = [default_storage.save("videos/x.mp4", ContentFile(body)) for body in (b"one", b"two")]
    assert len(set(names)) == 2
    assert [default_storage.open(name).read() for name in names] == [b"one", b"two"]


def test_a_large_file_travels_in_parts(server, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(20 * 1024**2))
    with path.open("rb") as file:
        name = default_storage.save("videos/large.mp4", File(file))
    assert server.client().head_object(Bucket=BUCKET, Key=name)["ETag"].endswith('-3"')
    assert default_storage.size(name) == 20 * 1024**2


def test_an_upload_that_breaks_off_leaves_nothing(server):
    class Torn(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 10 * 1024**2:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        default_storage.save("videos/torn.mp4", File(Torn(bytes(20 * 1024**2))))
    assert server.names() == []
    assert "Uploads" not in server.client().list_multipart_uploads(Bucket=BUCKET)


def test_a_missing_object_is_a_missing_file():
    with pytest.raises(FileNotFoundError):
        default_storage.open("videos/nothing.mp4")
    default_storage.delete("videos/nothing.mp4")


def test_many_threads_share_one_store():
    def use_it(number):
        name = default_storage.save(f"videos/{number}.mp4", ContentFile(b"%d" % number))
        return default_storage.open(name).read()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use_it, range(24))) == [b"%d" % number for number in range(24)]


# --- The player -----------------------------------------------------------------------------------


class FleetingStore(LocalServer):
    """A store of one video that refuses links once their time is over: moto does not look at their age."""

    def __init__(self, video):
        self.asked = []  # the signature of each request's link
        self.refused = set()
        store = self

        class StoreHandler(Handler):
            def do_GET(self):
                signature = parse_qs(urlsplit(self.path).query)["X-Amz-Signature"][0]
                store.asked.append(signature)
                if signature in store.refused:
                    self.send_error(403)
                    return
                start = int(re.match(r"bytes=(\d+)-", self.headers["Range"]).group(1))
                part = f"bytes {start}-{len(video) - 1}/{len(video)}"
                self.reply(206, video[start:], Content_Type="video/mp4", Content_Range=part)

        super().__init__(StoreHandler)


def long_video(path):
    """Half a minute of noise: more megabytes than a player fetches before it needs them."""
    noise = [Image.frombytes("RGB", (480, 270), os.urandom(480 * 270 * 3)) for _ in range(4)]
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=10, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        for number in range(300):
            frame = av.VideoFrame.from_image(noise[number % 4])
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def test_a_player_that_outlives_its_link_fetches_a_new_one(completed, settings, live_server, tmp_path):
    from playwright.sync_api import sync_playwright  # not in processes that need no browser

    user = new_user()
    video = completed(user)
    Video.objects.filter(pk=video.pk).update(poster="")

    with (
        FleetingStore(long_video(tmp_path / "x.mp4")) as store,
        sync_playwright() as playwright,
    ):
        use(settings, {"AWS_S3_ENDPOINT_URL": store.url})
        policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {**policy, "media-src": ["'self'", store.url]}}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context()
        session = signed_in(user).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        context.set_default_timeout(1000 * TEST_TIMEOUT)
        page = context.new_page()
        page.clock.install()
        page.goto(f"{live_server.url}/videos/{video.pk}/")
        player = page.locator("video")
        player.evaluate("video => video.pause()")
        wait_until(lambda: player.evaluate("video => video.readyState > 2"))
        asked = len(store.asked)

        store.refused.update(store.asked)
        signed = int(time.time())  # within one second, a new link would be the same as the old one
        wait_until(lambda: time.time() >= signed + 1)
        page.clock.fast_forward((SIGNED_SECONDS - 5) * 1000)
        player.evaluate("""video => new Promise((done, late) => {
            setTimeout(late, 120000);
            video.onseeked = done;
            video.currentTime = 20;
        })""")
        assert player.evaluate("({error, paused}) => [error, paused]") == [None, True]
        browser.close()
    assert len(set(store.asked[:asked])) == 1
    assert len(set(store.asked)) == 2
