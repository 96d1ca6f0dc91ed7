"""OpenAI's published OpenAPI document as the judge of what we send, what our simulator says and what our API says.

The document is not part of this project: OPENAI_OPENAPI is the path of a copy, as JSON.
"""

import asyncio
import json
import os
import time
from email import message_from_bytes
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests

from tests.support.fixtures import start_simulator
from tests.support.installation import Site
from tests.support.provider_contract import Peer, as_json, picture, serving
from tests.support.provider_contract import order as asked
from videos.providers import adapter

WHERE = os.environ.get("OPENAI_OPENAPI", "")
NO_DOCUMENT = (
    "OPENAI_OPENAPI is not set: the path of OpenAI's OpenAPI document as JSON, which its"
    " repository openai/openai-openapi publishes"
)


class Judge:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def problems(self, schema: str, said: Any) -> list[str]:
        """What is wrong with something that should be of this schema."""
        whole = {**self.document, "$ref": f"#/components/schemas/{schema}"}
        judge = jsonschema_rs.Draft202012Validator(whole)
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in judge.iter_errors(said)
        ]


@pytest.fixture(scope="module")
def judge():
    if not WHERE:
        pytest.skip(NO_DOCUMENT)
    return Judge(json.loads(Path(WHERE).read_text()))


# --- What we send ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [None, picture()], ids=["words", "words and a picture"])
def test_our_create_is_what_the_document_takes(judge, image):
    job = as_json({"id": "video_1", "object": "video", "status": "queued"})
    with serving(Peer({"submit": job}), lambda *_: "submit") as peer:

        async def send():
            async with adapter("openai")(peer.url, "key-1", "openai") as provider:
                await provider.submit(asked(model="sora-2", image=image), "submit-1")

        asyncio.run(send())
    assert judge.problems("CreateVideoMultipartBody", fields_of(peer.asked[0])) == []


def fields_of(request):
    """A multipart body's fields; of files, that they are there."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    parts = message_from_bytes(head + request.body).get_payload()
    return {
        part.get_param("name", header="content-disposition"): "(a file)"
        if part.get_filename()
        else part.get_payload(decode=True).decode()
        for part in parts
    }


# --- What our simulator and our API say ------------------------------------------------------------


def problems_of_a_life(judge, base_url, key, model):
    """What is wrong with the answers of a server from a video's create to its deletion, and of one that fails."""
    said = []

    def ask(method, path, schema, **options):
        answer = requests.request(
            method, base_url + path, headers={"Authorization": f"Bearer {key}"}, timeout=10, **options
        )
        assert answer.status_code == 200, answer.text
        said.extend(f"{method} {path}: {problem}" for problem in judge.problems(schema, answer.json()))
        return answer.json()

    def ended(prompt):
        body = {"model": model, "prompt": prompt, "size": "1280x720", "seconds": "4"}
        assert judge.problems("CreateVideoJsonBody", body) == []
        video = ask("POST", "/videos", "VideoResource", json=body)
        until = time.monotonic() + 60
        while video["status"] in ("queued", "in_progress"):
            assert time.monotonic() < until
            time.sleep(0.1)
            video = ask("GET", f"/videos/{video['id']}", "VideoResource")
        return video

    made, failed = ended("A red kite"), ended("A red kite [sim:fail]")
    assert (made["status"], failed["status"]) == ("completed", "failed")
    ask("GET", "/videos", "VideoListResource")
    ask("POST", f"/videos/{made['id']}/remix", "VideoResource", json={"prompt": "At night"})
    ask("DELETE", f"/videos/{failed['id']}", "DeletedVideoResource")
    return said


@pytest.mark.parametrize("profile", ["", "openai"])
def test_our_simulator_says_what_the_document_says(judge, tmp_path, profile):
    process, url = start_simulator(tmp_path, 0, "--profile", profile, SIMULATOR_SECONDS="1")
    try:
        assert problems_of_a_life(judge, url, "a-key", "sora-2") == []
    finally:
        process.terminate()
        process.wait(10)


def test_our_api_says_what_the_document_says(judge, tmp_path):
    with Site(tmp_path, SIMULATOR_SECONDS="1") as site:
        site.manage("grant_credits", "programs@example.com", "100", "--reason", "tests", "--create")
        key = site.manage("create_api_key", "programs@example.com", "--name", "tests").splitlines()[-1]
        assert problems_of_a_life(judge, f"{site.url}/v1", key, "sora-2") == []
