"""All that may keep a thread of a web process waiting, at once and again and again, and pages asked beside it."""

import io
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from typing import NamedTuple

import pytest
import requests
from PIL import Image

from tests.support import moderation_server
from tests.support.chat_server import fake_chat
from tests.support.fixtures import TEST_TIMEOUT, scaled_timeout, wait_until
from tests.support.installation import Site
from tests.support.moderation_server import ModerationServer
from tests.support.silent_server import SilentServer

DRILL = "/api/video-generation/generate"
PEOPLE = 6
SHEETS = 40  # videos whose sprite sheet nobody has asked for yet
SILENCE = 8  # seconds that each server keeps silent, and that a drill waits
CROWDED = 8  # seconds in which the crowd comes back as soon as it has its answers
PAUSE = 0.5  # seconds between an answer and the next request of the same sender
PAGE = 2.0  # seconds until a page is there, on an idle machine
SLOW = 25.0  # seconds until each answer of a slow path is there: its turn, the silence and a busy machine

# Programs of people with credits, and for each a drill whose video never ends.
PREPARE = f"""
from uuid import uuid4
from accounts import api_keys, staff_grants
from accounts.models import User
for number in range({PEOPLE}):
    person = User.objects.create(username=f"person-{{number}}")
    staff_grants.grant(person, 1000, giver=None, reason="tests", form=uuid4())
    print(api_keys.create(person, "tests")[1])
"""

# Copies of the one completed video, each with a file of its own.
COPY = f"""
import shutil, uuid
from django.core.files.storage import default_storage
from videos.models import Video
from videos.serializers import public_id
video = Video.objects.get(status="completed")
path = default_storage.path(video.file.name)
for _ in range({SHEETS}):
    video.pk, video.ref, video.client_key = uuid.uuid4(), None, None
    video.file = f"videos/{{uuid.uuid4().hex}}.mp4"
    shutil.copy(path, default_storage.path(video.file.name))
    video.save(force_insert=True)
    print(public_id(video.pk))
"""


class Answer(NamedTuple):
    seconds: float
    status: int
    retry_after: str


@pytest.fixture(scope="module")
def moderation() -> Iterator[ModerationServer]:
    with ModerationServer() as server:
        yield server


@pytest.fixture(scope="module")
def chat():
    with fake_chat() as server:
        yield server


@pytest.fixture(scope="module")
def silent() -> Iterator[SilentServer]:
    with SilentServer() as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory, moderation, chat) -> Iterator[Site]:
    settings = {
        "MODERATION_BASE_URL": moderation.url,
        "MODERATION_API_KEY": moderation_server.KEY,
        "PROMPT_HELP_BASE_URL": chat.url,
        "PRIVATE_NETWORKS_ALLOWED": "127.0.0.1/32",
        "API_REQUESTS_A_MINUTE": "0",
    }
    with Site(tmp_path_factory.mktemp("site"), **settings) as site:
        yield site


def test_pages_are_answered_while_every_slow_path_is_crowded(site, moderation, chat, silent):
    keys = site.manage("shell", "--no-imports", "-c", PREPARE).split()
    cookies = site.visitor().sign_in().cookies
    video = send(site, keys[0], "/v1/videos", {"prompt": "A kite"}).json()["id"]
    drills = [{"run_id": f"drill-{n}", "drill_text": "A kite [sim:stuck]"} for n in range(PEOPLE)]
    for key, fields in zip(keys, drills, strict=True):
        assert send(site, key, DRILL, fields).status_code == 202
    wait_until(lambda: send(site, keys[0], f"/v1/videos/{video}").json()["status"] == "completed")
    sheets = cycle(site.manage("shell", "--no-imports", "-c", COPY).split())
    moderation.delay = chat.silence = SILENCE

    numbers, picture, token = count(), large_picture(), {"csrfmiddlewaretoken": cookies["csrftoken"]}

    def wait_for_a_drill(n: int):
        return send(site, keys[n % PEOPLE], DRILL, drills[n % PEOPLE], {"Prefer": f"wait={SILENCE}"})

    def order(n: int):
        return send(site, keys[n % PEOPLE], "/v1/videos", {"prompt": f"Kite number {next(numbers)}"})

    def ask_for_a_better_prompt(_: int):
        form, headers = {**token, "prompt": "A kite"}, {"HX-Request": "true"}
        return requests.post(f"{site.url}/prompt/improve/", form, cookies=cookies, headers=headers)

    def name_a_picture(n: int):
        order = {"prompt": "A kite", "input_reference": {"image_url": f"{silent.url}?{next(numbers)}"}}
        return send(site, keys[n % PEOPLE], "/v1/videos", order)

    def look_at_a_sheet(_: int):
        return send(site, keys[0], f"/v1/videos/{next(sheets)}/content?variant=spritesheet")

    def bring_a_picture(_: int):
        form = {**token, "prompt": "A kite", "nonce": str(uuid.uuid4()), "top_up": "1"}
        files = {"file": ("kite.jpg", picture)}
        return requests.post(f"{site.url}/", form, files=files, cookies=cookies, allow_redirects=False)

    # How many senders each has, and what they may be told.
    crowd = {
        wait_for_a_drill: (8, {202}),
        order: (8, {503}),
        ask_for_a_better_prompt: (4, {200, 503}),
        name_a_picture: (PEOPLE, {400, 429}),
        look_at_a_sheet: (4, {200, 503}),
        bring_a_picture: (4, {302}),
    }
    pages = [
        lambda: requests.get(f"{site.url}/healthz"),
        lambda: requests.get(f"{site.url}/", cookies=cookies),
        lambda: send(site, keys[0], f"/v1/videos/{video}"),
    ]
    answers: dict[Callable, list[Answer]] = defaultdict(list)
    end = time.monotonic() + TEST_TIMEOUT

    def keep_on(what: Callable, n: int) -> None:
        while time.monotonic() < end:
            answers[what].append(timed(lambda: what(n)))
            time.sleep(PAUSE)

    shown: list[Answer] = []
    with ThreadPoolExecutor(sum(many for many, _ in crowd.values())) as pool:
        # First those that find no place any more once the others have come.
        early = (ask_for_a_better_prompt, name_a_picture)
        senders = [pool.submit(keep_on, what, n) for what in early for n in range(crowd[what][0])]
        wait_until(lambda: chat.asked and silent.taken)
        late = [what for what in crowd if what not in early]
        senders += [pool.submit(keep_on, what, n) for what in late for n in range(crowd[what][0])]
        end = time.monotonic() + CROWDED
        while not all(sender.done() for sender in senders):
            shown += map(timed, pages)
            if time.monotonic() > end:
                silent.hang_up()
            time.sleep(0.05)
    for sender in senders:
        sender.result()

    said = {what.__name__: Counter(answer.status for answer in of) for what, of in answers.items()}
    # Printed by pytest if the test fails.
    print(said, len(shown), max(shown), {what.__name__: max(of).seconds for what, of in answers.items()})
    assert {answer.status for answer in shown} == {200}
    assert max(shown).seconds < scaled_timeout(PAGE)
    for what, (_, statuses) in crowd.items():
        assert set(said[what.__name__]) <= statuses
        assert max(answers[what]).seconds < scaled_timeout(SLOW)
    for answer in answers[order] + answers[look_at_a_sheet] + answers[name_a_picture]:
        assert answer.status in (200, 400) or int(answer.retry_after) > 0
    # Each of them did keep threads.
    assert max(answers[wait_for_a_drill]).seconds >= SILENCE
    assert min(len(moderation.asked), len(chat.asked), len(silent.taken)) > 0


def large_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((3000, 2000), 40).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def send(site: Site, key: str, path: str, body: dict | None = None, headers: dict[str, str] | None = None):
    headers = {"Authorization": f"Bearer {key}", **(headers or {})}
    return requests.request("POST" if body else "GET", site.url + path, json=body, headers=headers)


def timed(ask: Callable[[], requests.Response]) -> Answer:
    began = time.monotonic()
    answer = ask()
    return Answer(time.monotonic() - began, answer.status_code, answer.headers.get("Retry-After", ""))
