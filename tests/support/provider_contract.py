"""What every adapter owes the dispatcher, whatever its provider speaks: the same sentences for each.

The test module of an adapter derives a class from `Contract` and says how its provider speaks.
"""

import asyncio
import json
import socket
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from email import message_from_bytes
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.support.fixtures import wait_until
from tests.support.http_server import Handler, LocalServer
from videos.providers import adapter
from videos.providers.base import Busy, JobRequest, NoFile, NotSent, OutcomeUnknown, Rejected, Unavailable

HTML = (200, {"Content-Type": "text/html"}, b"<!doctype html><title>Bad gateway</title>")
FILE = b"\0\0\0\x18ftypmp42" + bytes(1_000_000)


def picture(colour="teal"):
    out = BytesIO()
    Image.new("RGB", (1280, 720), colour).save(out, "JPEG")
    return out.getvalue()


def order(**fields):
    about = {"model": "maker/kite-1", "prompt": "A red kite", "width": 1280, "height": 720, "seconds": 8}
    return JobRequest(**{**about, "image": None, **fields})


# Answered by bytes without end, each a space, which JSON allows before anything.
ENDLESS = "endless"
MOST_READ = 32 * 2**20  # bytes; what is on its way when the reader stops counts, too


@dataclass
class Asked:
    """A request as it came, with the names of its headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Peer:
    """A provider that does what the test says: its answers by what is asked, as (status, headers, body)."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)  # bytes of each endless answer
    url: str = ""


def as_json(body: Any, status: int = 200, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()


@contextmanager
def serving(peer, kind_of):
    """Answer on a free port; `kind_of(method, path)` is submit, check, result or file."""

    class PeerHandler(Handler):
        def do(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            peer.asked.append(Asked(self.command, self.path, headers, self.body()))
            answer = peer.answers.get(
                kind_of(self.command, self.path), as_json({"error": "no such path"}, 404)
            )
            if answer is None:
                self.close_connection = True
                return
            if answer == ENDLESS:
                peer.sent.append(self.reply_without_end(MOST_READ))
                return
            status, headers, content = answer
            self.reply(status, content, **{name.replace("-", "_"): value for name, value in headers.items()})
            if int(headers.get("Content-Length", len(content))) > len(content):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do

    with LocalServer(PeerHandler) as server:
        peer.url = server.url
        yield peer


class Contract:
    """Sentences that hold for every adapter. A subclass gives `kind`, and the provider's words below."""

    kind: str
    profile = ""
    cancels = True  # whether a running job can be stopped there
    says_progress = True
    says_cost = False
    takes_last_frame = False

    # --- How the provider speaks ---

    def kind_of(self, method: str, path: str) -> str:
        """submit, check, result or file."""
        raise NotImplementedError

    def accepted(self) -> Any:
        """The answer to a submit that was taken."""
        raise NotImplementedError

    def stands(self, word: str, **more: Any) -> dict[str, Any]:
        """The answers by which a job stands so: pending, running, done, failed, blocked, expired, canceled, or any word."""
        raise NotImplementedError

    def error(self, status: int, **headers: str) -> Any:
        """An HTTP error, as this provider puts it."""
        return as_json({"error": {"message": f"It is {status}."}}, status, **headers)

    def blocked(self) -> Any:
        """The answer to a submit that is refused by moderation."""
        return as_json({"error": {"code": "moderation_blocked", "message": "No."}}, 400)

    def understood(self, asked: Asked) -> dict[str, Any]:
        """What the provider would read from a submit: prompt, seconds, image (bytes or None)."""
        raise NotImplementedError

    # --- What is tested ---

    @pytest.fixture
    def peer(self):
        def kind_of(method, path):
            return "cancel" if method in ("DELETE", "PUT") else self.kind_of(method, path)

        with serving(Peer(), kind_of) as peer:
            self.base = peer.url
            yield peer

    def ask(self, url, do):
        async def run():
            async with adapter(self.kind)(url, "key-1", self.profile) as provider:
                return await do(provider)

        return asyncio.run(run())

    def submit(self, peer, **fields):
        return self.ask(peer.url, lambda provider: provider.submit(order(**fields), "submit-1"))

    def check(self, peer):
        async def do(provider):
            return await provider.check((await provider.submit(order(), "submit-1")).ref)

        peer.answers["submit"] = self.accepted()
        return self.ask(peer.url, do)

    def download(self, peer, most=2**30):
        async def do(provider):
            ref, data = (await provider.submit(order(), "submit-1")).ref, b""
            async for piece in provider.download(ref):
                data += piece
                if len(data) > most:
                    break
            return data

        peer.answers["submit"] = self.accepted()
        return self.ask(peer.url, do)

    def cancel(self, peer):
        """What comes of it, and what was asked for that."""

        async def do(provider):
            ref = (await provider.submit(order(), "submit-1")).ref
            peer.asked.clear()
            return await provider.cancel(ref)

        peer.answers["submit"] = self.accepted()
        return self.ask(peer.url, do), peer.asked

    def test_words_become_a_job(self, peer):
        peer.answers["submit"] = self.accepted()
        job = self.submit(peer)
        (asked,) = peer.asked
        assert job.ref
        assert job.status in ("queued", "in_progress")
        assert self.understood(asked) == {"prompt": "A red kite", "seconds": 8, "image": None}
        assert "key-1" in asked.headers["authorization"]

    def test_words_and_a_picture_become_a_job(self, peer):
        peer.answers["submit"] = self.accepted()
        self.submit(peer, image=picture())
        assert self.understood(peer.asked[0])["image"] == picture()

    def test_a_last_frame_travels_along_or_is_refused_before_anything_is_sent(self, peer):
        peer.answers["submit"] = self.accepted()
        frames = {"image": picture(), "last_frame": picture("navy")}
        if self.takes_last_frame:
            self.submit(peer, **frames)
            assert b64encode(frames["last_frame"]) in peer.asked[0].body
            return
        with pytest.raises(Rejected):
            self.submit(peer, **frames)
        assert peer.asked == []

    def test_what_else_a_model_takes_travels_along(self, peer):
        peer.answers["submit"] = self.accepted()
        self.submit(peer, extras={"seed": 7})
        assert b"seed" in peer.asked[0].body

    def test_a_job_is_followed_to_its_file(self, peer):
        for word, ours in (("pending", "queued"), ("running", "in_progress"), ("done", "completed")):
            peer.answers |= self.stands(word)
            assert self.check(peer).status == ours
        assert self.download(peer) == FILE

    def test_progress_is_per_cent_whatever_it_is_there(self, peer):
        for said, per_cent in ((45, 45), (0.45, 45), ("45%", 45), (None, None)):
            peer.answers |= self.stands("running", progress=said)
            assert self.check(peer).progress == (per_cent if self.says_progress else None)

    def test_the_cost_is_what_the_provider_says(self, peer):
        peer.answers |= self.stands("done")
        assert self.check(peer).cost == (Decimal("0.35") if self.says_cost else None)

    @pytest.mark.parametrize("word", ["failed", "expired", "canceled"])
    def test_a_job_that_ended_otherwise_has_failed(self, peer, word):
        peer.answers |= self.stands(word)
        job = self.check(peer)
        assert (job.status, job.code) == ("failed", "generation_failed")

    def test_a_job_that_was_blocked_says_so(self, peer):
        peer.answers |= self.stands("blocked")
        job = self.check(peer)
        assert (job.status, job.code) == ("failed", "moderation_blocked")

    def test_an_unknown_word_means_still_running(self, peer):
        peer.answers |= self.stands("rendering")
        assert self.check(peer).status == "in_progress"

    def test_a_submit_that_is_blocked_is_a_verdict(self, peer):
        peer.answers["submit"] = self.blocked()
        with pytest.raises(Rejected) as refusal:
            self.submit(peer)
        assert refusal.value.code == "moderation_blocked"

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_submit_that_is_wrong_is_a_verdict(self, peer, status):
        peer.answers["submit"] = self.error(status)
        with pytest.raises(Rejected) as refusal:
            self.submit(peer)
        assert refusal.value.code == "invalid_request"
        assert str(status) in str(refusal.value)

    @pytest.mark.parametrize("status", [401, 402, 403, 404])
    def test_what_is_the_operators_trouble_is_called_so(self, peer, status):
        peer.answers["submit"] = self.error(status)
        with pytest.raises(Rejected) as refusal:
            self.submit(peer)
        assert refusal.value.code == "provider_refused"

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_provider_says_when_to_come_again(self, peer, status):
        peer.answers["submit"] = self.error(status, **{"Retry-After": "7"})
        with pytest.raises(Busy) as busy:
            self.submit(peer)
        assert busy.value.after == 7

    def test_a_submit_is_sent_once_whatever_comes_back(self, peer):
        for answer in (self.error(429), self.error(500), self.error(409), HTML, None):
            peer.asked.clear()
            peer.answers["submit"] = answer
            with pytest.raises((Busy, OutcomeUnknown)):
                self.submit(peer)
            assert len(peer.asked) == 1

    @pytest.mark.parametrize("answer", ["500", "html", "hung up", "empty"])
    def test_a_submit_without_a_clear_answer_may_have_arrived(self, peer, answer):
        empty = (200, {"Content-Type": "application/json"}, b"{}")
        peer.answers["submit"] = {"500": self.error(500), "html": HTML, "hung up": None, "empty": empty}[
            answer
        ]
        with pytest.raises(OutcomeUnknown):
            self.submit(peer)

    def test_a_submit_that_finds_nobody_was_not_sent(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            with pytest.raises(NotSent):
                self.submit(Peer(url=url))

    def test_a_submit_whose_answer_never_comes_may_have_arrived(self, monkeypatch):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()

            async def impatient(provider):
                async with asyncio.timeout(0.5):
                    await provider.submit(order(), "submit-1")

            # The dispatcher sets the limit; what counts is that nobody calls this "not sent".
            with pytest.raises((OutcomeUnknown, TimeoutError)):
                self.ask(f"http://127.0.0.1:{silent.getsockname()[1]}", impatient)

    @pytest.mark.parametrize("status", [401, 404, 429, 500])
    def test_an_error_of_a_question_is_no_verdict(self, peer, status):
        peer.answers["check"] = self.error(status)
        with pytest.raises(Unavailable):
            self.check(peer)

    def test_a_page_instead_of_an_answer_is_no_verdict(self, peer):
        for answer in (HTML, (200, {}, b""), as_json([1]), None):
            peer.answers["check"] = answer
            with pytest.raises(Unavailable):
                self.check(peer)

    def test_a_file_that_is_cut_off_is_fetched_again(self, peer):
        peer.answers |= self.stands("done")
        status, headers, content = peer.answers["file"]
        peer.answers["file"] = status, {**headers, "Content-Length": str(len(content))}, content[:1000]
        with pytest.raises(Unavailable):
            self.download(peer)

    def test_a_huge_file_is_not_read_to_its_end(self, peer):
        peer.answers |= self.stands("done")
        assert len(self.download(peer, most=300_000)) < len(FILE)

    def test_a_page_instead_of_a_file_is_no_file(self, peer):
        peer.answers |= self.stands("done")
        peer.answers["file"] = HTML
        with pytest.raises(NoFile):
            self.download(peer)

    def test_the_probe_costs_nothing_and_shows_whether_the_key_is_good(self, peer):
        for status in (200, 401, 403, 404):
            peer.answers = dict.fromkeys(["check", "result"], self.error(status))
            assert self.ask(peer.url, lambda provider: provider.probe())[0] == status
        assert {asked.method for asked in peer.asked} == {"GET"}
        assert "key-1" in peer.asked[0].headers["authorization"]

    def test_a_job_is_cancelled_by_one_request_where_that_can_be(self, peer):
        peer.answers["cancel"] = as_json({"id": "video_1"}, 202)
        taken_up, asked = self.cancel(peer)
        assert (taken_up, len(asked)) == (self.cancels, self.cancels)
        assert all("key-1" in request.headers["authorization"] for request in asked)

    @pytest.mark.parametrize("status", [400, 404, 405, 409, 500])
    def test_a_job_that_cannot_be_cancelled_is_left_alone(self, peer, status):
        peer.answers["cancel"] = self.error(status)
        assert self.cancel(peer)[0] is False

    def test_a_cancel_without_an_answer_says_nothing(self, peer):
        peer.answers["cancel"] = None
        if self.cancels:
            with pytest.raises(Unavailable):
                self.cancel(peer)

    def test_an_answer_without_end_is_not_read_on(self, peer):
        peer.answers = dict.fromkeys(["submit", "check", "result"], ENDLESS)
        with pytest.raises(OutcomeUnknown):
            self.submit(peer)
        with pytest.raises(Unavailable):
            self.check(peer)
        wait_until(lambda: len(peer.sent) == 2)
        assert all(sent < MOST_READ for sent in peer.sent)

    def test_a_storage_that_is_away_is_asked_again(self, peer):
        peer.answers |= self.stands("done")
        peer.answers["file"] = self.error(503)
        with pytest.raises(Unavailable):
            self.download(peer)


def from_data_url(url: str | None) -> bytes | None:
    return b64decode(url.partition(",")[2]) if url else None


WORDS = {"pending": "queued", "running": "in_progress", "done": "completed", "canceled": "cancelled"}


class OpenAIContract(Contract):
    kind = "openai"
    takes_last_frame = True

    def kind_of(self, method, path):
        if method == "POST":
            return "submit"
        return {"content": "file", "elsewhere": "elsewhere"}.get(path.rpartition("/")[2], "check")

    def job(self, word="pending", **more):
        failed = {"code": "internal_error", "message": "It broke."}
        code = {"blocked": {"code": "moderation_blocked", "message": "No."}, "failed": failed}
        status = "failed" if word == "blocked" else WORDS.get(word, word)
        return {"id": "video_1", "object": "video", "status": status, "error": code.get(word), **more}

    def accepted(self):
        return as_json(self.job())

    def stands(self, word, **more):
        return {"check": as_json(self.job(word, **more)), "file": (200, {"Content-Type": "video/mp4"}, FILE)}

    def understood(self, asked: Asked):
        if asked.headers["content-type"].startswith("application/json"):
            fields = asked.json
        else:
            head = b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n"
            parts = message_from_bytes(head + asked.body).get_payload()
            fields = {
                part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                for part in parts
            }
            fields = {
                name: value if name == "input_reference" else value.decode() for name, value in fields.items()
            }
        return {
            "prompt": fields["prompt"],
            "seconds": int(fields["seconds"]),
            "image": fields.get("input_reference"),
        }

    def test_a_repeat_can_be_recognised(self, peer):
        peer.answers["submit"] = self.accepted()
        self.submit(peer)
        assert peer.asked[0].headers["idempotency-key"] == "submit-1"

    def test_the_file_may_lie_elsewhere(self, peer):
        """SGLang with cloud storage answers 400 for the content; new-api names the place in the metadata."""
        peer.answers |= self.stands("done")
        peer.answers["elsewhere"], peer.answers["file"] = peer.answers["file"], self.error(400)
        place = f"{peer.url}/elsewhere"
        for named in (
            {"url": place},
            {"metadata": {"url": place}},
            {"urls": [place]},
            {"video": {"url": place}},
        ):
            peer.answers["check"] = as_json(self.job("done", **named))
            assert self.download(peer) == FILE

    def test_a_failed_job_may_come_as_an_http_error(self, peer):
        """vLLM-Omni does so, with a number for a code."""
        said = self.job("failed", error={"code": 500, "message": "It broke."})
        peer.answers["check"] = as_json(said, 500)
        assert self.check(peer).status == "failed"
