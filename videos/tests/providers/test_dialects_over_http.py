"""The servers that deviate from the protocol: the adapter that knows which one it talks to, against each of them.

First the contract of every adapter, with answers in the words of each server, as the simulator puts them. Then real
lives over real HTTP: a simulator that takes after each server, with the faults that it can be asked for.
"""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
import requests
from django.core.exceptions import ValidationError

from simulator.errors import ApiError
from simulator.profiles import PROFILES
from simulator.store import Options, Studio
from simulator.submission import Submission
from tests.support.fixtures import MANAGE, entries, new_user, pump_until_done, start_simulator
from tests.support.fixtures import order as start
from tests.support.provider_contract import FILE, OpenAIContract, as_json, order, picture
from videos.catalogue import connections
from videos.media import mp4, storage
from videos.models import Channel, Video
from videos.providers import adapter, dialects
from videos.providers.base import Busy, JobState, NoFile, OutcomeUnknown, Rejected, Unavailable

NAMES = sorted(filter(None, PROFILES))


def test_the_simulator_takes_after_each_server_that_the_adapter_knows():
    assert set(PROFILES) == set(dialects.PROFILES)


# --- The contract of every adapter, in the words of each server -----------------------------------


class InItsWords(OpenAIContract):
    """What the server of that name says, where the test of the plain protocol says it in OpenAI's words."""

    cancels = False
    takes_last_frame = False

    @property
    def server(self):
        return PROFILES[self.profile]()

    def job(self, word="pending", **more):
        asked = {"prompt": "A red kite", "size": "1280x720", "seconds": "8", "model": "kite", "created_at": 1}
        if word == "blocked":
            more["error"] = {"code": "moderation_blocked", "message": "Blocked by our moderation system."}
        return self.server.video({**asked, **super().job(word, **more)})

    def stands(self, word, **more):
        job = self.job(word, **more)
        content = (200, {"Content-Type": "video/mp4"}, FILE)
        return {"check": as_json(job, self.server.status_of_poll(job)), "file": content}

    def error(self, status, **headers):
        error = ApiError(status, f"It is {status}.")
        error.headers = headers
        return self.said(error)

    def blocked(self):
        return self.said(ApiError(400, "Refused by our moderation.", code="moderation_blocked"))

    def said(self, error):
        answer = self.server.error(error)
        return answer.status, {"Content-Type": "application/json", **error.headers}, answer.body


class TestOpenAIItself(InItsWords):
    profile = "openai"


class TestVllmOmni(InItsWords):
    profile = "vllm-omni"
    cancels = True

    def test_its_one_model_is_not_named(self, peer):
        peer.answers["submit"] = self.accepted()
        self.submit(peer)
        assert b'name="model"' not in peer.asked[0].body
        assert b'name="prompt"' in peer.asked[0].body


class TestSgLang(InItsWords):
    profile = "sglang"

    def test_a_listed_job_is_never_surely_another_orders(self, peer):
        """It lists what its model made of a size and a length, and no prompt."""
        rounded = self.job(size="1280x704", seconds="5", created_at=int(datetime.now(UTC).timestamp()))
        peer.answers["check"] = as_json({"object": "list", "data": [rounded], "has_more": False})
        since = datetime.now(UTC) - timedelta(minutes=1)
        (found,) = self.ask(peer.url, lambda provider: provider.find(order(), since)).jobs
        assert (found.ref, found.is_sure) == ("video_1", False)


class WithoutList(InItsWords):
    def test_a_list_that_is_not_there_is_not_asked_for(self, peer):
        with pytest.raises(Unavailable, match="no list"):
            self.ask(peer.url, lambda provider: provider.find(order(), datetime.now(UTC)))
        assert peer.asked == []


class TestLiteLLM(WithoutList):
    profile = "litellm"

    def test_it_is_told_not_to_buy_again_by_itself(self, peer):
        peer.answers["submit"] = self.accepted()
        self.submit(peer)
        assert peer.asked[0].headers["x-litellm-num-retries"] == "0"


class TestNewApi(WithoutList):
    profile = "new-api"


# --- Whole lives, at a simulator that takes after each server -------------------------------------


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Simulators that take after each server: their addresses by name."""

    def begin(name, folder):
        return start_simulator(folder, 0, "--profile", name, SIMULATOR_SECONDS="0")

    folders = [tmp_path_factory.mktemp(name) for name in NAMES]
    with ThreadPoolExecutor() as pool:
        begun = list(pool.map(begin, NAMES, folders))
    yield dict(zip(NAMES, (url for _process, url in begun), strict=True))
    for process, _url in begun:
        process.terminate()
    for process, _url in begun:
        process.wait(10)


@pytest.fixture(params=NAMES)
def server(request, servers):
    """The name of a server, and the address of a simulator that takes after it."""
    return request.param, servers[request.param]


def at(server, do, key="a-key"):
    name, url = server

    async def run():
        async with adapter("openai")(url, key, name) as provider:
            return await do(provider)

    return asyncio.run(run())


def kite(tags="", **fields):
    prompt = f"A red kite {tags}".strip()
    return order(**{"model": "sora-2", "prompt": prompt, "seconds": 4, **fields})


async def submitted(provider, tags="", **fields):
    return (await provider.submit(kite(tags, **fields), "submit-1")).ref


async def ended(provider, tags="", **fields) -> JobState:
    """The last state of a job with these faults."""
    ref = await submitted(provider, tags, **fields)
    for _ in range(400):
        job = await provider.check(ref)
        if job.status in ("completed", "failed"):
            return job
        await asyncio.sleep(0.05)
    raise AssertionError(job)


async def file_of(provider, tags="", **fields):
    job = await ended(provider, tags, **fields)
    return b"".join([piece async for piece in provider.download(job.ref)])


def test_an_order_becomes_a_video_that_plays(server, tmp_path):
    async def do(provider):
        job = await ended(provider)
        await storage.download(provider, job.ref, tmp_path / "video.mp4")

    at(server, do)
    probe = mp4.measure(tmp_path / "video.mp4")
    assert (probe.width, probe.height, round(probe.seconds)) == (1280, 720, 4)


def test_a_picture_is_taken(server):
    async def do(provider):
        return await provider.check(await submitted(provider, "[sim:stuck]", image=picture()))

    assert at(server, do).status == "in_progress"


@pytest.mark.parametrize("tag", ["fail", "fail-string", "cancelled"])
def test_a_job_that_fails_has_failed(server, tag):
    job = at(server, lambda provider: ended(provider, f"[sim:{tag}]"))
    assert (job.status, job.code) == ("failed", "generation_failed")


def test_a_job_that_moderation_ends_says_so(server):
    job = at(server, lambda provider: ended(provider, "[sim:moderation]"))
    assert (job.status, job.code) == ("failed", "moderation_blocked")


def test_a_submit_that_moderation_refuses_is_the_customers_trouble(server):
    with pytest.raises(Rejected) as refusal:
        at(server, lambda provider: submitted(provider, "[sim:rejected]"))
    assert refusal.value.code == "moderation_blocked"


@pytest.mark.parametrize("tag", ["unverified", "bad-key"])
def test_an_account_that_is_not_let_in_is_the_operators_trouble(server, tag):
    with pytest.raises(Rejected) as refusal:
        at(server, lambda provider: submitted(provider, f"[sim:{tag}]"))
    assert refusal.value.code == "provider_refused"


def test_a_busy_server_says_when_to_come_again(server):
    with pytest.raises(Busy) as busy:
        at(server, lambda provider: submitted(provider, "[sim:busy-forever]"))
    assert busy.value.after == 1


@pytest.mark.parametrize("tag", ["lost-reply", "lost-reply-500", "error-500"])
def test_a_submit_without_an_answer_may_have_arrived(server, tag):
    with pytest.raises(OutcomeUnknown):
        at(server, lambda provider: submitted(provider, f"[sim:{tag}]"))


@pytest.mark.parametrize("tag", ["poll-500", "poll-401", "poll-404-once", "poll-html", "poll-empty"])
def test_a_poll_that_goes_wrong_is_no_verdict(server, tag):
    async def do(provider):
        ref = await submitted(provider, f"[sim:stuck] [sim:{tag}]")
        with pytest.raises(Unavailable):
            await provider.check(ref)
        return await provider.check(ref)

    assert at(server, do).status == "in_progress"


@pytest.mark.parametrize("tag", ["words", "no-progress", "progress-text", "id-changes"])
def test_other_words_are_understood(server, tag):
    assert at(server, lambda provider: ended(provider, f"[sim:{tag}]")).status == "completed"


def test_a_file_may_lie_elsewhere(server):
    assert b"ftyp" in at(server, lambda provider: file_of(provider, "[sim:url-result]"))[:12]


@pytest.mark.parametrize("tag", ["truncated", "content-500-once"])
def test_a_file_that_does_not_arrive_is_fetched_again(server, tag):
    with pytest.raises(Unavailable):
        at(server, lambda provider: file_of(provider, f"[sim:{tag}]"))


@pytest.mark.parametrize("tag", ["expired", "html-file"])
def test_what_is_no_file_is_called_so(server, tag):
    with pytest.raises(NoFile):
        at(server, lambda provider: file_of(provider, f"[sim:{tag}]"))


def test_a_job_that_nobody_knows_is_no_verdict(server):
    with pytest.raises(Unavailable):
        at(server, lambda provider: provider.check("video_none"))


def test_a_lost_job_is_found_where_there_is_a_list(server):
    since = datetime.now(UTC) - timedelta(minutes=1)
    lost = kite("[sim:stuck] [sim:mark-9]")

    async def do(provider):
        ref = (await provider.submit(lost, "submit-9")).ref
        return ref, (await provider.find(lost, since)).jobs

    if not dialects.PROFILES[server[0]].has_list:
        with pytest.raises(Unavailable, match="no list"):
            at(server, do)
        return
    ref, found = at(server, do)
    surely = [job.ref for job in found if job.is_sure]
    assert surely == ([ref] if server[0] in ("openai", "vllm-omni") else [])
    assert ref in [job.ref for job in found]


def test_a_running_job_is_stopped_where_that_can_be(server):
    async def do(provider):
        ref = await submitted(provider, "[sim:stuck]")
        stopped = await provider.cancel(ref)
        try:
            await provider.check(ref)
        except Unavailable:
            return stopped, "gone"
        return stopped, "there"

    assert at(server, do) == ((True, "gone") if server[0] == "vllm-omni" else (False, "there"))


@pytest.mark.django_db(transaction=True)
def test_each_server_makes_a_video_that_is_paid_and_one_that_is_refunded(servers):
    made, failed = {}, {}
    for name, url in servers.items():
        channel = Channel.objects.create(slug=f"like-{name}", profile=name, base_url=url)
        made[name], failed[name] = start(new_user(), "A red kite"), start(new_user(), "A red kite [sim:fail]")
        Video.objects.filter(pk__in=[made[name].pk, failed[name].pk]).update(channel=channel)
    pump_until_done(60)

    def outcome(video):
        video.refresh_from_db()
        return video.channel.slug, video.status, entries(video)

    assert [outcome(video) for video in made.values()] == [
        (f"like-{name}", "completed", [("charge", -10)]) for name in servers
    ]
    assert [outcome(video) for video in failed.values()] == [
        (f"like-{name}", "failed", [("charge", -10), ("refund", 10)]) for name in servers
    ]


# --- What is peculiar to one of them ---------------------------------------------------------------

# What a request about a running job ({id}), or a failed one ({failed}), is answered with.
PECULIAR = {
    "openai": {"DELETE /videos/{id}": 400, "GET /videos/{id}/content?variant=poster": 400},
    "vllm-omni": {
        "GET /videos/{id}/content": 404,
        "GET /videos/{failed}/content": 422,
        "GET /videos/{failed}": 500,
        "DELETE /videos/{id}": 200,
        "GET /videos/{id}": 404,
    },
    "sglang": {
        "GET /videos/{done}/content": 200,
        "GET /videos/{done}/content?variant=0": 200,
        "GET /videos/{done}/content?variant=video": 404,
        "DELETE /videos/{id}": 200,
    },
    "litellm": {"GET /videos": 400, "DELETE /videos/{id}": 405},
    "new-api": {
        "GET /videos": 404,
        "DELETE /videos/{id}": 404,
        "GET /videos/none": 400,
        "GET /videos/{id}/content": 400,
    },
}


def call(server, request, **body):
    method, path = request.split()
    headers = {"Authorization": "Bearer a-key"}
    return requests.request(method, server[1] + path, json=body or None, headers=headers, timeout=10)


def test_a_server_says_what_it_lacks_in_its_own_way(server):
    refs = {
        "id": at(server, lambda provider: submitted(provider, "[sim:stuck]")),
        "failed": at(server, lambda provider: submitted(provider, "[sim:fail]")),
        "done": at(server, lambda provider: ended(provider)).ref,
    }
    expected = PECULIAR[server[0]]
    assert {request: call(server, request.format(**refs)).status_code for request in expected} == expected


def test_errors_and_refusals_have_the_shape_of_each_server(server):
    errors = {
        "openai": lambda said: said["error"]["code"] == "invalid_value",
        "vllm-omni": lambda said: said["error"]["code"] == 400,
        "sglang": lambda said: list(said) == ["detail"],
        "litellm": lambda said: (
            said["error"]["code"] == "400" and '"invalid_value"' in said["error"]["message"]
        ),
        "new-api": lambda said: "error" not in said and {"code", "message"} <= set(said),
    }
    answer = call(server, "POST /videos", prompt="A kite", seconds="none")
    assert answer.status_code == 400
    assert errors[server[0]](answer.json())


def test_a_model_and_a_size_are_taken_as_each_server_takes_them(server):
    takes = {
        "openai": (400, 400, 400, 400),
        "vllm-omni": (400, 200, 200, 200),
        "sglang": (200, 200, 200, 200),
        "litellm": (400, 400, 200, 400),
        "new-api": (400, 400, 200, 400),
    }
    asked = ({"model": "wan-2.2"}, {"size": "832x480"}, {"seed": 7}, {"audio": False})
    about = {"prompt": "A kite [sim:stuck]"}
    answers = tuple(call(server, "POST /videos", **about, **more).status_code for more in asked)
    assert answers == takes[server[0]]


@pytest.mark.parametrize("name", NAMES)
def test_jobs_that_live_in_memory_are_gone_after_a_restart(name, tmp_path):
    async def found_after_a_restart():
        options = Options(tmp_path, 60, profile=PROFILES[name]())
        first = Studio(options)
        job, _ = await first.accept(
            Submission("[sim:stuck]", "sora-2", "4", "720x1280"), frozenset(["stuck"]), None
        )
        await first.close()
        second = Studio(options)
        ids = [known.id for known in second.page(None, 10, newest_first=True)[0]]
        await second.close()
        return job.id in ids

    assert asyncio.run(found_after_a_restart()) is (name not in ("vllm-omni", "sglang"))


def test_a_server_that_nobody_knows_is_named_with_those_that_are_known():
    known = subprocess.run(
        [*MANAGE, "simulator", "--profile", "none"], capture_output=True, text=True, check=False
    )
    assert known.returncode == 1
    assert all(name in known.stderr for name in NAMES)


@pytest.mark.django_db
def test_a_channel_says_which_server_it_is_and_only_where_there_are_several(settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]
    channel = Channel(slug="own", base_url="http://127.0.0.1:9/v1", profile="sglang")
    channel.full_clean()
    assert connections.provider_for(channel).profile is dialects.PROFILES["sglang"]
    channel.kind = "fal"
    with pytest.raises(ValidationError, match="OpenAI protocol"):
        channel.full_clean()
