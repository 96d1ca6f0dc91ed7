"""The official SDK against a whole site of real processes: it must not notice that we are not OpenAI."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import httpx2
import openai
import pytest
from openai.types import FileObject, Video
from PIL import Image

from tests.support.fixtures import TEST_TIMEOUT, wait_until
from tests.support.installation import Site, processes_of
from tests.support.other_clients import javascript, node_folder, python, run
from tests.support.webhook_receiver import Receiver
from videos.api.app import api
from videos.api.openapi import document, examples
from videos.api.openapi.tutorials import OPENAI_GUIDE
from videos.code_samples import first_video

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SEVERAL = 5
KITE = "A red kite"  # marks tell prompts apart that share this one picture


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    env = {"SIMULATOR_SECONDS": "1", "API_REQUESTS_A_MINUTE": "5000", "PRIVATE_NETWORKS_ALLOWED": "127.0.0.1"}
    with Site(tmp_path_factory.mktemp("api"), **env) as site:
        yield site


@pytest.fixture(scope="module")
def key(site):
    site.manage("grant_credits", "programs@example.com", "2000", "--reason", "tests", "--create")
    return site.manage("create_api_key", "programs@example.com", "--name", "tests").splitlines()[-1]


@pytest.fixture(scope="module")
def client(site, key):
    with openai.OpenAI(api_key=key, base_url=f"{site.url}/v1") as client:
        yield client


@pytest.fixture(scope="module")
def finished(client):
    return client.videos.create_and_poll(prompt=KITE, model="sora-2", seconds="4", size="1280x720")


def strict(video):
    """As the SDK's own model has it, which is strict where its parser is not."""
    return Video.model_validate(video.to_dict())


def test_create_and_poll_ends_with_a_video(finished):
    video = strict(finished)
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "4", "1280x720")
    assert finished.credits == 10
    assert finished.metadata == {}


def test_the_asynchronous_client_does_the_same(site, key):
    async def run():
        async with openai.AsyncOpenAI(api_key=key, base_url=f"{site.url}/v1") as client:
            video = await client.videos.create_and_poll(prompt=f"{KITE} [sim:mark-async]", seconds="4")
            content = await client.videos.download_content(video.id)
            names = [one.id async for one in client.videos.list(limit=1)]
            return strict(video), content.content, names

    video, content, names = asyncio.run(run())
    assert video.status == "completed"
    assert content[4:8] == b"ftyp"
    assert video.id in names


@pytest.mark.parametrize(
    ("variant", "kind"), [("video", None), ("thumbnail", "WEBP"), ("spritesheet", "JPEG")]
)
def test_every_variant_can_be_downloaded(client, finished, variant, kind):
    content = client.videos.download_content(finished.id, variant=variant).content
    if kind is None:
        assert content[4:8] == b"ftyp"
    else:
        assert Image.open(io.BytesIO(content)).format == kind


def test_the_signed_link_of_a_video_needs_no_key(finished):
    answer = httpx2.get(finished.url, headers={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.content) == (206, b"ftyp")


def test_the_list_pages_by_itself_and_shows_each_video_once(client):
    wanted = {client.videos.create(prompt=f"{KITE} [sim:mark-{number}]").id for number in range(SEVERAL)}
    listed = [video.id for video in client.videos.list(limit=2)]
    oldest_first = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert wanted <= set(listed)
    assert len(listed) == len(set(listed))
    assert listed == oldest_first[::-1]


def kite_picture():
    picture = io.BytesIO()
    Image.new("RGB", (300, 200), "orange").save(picture, "PNG")
    return picture.getvalue()


def test_a_picture_becomes_the_first_frame(client):
    video = client.videos.create_and_poll(
        prompt="It moves", seconds="4", input_reference=("kite.png", kite_picture(), "image/png")
    )
    assert video.status == "completed"


def test_a_file_is_uploaded_listed_used_downloaded_and_deleted(client):
    file = client.files.create(file=("kite.png", kite_picture()), purpose="vision")
    assert FileObject.model_validate(file.to_dict()).filename == "kite.png"
    assert client.files.retrieve(file.id) == file
    assert file.id in [one.id for one in client.files.list()]
    # As an argument, the SDK for Python takes nothing but a file.
    named = {"input_reference": {"file_id": file.id}}
    video = client.videos.create(prompt=f"{KITE} [sim:mark-file]", seconds="4", extra_body=named)
    content = client.files.content(file.id).content
    assert (Image.open(io.BytesIO(content)).format, len(content)) == ("JPEG", file.bytes)
    assert client.files.delete(file.id).deleted
    assert client.videos.poll(video.id).status == "completed"


def test_a_remix_names_its_source(client, finished):
    video = client.videos.remix(finished.id, prompt="The same by night")
    assert strict(video).remixed_from_video_id == finished.id
    assert video.status == "queued"


def test_deleting_is_for_good(client):
    video = client.videos.create_and_poll(prompt=f"{KITE} [sim:mark-away]", seconds="4")
    deleted = client.videos.delete(video.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (video.id, "video.deleted", True)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)
    assert httpx2.get(video.url).status_code == 404


def test_a_video_that_failed_says_why(client):
    video = client.videos.create_and_poll(prompt="A kite [sim:moderation]", seconds="4")
    assert (video.status, video.error.code) == ("failed", "moderation_blocked")
    assert strict(video).error.message.endswith("Your credits were refunded.")


def test_the_catalogue_and_the_credits(client):
    assert [model.id for model in client.models.list()] == ["sora-2", "sora-2-pro"]
    assert client.models.retrieve("sora-2-pro").sizes[0] == "1280x720"
    credits = client.get("/credits", cast_to=object)
    assert credits["object"] == "credits"
    assert credits["balance"] + credits["reserved"] <= 2000


def test_each_kind_of_error_is_the_sdks_own_class(site, client, key, finished):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.videos.create(prompt="A kite", seconds="61")
    assert (refusal.value.param, refusal.value.code) == ("seconds", "invalid_value")

    stranger = openai.OpenAI(
        api_key=key[:-1] + ("y" if key.endswith("x") else "x"), base_url=f"{site.url}/v1", max_retries=0
    )
    with pytest.raises(openai.AuthenticationError) as refusal:
        stranger.videos.retrieve(finished.id)
    assert refusal.value.code == "invalid_api_key"

    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve("video_" + "0" * 32)

    running = client.videos.create(prompt="A kite [sim:stuck]")
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).videos.delete(running.id)

    once = client.with_options(max_retries=0)
    once.videos.create(prompt=f"{KITE} [sim:mark-one]", extra_headers={"Idempotency-Key": "same"})
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        once.videos.create(prompt="Other", extra_headers={"Idempotency-Key": "same"})
    assert refusal.value.code == "idempotency_key_reused"

    site.manage("grant_credits", "poor@example.com", "5", "--reason", "tests", "--create")
    poor = site.manage("create_api_key", "poor@example.com", "--name", "tests").splitlines()[-1]
    with pytest.raises(openai.APIStatusError) as refusal:
        openai.OpenAI(api_key=poor, base_url=f"{site.url}/v1").videos.create(prompt="A kite")
    assert (refusal.value.status_code, refusal.value.code) == (402, "insufficient_credits")
    assert "costs 10 credits. Your account has 5 available and 0 reserved" in refusal.value.message


def test_no_event_is_lost_when_the_worker_dies_between_the_end_and_its_delivery(site, client):
    with Receiver() as receiver:
        receiver.refusals = [500]
        video = client.videos.create(prompt=KITE, extra_body={"webhook_url": receiver.url})
        wait_until(lambda: receiver.arrivals)  # the first try, which is refused
        for pid in processes_of(site, "videoworker"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(receiver.arrivals) >= 2)
    first, second = receiver.arrivals[:2]
    assert (first.id, second.event["data"]["id"]) == (second.id, video.id)
    assert second.event["type"] == "video.completed"


# --- Other clients --------------------------------------------------------------------------------

OLDEST = """
import asyncio, sys, openai
from openai import AsyncOpenAI, OpenAI
assert openai.__version__ == "2.2.0", openai.__version__
site, key = sys.argv[1:]
client = OpenAI(base_url=site + "/v1", api_key=key)
video = client.videos.create_and_poll(prompt="A red kite [sim:mark-oldest]", seconds="4", size="1280x720")
assert video.status == "completed", video
assert client.videos.download_content(video.id).content[4:8] == b"ftyp"
assert video.id in [one.id for one in client.videos.list(limit=2)]
remix = client.videos.remix(video.id, prompt="A red kite [sim:mark-night]")
assert remix.remixed_from_video_id == video.id
try:
    client.videos.create(prompt="A kite", seconds="61")
except openai.BadRequestError as error:
    assert error.param == "seconds"

async def later():
    async with AsyncOpenAI(base_url=site + "/v1", api_key=key) as client:
        return await client.videos.retrieve(video.id)

assert asyncio.run(later()).status == "completed"
assert client.videos.delete(video.id).deleted
"""

JAVASCRIPT = """
import OpenAI from "openai";
const [site, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: site + "/v1", apiKey: key });
let video = await client.videos.create({ prompt: "A red kite [sim:mark-js]", seconds: "4", size: "1280x720" });
while (video.status === "queued" || video.status === "in_progress") {
  await new Promise((done) => setTimeout(done, 500));
  video = await client.videos.retrieve(video.id);
}
const content = await client.videos.downloadContent(video.id);
const bytes = Buffer.from(await content.arrayBuffer());
console.log(video.status, bytes.subarray(4, 8).toString());
"""


def test_the_oldest_sdk_that_has_videos_does_all_of_it(site, key):
    python(OLDEST, site.url, key, packages="openai-2")


def test_the_sdk_for_javascript_creates_polls_and_downloads(site, key):
    assert javascript(JAVASCRIPT, site.url, key).split() == ["completed", "ftyp"]


# One process for all of a language: each would load the SDK anew.
ALL_PYTHON = """
import json, sys, warnings
warnings.simplefilter("ignore")
for source in json.load(sys.stdin):
    exec(source, {})
"""
ALL_JAVASCRIPT = """
import fs from "node:fs";
for (const [number, source] of JSON.parse(fs.readFileSync(0)).entries()) {
  fs.writeFileSync(`example-${number}.mjs`, source);
  await import(`${process.cwd()}/example-${number}.mjs`);
}
"""


NOT_RUN = ("cancel_video", "delete_video", "delete_file")


@pytest.fixture
def sources(site, key, client, finished):
    """The examples of one language, with what they stand for in place."""
    batch = client.post("/batches/videos", body={"items": [{"prompt": "A"}]}, cast_to=object)
    drill = {"run_id": examples.RUN, "drill_text": "A"}
    client.with_options(base_url=site.url).post("/api/video-generation/generate", body=drill, cast_to=object)
    file = client.files.create(file=("kite.png", kite_picture()), purpose="vision")
    real = {
        examples.SITE: site.url,
        examples.FILE: file.id,
        examples.KEY: key,
        examples.VIDEO: finished.id,
        examples.BATCH: batch["id"],
    }

    def of(label):
        for operations in document.build(api)["paths"].values():
            for operation in operations.values():
                for sample in operation.get("x-codeSamples", []):
                    # The video of these examples has ended, and others still need it, as they do the file.
                    if sample["label"] == label and operation["operationId"] not in NOT_RUN:
                        source = sample["source"]
                        for placeholder, value in real.items():
                            source = source.replace(placeholder, value)
                        yield source

    return of


def test_every_example_in_curl_works(sources, tmp_path):
    (tmp_path / "kite.png").write_bytes(kite_picture())
    for source in sources("curl"):
        run(["bash", "-c", source.replace("curl ", "curl -sS --fail-with-body ", 1)], folder=tmp_path)


def test_every_example_in_python_works(sources, tmp_path):
    (tmp_path / "kite.png").write_bytes(kite_picture())
    run([sys.executable, "-c", ALL_PYTHON], json.dumps(list(sources("Python"))), tmp_path)
    assert (tmp_path / "kite.mp4").read_bytes()[4:8] == b"ftyp"


def test_every_example_in_javascript_works(sources):
    node = node_folder()
    (node / "kite.png").write_bytes(kite_picture())
    (node / "all.mjs").write_text(ALL_JAVASCRIPT)
    run(["node", "all.mjs"], json.dumps(list(sources("JavaScript"))), node)


# --- The first programs on the page -----------------------------------------------------------------

LANGUAGES = ["curl", "Python", "JavaScript"]


def run_sample(language, source, folder, **env):
    """Run a program in a folder of its own, as a reader does."""
    if language == "curl":
        run(["bash", "-c", source], folder=folder, **env)
    elif language == "Python":
        run([sys.executable, "-c", source], folder=folder, **env)
    else:
        (folder / "node_modules").symlink_to(node_folder() / "node_modules")
        (folder / "sample.mjs").write_text(source)
        run(["node", "sample.mjs"], folder=folder, **env)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_program_of_the_page_saves_a_video(site, key, language, tmp_path):
    run_sample(language, dict(first_video(site.url, key, ["sora-2"]))[language], tmp_path)
    assert (tmp_path / "kite.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_first_program_in_curl_ends_when_it_is_refused(site, key, tmp_path):
    source = dict(first_video(site.url, key[:-1], ["sora-2"]))["curl"]
    done = subprocess.run(
        ["bash", "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=TEST_TIMEOUT
    )
    assert done.returncode != 0
    assert "invalid_api_key" in done.stderr
    assert not (tmp_path / "kite.mp4").exists()


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_program_of_openais_guide_needs_only_two_variables(site, key, language, tmp_path):
    env = {"OPENAI_BASE_URL": f"{site.url}/v1", "OPENAI_API_KEY": key}
    run_sample(language, dict(OPENAI_GUIDE)[language], tmp_path, **env)
    assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"
