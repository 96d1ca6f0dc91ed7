"""LiteLLM's proxy, before our simulator, as the profile `litellm` expects it."""

import asyncio
from datetime import UTC, datetime

import pytest
import requests

from bench import api
from tests.peers import HOW
from tests.support.fixtures import start_simulator
from tests.support.provider_contract import order, picture
from videos.media import mp4, storage
from videos.providers import adapter
from videos.providers.base import Busy, OutcomeUnknown, Rejected, Unavailable


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The addresses of LiteLLM's proxy and of the simulator behind it."""
    if not api.LITELLM.exists():
        pytest.fail(f"LiteLLM {HOW}.")
    folder = tmp_path_factory.mktemp("litellm")
    process, upstream = start_simulator(folder, SIMULATOR_SECONDS="1")
    with api.litellm(upstream, workers=1) as port:
        yield f"http://127.0.0.1:{port}/v1", upstream
    process.terminate()
    process.wait(10)


@pytest.fixture
def ask(proxy):
    """Have the adapter do something there."""

    def ask(do):
        async def run():
            async with adapter("openai")(proxy[0], api.MASTER_KEY, "litellm") as provider:
                return await do(provider)

        return asyncio.run(run())

    return ask


def kite(tag="", **fields):
    return order(**{"model": "sora-2", "prompt": f"A red kite {tag}".strip(), "seconds": 4, **fields})


async def ended(provider, tag="", **fields):
    job = await provider.submit(kite(tag, **fields), "submit-1")
    while job.status in ("queued", "in_progress"):
        await asyncio.sleep(0.2)
        job = await provider.check(job.ref)
    return job


@pytest.mark.parametrize("image", [None, picture()], ids=["words", "words and a picture"])
def test_an_order_becomes_a_video_that_plays(ask, image, tmp_path):
    async def do(provider):
        job = await ended(provider, image=image)
        await storage.download(provider, job.ref, tmp_path / "video.mp4")

    ask(do)
    probe = mp4.measure(tmp_path / "video.mp4")
    assert (probe.width, probe.height, round(probe.seconds)) == (1280, 720, 4)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("fail", "generation_failed"),
        ("cancelled", "generation_failed"),
        ("moderation", "moderation_blocked"),
    ],
)
def test_a_job_that_ended_otherwise_has_failed(ask, tag, code):
    job = ask(lambda provider: ended(provider, f"[sim:{tag}]"))
    assert (job.status, job.code) == ("failed", code)


@pytest.mark.parametrize("tag", ["words", "unknown-word", "id-changes", "no-progress"])
def test_words_and_names_that_change_on_the_way_are_understood(ask, tag):
    assert ask(lambda provider: ended(provider, f"[sim:{tag}]")).status == "completed"


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("rejected", "moderation_blocked"),
        ("unverified", "provider_refused"),
        ("bad-key", "provider_refused"),
    ],
)
def test_a_refusal_within_a_refusal_is_understood(ask, tag, code):
    with pytest.raises(Rejected) as refusal:
        ask(lambda provider: provider.submit(kite(f"[sim:{tag}]"), "submit-1"))
    assert refusal.value.code == code


def test_a_model_that_it_does_not_have_is_refused(ask):
    with pytest.raises(Rejected):
        ask(lambda provider: provider.submit(kite(model="sora-9"), "submit-1"))


def test_a_busy_server_behind_it_is_busy(ask):
    with pytest.raises(Busy):
        ask(lambda provider: provider.submit(kite("[sim:busy-forever]"), "submit-1"))


def test_a_reply_that_was_lost_behind_it_may_have_arrived_and_nothing_is_bought_twice(ask, proxy):
    prompt = "A lost kite [sim:lost-reply-500]"
    with pytest.raises(OutcomeUnknown):
        ask(lambda provider: provider.submit(kite(prompt=prompt), "submit-1"))
    jobs = requests.get(f"{proxy[1]}/videos?limit=100", headers={"Authorization": "Bearer x"}, timeout=5)
    assert [job["prompt"] for job in jobs.json()["data"]].count(prompt) == 1


def test_a_file_that_is_cut_off_behind_it_is_no_whole_file(ask):
    async def do(provider):
        job = await ended(provider, "[sim:truncated-forever]")
        return b"".join([piece async for piece in provider.download(job.ref)])

    with pytest.raises(Unavailable):
        ask(do)


def test_what_the_profile_says_is_lacking_is_lacking(ask, proxy):
    """Nothing is asked for by us; the proxy is asked whether that is still right."""
    ref = ask(lambda provider: provider.submit(kite("[sim:stuck]"), "submit-1")).ref
    headers = {"Authorization": f"Bearer {api.MASTER_KEY}"}
    assert requests.get(f"{proxy[0]}/videos", headers=headers, timeout=10).status_code == 400
    assert requests.delete(f"{proxy[0]}/videos/{ref}", headers=headers, timeout=10).status_code == 405
    assert ask(lambda provider: provider.cancel(ref)) is False
    with pytest.raises(Unavailable, match="no list"):
        ask(lambda provider: provider.find(kite(), datetime.now(UTC)))


def test_the_probe_shows_whether_the_key_is_good(ask):
    assert ask(lambda provider: provider.probe())[0] == 200
