"""What a provider says by itself: who is believed, what a word of it may change, and that a repeat changes nothing."""

import asyncio
import base64
import hmac
import json
import random
import re
import secrets
import string
import threading
import time
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta

import openai
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from aivideo.ledger_check import violations
from tests.support.fixtures import (
    TEST_TIMEOUT,
    new_user,
    order,
    pump_until_done,
    queued_messages,
    start_simulator,
    wait_until,
)
from tests.support.installation import Site
from tests.support.sabotage import becomes, without
from videos import timing
from videos.generation import lifecycle
from videos.media.decoder import Decoder
from videos.models import Channel, Status, Video, VideoEvent, WebhookReceipt
from videos.providers.base import JobState
from videos.providers.webhook_events import Event
from videos.webhooks import signing
from videos.worker import dispatcher, leases, provider_webhooks, steps, write_queue
from videos.worker.polling import Polling

pytestmark = pytest.mark.django_db(transaction=True)

KEY = secrets.token_bytes(32)
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
OTHER_KEY = secrets.token_bytes(32)
PATH = "/webhooks/openai/"


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.OPENAI_WEBHOOK_SECRET = SECRET


@pytest.fixture
def running():
    """A video that its provider is making, to be asked for in half a minute."""
    return make_running("job-1")


def make_running(ref):
    video = order(new_user())
    lifecycle.mark_submitting(video)
    lifecycle.accept(video, JobState(ref=ref, status="in_progress"))
    in_a_while = timezone.now() + timedelta(seconds=30)
    Video.objects.filter(pk=video.pk).update(next_attempt_at=in_a_while)
    return Video.objects.get(pk=video.pk)


def event(ref="job-1", kind="video.completed"):
    return {"id": "evt_1", "object": "event", "type": kind, "created_at": 1, "data": {"id": ref}}


def delivery(body=None, *, key=KEY, webhook_id="wh_1", age=0):
    """The body and headers of a webhook as the provider sends it, `age` seconds ago."""
    body = json.dumps(event() if body is None else body).encode() if not isinstance(body, bytes) else body
    sent_at = int(time.time()) - age
    digest = hmac.digest(key, f"{webhook_id}.{sent_at}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return body, {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signature,
    }


def post(body, headers):
    return Client().post(PATH, body, content_type="application/json", headers=headers)


def deliver(*arguments, **options):
    return post(*delivery(*arguments, **options)).status_code


def rows():
    """All that a webhook could possibly change."""
    return (
        list(Video.objects.order_by("pk").values()),
        list(VideoEvent.objects.order_by("pk").values()),
        WebhookReceipt.objects.count(),
        queued_messages(),
    )


def is_due(video):
    return Video.objects.get(pk=video.pk).next_attempt_at <= timezone.now()


class CaptureStatements:
    """The SQL verbs of what happens inside, without those that only frame a transaction."""

    def __enter__(self):
        self.queries = CaptureQueriesContext(connection)
        self.queries.__enter__()
        return self

    def __exit__(self, *error):
        self.queries.__exit__(*error)
        self.verbs = [
            verb
            for query in self.queries.captured_queries
            if (verb := query["sql"].split()[0]) in ("SELECT", "INSERT", "UPDATE", "DELETE")
        ]


# --- The hint ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["video.completed", "video.failed"])
def test_a_webhook_makes_its_running_video_due_and_changes_nothing_else(running, kind):
    other = make_running("job-2")
    assert deliver(event(kind=kind)) == 200
    assert (is_due(running), is_due(other)) == (True, False)
    now = Video.objects.get(pk=running.pk)
    assert {**now.__dict__, "next_attempt_at": 0, "_state": 0} == {
        **running.__dict__,
        "next_attempt_at": 0,
        "_state": 0,
    }
    assert running.events.count() == 3
    receipt = WebhookReceipt.objects.get()
    assert (receipt.id, receipt.event, receipt.ref) == ("wh_1", kind, "job-1")


def test_a_webhook_wakes_a_dispatcher_only_when_none_is_alive(running):
    make_running("job-2")
    slots = [leases.acquire_slot() for _ in range(leases.SLOTS)]
    before = queued_messages()
    deliver()
    assert queued_messages() == before
    leases.revoke_slots(slots[0].owner.partition("/")[0])
    deliver(event("job-2"), webhook_id="wh_2")
    assert queued_messages() == before + 1


@pytest.mark.parametrize(
    "body",
    [
        event("job-of-nobody"),
        event(kind="video.started"),
        event(kind=7),
        event(ref=7),
        event(ref="job-1\x00"),
        event(ref="\ud800"),
        event(ref="j" * 1000, kind="k" * 1000),
        {**event(), "data": ["job-1"]},
        {**event(), "data": None},
        {},
    ],
)
def test_what_says_nothing_about_a_running_video_is_taken_and_changes_nothing(running, body):
    before = rows()
    assert deliver(body) == 200
    assert rows()[:2] == before[:2]
    assert queued_messages() == before[3]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.IN_PROGRESS, Status.COMPLETED}))
def test_a_video_that_is_not_running_is_left_alone(running, status):
    Video.objects.filter(pk=running.pk).update(status=status)
    before = rows()
    assert deliver() == 200
    assert rows()[:2] == before[:2]


def test_a_channel_of_another_protocol_is_left_alone(running):
    Channel.objects.update(kind="another")
    before = rows()
    assert deliver() == 200
    assert rows()[:2] == before[:2]


def test_the_same_id_at_two_servers_makes_both_due(running):
    other = make_running("job-2")
    Video.objects.filter(pk=other.pk).update(ref="job-1", channel=Channel.objects.get(slug="openai"))
    deliver()
    assert (is_due(running), is_due(other)) == (True, True)


def test_a_webhook_costs_one_insert_and_one_update_and_a_refused_one_nothing(
    running, django_assert_num_queries
):
    leases.acquire_slot()
    with django_assert_num_queries(0):
        assert deliver(key=OTHER_KEY) == 400
    with CaptureStatements() as taken:
        assert deliver() == 200
    assert taken.verbs == ["INSERT", "UPDATE", "SELECT"]
    with CaptureStatements() as idle:
        assert deliver(event("job-of-nobody"), webhook_id="wh_2") == 200
    assert idle.verbs == ["INSERT", "UPDATE"]


def test_receipts_are_forgotten_after_a_day(running):
    for number, hours in enumerate((0, 23, 25)):
        received_at = timezone.now() - timedelta(hours=hours)
        WebhookReceipt.objects.create(id=f"wh_{number}", received_at=received_at)
    provider_webhooks.purge_expired()
    assert set(WebhookReceipt.objects.values_list("id", flat=True)) == {"wh_0", "wh_1"}


class Hesitant:
    """A provider whose answers were right when they were asked for, and arrive when `answer` is set."""

    def __init__(self):
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def check(self, ref):
        self.asked.set()
        await self.answer.wait()
        return JobState(ref=ref, status="in_progress")

    async def close(self):
        pass


@asynccontextmanager
async def pump_that_asks(provider, video):
    """A dispatcher that waits for the provider's answer about a video when its webhook comes."""
    db = write_queue.WriteQueue()
    engine = dispatcher.Dispatcher(await db(leases.acquire_slot))
    engine.db = db
    engine.tools = steps.Tools(engine.db, Decoder(), Polling(engine.db))
    engine.began = engine.renewed = engine.refreshed = time.monotonic()
    engine.providers[video.channel_id] = provider
    await engine.turn()
    await provider.asked.wait()
    await engine.db(provider_webhooks.take_hint, "wh_1", Event("video.completed", "job-1"))
    yield engine
    await asyncio.gather(*(item.task for item in engine.in_flight.values()))
    await engine.db.close()


def test_an_answer_that_is_older_than_the_webhook_leaves_the_video_due(running):
    async def meet():
        async with pump_that_asks(provider := Hesitant(), running):
            provider.answer.set()

    Video.objects.filter(pk=running.pk).update(next_attempt_at=timezone.now())
    asyncio.run(meet())
    assert is_due(running)


def test_a_video_whose_webhook_came_while_it_was_asked_about_is_asked_about_again(running):
    async def meet():
        async with pump_that_asks(provider := Hesitant(), running) as engine:
            await engine.turn()  # finds it due, and in its own hands
            provider.asked.clear()
            provider.answer.set()
            await asyncio.wait_for(provider.asked.wait(), TEST_TIMEOUT)

    Video.objects.filter(pk=running.pk).update(next_attempt_at=timezone.now())
    asyncio.run(meet())


# --- Who is not believed ----------------------------------------------------------------------------


def altered(**headers):
    body, good = delivery()
    return body, {**good, **headers}


BAD = {
    "no headers": lambda: (delivery()[0], {}),
    "no id": lambda: altered(**{"webhook-id": ""}),
    "no time": lambda: altered(**{"webhook-timestamp": ""}),
    "no signature": lambda: altered(**{"webhook-signature": ""}),
    "another secret": lambda: delivery(key=OTHER_KEY),
    "an altered body": lambda: (delivery()[0].replace(b"job-1", b"job-2"), delivery()[1]),
    "an empty body": lambda: (b"", delivery()[1]),
    "an altered id": lambda: altered(**{"webhook-id": "wh_2"}),
    "an id as long as a page": lambda: delivery(webhook_id="w" * 256),
    "an id that is no text": lambda: delivery(webhook_id="wh_\x00"),
    "an altered time": lambda: altered(**{"webhook-timestamp": str(int(time.time()) + 60)}),
    "a time in words": lambda: altered(**{"webhook-timestamp": "today"}),
    "a time without end": lambda: altered(**{"webhook-timestamp": "1" * 5000}),
    "a signature of another kind": lambda: altered(
        **{"webhook-signature": delivery()[1]["webhook-signature"].replace("v1,", "v1a,")}
    ),
    "a signature without its kind": lambda: altered(
        **{"webhook-signature": delivery()[1]["webhook-signature"].removeprefix("v1,")}
    ),
    "a signature that is no ASCII": lambda: altered(**{"webhook-signature": "v1,ÿ\xa0é"}),
    "from 301 seconds ago": lambda: delivery(age=301),
    "from 310 seconds ahead": lambda: delivery(age=-310),
    "no JSON": lambda: delivery(b"job-1 has completed"),
    "no text": lambda: delivery(b"\xff\xfe\x00"),
    "a JSON list": lambda: delivery(json.dumps([event()]).encode()),
    "JSON without a bottom": lambda: delivery(b"[" * 60_000),
}


@without(
    "the check of a provider's signature",
    "videos.webhooks.signing.verified_id",
    becomes("hmac.compare_digest(expected, signature)", "True"),
)
@pytest.mark.parametrize("bad", BAD)
def test_A38_what_our_provider_did_not_sign_just_now_changes_not_one_row(running, bad):
    body, headers = BAD[bad]()
    before = rows()
    answer = post(body, headers)
    assert (answer.status_code, answer.content) == (400, b"This webhook was not accepted.")
    assert rows() == before


def test_A38_a_huge_body_is_refused_before_it_is_looked_at(running):
    before = rows()
    assert deliver({**event(), "padding": "x" * provider_webhooks.MAX_BYTES}) == 413
    assert rows() == before


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_a_webhook_comes_by_post_only(method):
    assert getattr(Client(), method)(PATH).status_code == 405


def test_A38_without_a_secret_nobody_is_believed(running, settings):
    settings.OPENAI_WEBHOOK_SECRET = ""
    before = rows()
    assert (deliver(), deliver(key=b""), Client().get(PATH).status_code) == (404, 404, 404)
    assert rows() == before


def test_A38_of_a_thousand_altered_deliveries_not_one_is_taken(running):
    chance = random.Random(38)
    letters = string.printable.strip() + " éÿ"
    before = rows()
    statuses = set()
    for _ in range(1000):
        body, headers = delivery()
        parts = {**headers, "body": body.decode()}
        name = chance.choice([*parts])
        place = chance.randrange(len(parts[name]))
        letter = chance.choice(letters.replace(parts[name][place], ""))
        change = chance.choice(["replace", "insert", "remove"])
        start, end = parts[name][:place], parts[name][place:]
        parts[name] = start + {"replace": letter + end[1:], "insert": letter + end, "remove": end[1:]}[change]
        statuses.add(post(parts.pop("body").encode(), parts).status_code)
    assert statuses == {400}
    assert rows() == before


def test_A30_a_webhook_is_taken_within_five_minutes_of_its_signing_and_not_after(running):
    before = rows()
    for age in (310, 3600, 10**9, -310, -3600):
        assert deliver(age=age) == 400
    assert rows() == before
    for age in (290, -290):
        assert deliver(webhook_id=f"wh_{age}", age=age) == 200


def test_one_right_signature_among_several_is_enough(running):
    body, headers = delivery()
    _, old = delivery(key=OTHER_KEY)
    both = f"{old['webhook-signature']} v1a,xyz {headers['webhook-signature']}"
    assert post(body, {**headers, "webhook-signature": both}).status_code == 200
    assert is_due(running)


def test_what_we_believe_the_official_sdk_believes_too():
    body, headers = delivery()
    openai.OpenAI(api_key="x").webhooks.verify_signature(body, headers, secret=SECRET)
    assert signing.verified_id(SECRET, headers, body) == "wh_1"


# --- Again ------------------------------------------------------------------------------------------


def test_A38_a_webhook_that_is_replayed_fifty_times_at_once_counts_once(running):
    body, headers = delivery()
    before = queued_messages()
    statuses = []

    def replay():
        statuses.append(post(body, headers).status_code)
        connection.close()

    threads = [threading.Thread(target=replay) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each one that counted would have rung, since there is no dispatcher.
    assert (statuses, queued_messages() - before) == ([200] * 50, 1)
    assert WebhookReceipt.objects.count() == 1
    assert is_due(running)


def test_A38_a_webhook_that_is_replayed_later_changes_nothing(running):
    body, headers = delivery()
    assert post(body, headers).status_code == 200
    Video.objects.filter(pk=running.pk).update(next_attempt_at=running.next_attempt_at)
    before = rows()
    for _ in range(3):
        assert post(body, headers).status_code == 200
    assert rows() == before


# --- From the simulator to the site -----------------------------------------------------------------


@pytest.fixture
def telling_simulator(live_server, settings, tmp_path):
    """A simulator that takes three seconds, and tells this very site when a job has ended."""
    env = {"SIMULATOR_WEBHOOK_URL": live_server.url + PATH, "SIMULATOR_WEBHOOK_SECRET": SECRET}
    process, settings.SIMULATOR_URL = start_simulator(tmp_path / "simulator", SIMULATOR_SECONDS="3", **env)
    yield
    process.terminate()
    process.wait(TEST_TIMEOUT)


LIFE = ["queued", "submitting", "in_progress"]
READY = [*LIFE, "saving", "completed"]


def life_of(video):
    return list(video.events.values_list("went_to", flat=True))


def wait_for_receipts(videos):
    """Until a webhook of each of these videos was taken."""
    refs = set(Video.objects.filter(pk__in=[video.pk for video in videos]).values_list("ref", flat=True))
    wait_until(lambda: set(WebhookReceipt.objects.values_list("ref", flat=True)) == refs)


def test_webhooks_bring_the_end_of_videos_that_nobody_asks_about(telling_simulator, monkeypatch, caplog):
    monkeypatch.setattr(timing, "FIRST_POLL", 100)
    monkeypatch.setattr(timing, "next_poll", lambda *_: 100)
    expected = {
        "mark-1": READY,
        "fail": [*LIFE, "failed"],
        "webhook-twice": READY,
        "webhook-forged": READY,
    }
    videos = {fault: order(new_user(), f"A kite [sim:{fault}]", size="720x1280") for fault in expected}
    pump_until_done(60)
    assert {fault: life_of(video) for fault, video in videos.items()} == expected
    wait_for_receipts(videos.values())
    assert sum("was refused: its signature" in message for message in caplog.messages) == 1
    assert violations()[1] == []


@without(
    "the question to the provider after a webhook",
    "videos.worker.provider_webhooks._make_due",
    becomes(
        "running.update(next_attempt_at=Now())", "running.update(next_attempt_at=None, status='completed')"
    ),
)
def test_A38_webhooks_that_are_early_late_or_lost_change_no_outcome(telling_simulator):
    faults = ["webhook-early", "webhook-late", "webhook-lost"]
    videos = {fault: order(new_user(), f"A kite [sim:{fault}]", size="720x1280") for fault in faults}
    pump_until_done(60)
    before = rows()[:2]
    wait_for_receipts([videos["webhook-early"], videos["webhook-late"]])
    assert rows()[:2] == before
    assert [life_of(video) for video in videos.values()] == [READY] * 3
    assert violations()[1] == []


def test_a_site_with_a_secret_is_told_by_its_own_simulator(tmp_path):
    form = {"image": "", "prompt": "A kite", "model": "sora-2", "seconds": "4"}
    form |= {"aspect_ratio": "9:16", "resolution": "720p"}
    look = "from videos.models import *; print([*WebhookReceipt.objects.values_list('event', 'ref')],"
    look += " [*Video.objects.values_list('status', 'ref')])"
    with Site(tmp_path, OPENAI_WEBHOOK_SECRET=SECRET) as site:
        visitor = site.visitor().sign_in()
        assert visitor.submit("/", {**form, "nonce": str(uuid.uuid4())}).status_code == 302
        told = r"\[\('video.completed', '(\w+)'\)\] \[\('completed', '\1'\)\]\s*"
        wait_until(lambda: re.fullmatch(told, site.manage("shell", "--no-imports", "-c", look)))
