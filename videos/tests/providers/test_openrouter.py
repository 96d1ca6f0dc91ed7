"""The adapter for OpenRouter."""

from tests.support.provider_contract import FILE, Contract, as_json, from_data_url

WORDS = {"running": "in_progress", "done": "completed", "canceled": "cancelled"}


class TestOpenRouter(Contract):
    kind = "openrouter"
    says_cost = True
    takes_last_frame = True
    cancels = False

    def kind_of(self, method, path):
        return "submit" if method == "POST" else "file" if "/content" in path else "check"

    def accepted(self):
        return as_json({"id": "job-1", "polling_url": "/api/v1/videos/job-1", "status": "pending"}, 202)

    def stands(self, word, **more):
        said = {"id": "job-1", "status": WORDS.get(word, word), **more}
        if word == "done":
            said |= {"usage": {"cost": 0.35, "is_byok": False}}
        if word == "failed":
            said |= {"error": "The model did not answer."}
        if word == "blocked":
            said |= {
                "status": "failed",
                "error": "Blocked by the content policy of the provider (moderation_blocked)",
            }
        return {"check": as_json(said), "file": (200, {"Content-Type": "video/mp4"}, FILE)}

    def understood(self, asked):
        body = asked.json
        assert (asked.path, body["aspect_ratio"], body["resolution"]) == ("/videos", "16:9", "720p")
        frames = body.get("frame_images") or [None]
        assert frames[0] is None or frames[0]["frame_type"] == "first_frame"
        image = from_data_url(frames[0] and frames[0]["image_url"]["url"])
        return {"prompt": body["prompt"], "seconds": body["duration"], "image": image}
