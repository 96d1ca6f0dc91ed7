"""OpenRouter and xAI as aimock plays them, which nobody here wrote: https://aimock.copilotkit.dev"""

import asyncio
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.peers import FOLDER, HOW
from tests.support.provider_contract import FILE, Peer, order, picture, serving
from videos.providers import adapter
from videos.providers.base import Busy, OutcomeUnknown, Rejected, Unavailable

SCRIPT = Path(__file__).with_name("aimock.mjs")
PATHS = {"openrouter": "/api/v1", "xai": "/v1"}  # of base URLs
COST = Decimal("0.35")


@pytest.fixture(scope="module")
def aimock():
    folder = FOLDER / "aimock"
    if not (folder / "node_modules" / "@copilotkit" / "aimock").exists():
        pytest.fail(f"aimock {HOW}, where there is npm.")
    with serving(Peer({"file": (200, {"Content-Type": "video/mp4"}, FILE)}), lambda *_: "file") as storage:
        command = [shutil.which("node") or "node", "--input-type=module", "--eval", SCRIPT.read_text()]
        process = subprocess.Popen(
            [*command, f"{storage.url}/1.mp4"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        yield process.stdout.readline().strip()
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(params=PATHS)
def ask(request, aimock):
    """Have an adapter do something there."""

    def ask(do):
        async def run():
            async with adapter(request.param)(aimock + PATHS[request.param], "key-1") as provider:
                return await do(provider)

        return asyncio.run(run())

    return ask


async def life_of(provider, prompt, **fields):
    """The words of each poll, and the last state."""
    job = await provider.submit(order(prompt=prompt, **fields), "submit-1")
    words = [job.status]
    while job.status in ("queued", "in_progress"):
        job = await provider.check(job.ref)
        words.append(job.status)
    return words, job


@pytest.mark.parametrize("image", [None, picture()], ids=["words", "words and a picture"])
def test_a_job_is_followed_to_its_file_and_its_cost(ask, image):
    async def do(provider):
        words, job = await life_of(provider, "A red kite", image=image)
        return words, job.cost, b"".join([piece async for piece in provider.download(job.ref)])

    words, cost, file = ask(do)
    assert words[0] == "queued"
    assert words[-1] == "completed"
    assert (cost, file) == (COST, FILE)


def test_a_job_that_failed_says_why(ask):
    _words, job = ask(lambda provider: life_of(provider, "It fails"))
    assert (job.status, job.code) == ("failed", "generation_failed")
    assert "The model did not answer." in job.message


def test_a_job_that_moderation_ended_says_so(ask):
    _words, job = ask(lambda provider: life_of(provider, "It is blocked"))
    assert (job.status, job.code) == ("failed", "moderation_blocked")


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("refused", "moderation_blocked"), ("wrong", "invalid_request"), ("empty", "provider_refused")],
)
def test_a_refusal_is_understood(ask, prompt, code):
    with pytest.raises(Rejected) as refusal:
        ask(lambda provider: provider.submit(order(prompt=prompt), "submit-1"))
    assert refusal.value.code == code


def test_a_busy_provider_says_when_to_come_again(ask):
    with pytest.raises(Busy) as busy:
        ask(lambda provider: provider.submit(order(prompt="busy"), "submit-1"))
    assert busy.value.after == 7


def test_a_submit_that_broke_may_have_arrived(ask):
    with pytest.raises(OutcomeUnknown):
        ask(lambda provider: provider.submit(order(prompt="broken"), "submit-1"))


def test_an_unknown_job_is_no_verdict(ask):
    with pytest.raises(Unavailable):
        ask(lambda provider: provider.check("none"))
