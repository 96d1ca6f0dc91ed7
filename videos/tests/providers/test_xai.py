"""The adapter for xAI."""

from tests.support.provider_contract import FILE, Contract, as_json, from_data_url

WORDS = {"running": "processing", "canceled": "failed"}


class TestXai(Contract):
    kind = "xai"
    says_cost = True
    cancels = False

    def kind_of(self, method, path):
        return "submit" if method == "POST" else "file" if path.startswith("/files") else "check"

    def accepted(self):
        return as_json({"request_id": "request-1"})

    def stands(self, word, **more):
        said = {"status": WORDS.get(word, word), **more}
        if word in ("done", "blocked"):
            said |= {"status": "done", "model": "grok-imagine-video"}
            said["usage"] = {"cost_in_usd_ticks": 3_500_000_000}
            url = f"{self.base}/files/1.mp4" if word == "done" else ""
            said["video"] = {"url": url, "duration": 8, "respect_moderation": word == "done"}
        return {"check": as_json(said), "file": (200, {"Content-Type": "video/mp4"}, FILE)}

    def understood(self, asked):
        body = asked.json
        assert (asked.path, body["aspect_ratio"], body["resolution"]) == (
            "/videos/generations",
            "16:9",
            "720p",
        )
        image = from_data_url(body.get("image", {}).get("url"))
        return {"prompt": body["prompt"], "seconds": body["duration"], "image": image}
