"""The adapter for any server that speaks OpenAI's `/v1/videos`."""

from email import message_from_bytes

from tests.support.provider_contract import FILE, Asked, Contract, as_json

WORDS = {"pending": "queued", "running": "in_progress", "done": "completed", "canceled": "cancelled"}


class TestOpenAI(Contract):
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
        assert self.check(peer).word == "failed"
