"""The adapter for fal."""

from tests.support.provider_contract import FILE, Contract, as_json, from_data_url
from videos.providers.base import data_url

WORDS = {"pending": "IN_QUEUE", "running": "IN_PROGRESS", "rendering": "RENDERING"}


class TestFal(Contract):
    kind = "fal"
    says_progress = False
    takes_last_frame = True

    def kind_of(self, method, path):
        if method == "POST":
            return "submit"
        return "file" if path.startswith("/files") else "check" if path.endswith("/status") else "result"

    def accepted(self):
        return as_json({"request_id": "request-1", "queue_position": 0})

    def stands(self, word, progress=None):
        results = {
            "done": as_json({"video": {"url": f"{self.base}/files/1.mp4"}}),
            "blocked": self.blocked(),
            "failed": as_json({"detail": "The runner broke."}, 500),
        }
        return {
            "check": as_json({"status": WORDS.get(word, "COMPLETED")}),
            "result": results.get(word, self.error(422)),
            "file": (200, {"Content-Type": "video/mp4"}, FILE),
        }

    def error(self, status, **headers):
        return as_json({"detail": f"It is {status}."}, status, **headers)

    def blocked(self):
        detail = [{"loc": ["body", "prompt"], "msg": "No.", "type": "content_policy_violation"}]
        return as_json({"detail": detail}, 422)

    def understood(self, asked):
        body = asked.json
        assert (asked.path, body["aspect_ratio"], body["resolution"]) == ("/maker/kite-1", "16:9", "720p")
        return {
            "prompt": body["prompt"],
            "seconds": int(body["duration"]),
            "image": from_data_url(body.get("image_url")),
        }

    def test_words_and_pictures_have_apps_of_their_own(self, peer):
        peer.answers["submit"] = self.accepted()
        jobs = [
            self.submit(peer, model="maker/kite/v2/{task}-to-video", image=image) for image in (None, b"x")
        ]
        assert [asked.path for asked in peer.asked] == [
            "/maker/kite/v2/text-to-video",
            "/maker/kite/v2/image-to-video",
        ]
        assert {job.ref for job in jobs} == {"maker/kite/requests/request-1"}

    def test_sound_and_frames_have_the_names_that_its_apps_give_them(self, peer):
        peer.answers["submit"] = self.accepted()
        frames = {"image": b"x", "last_frame": b"y", "extras": {"audio": False}}
        for model in ("maker/kite", "fal-ai/kling-video/v4/{task}-to-video"):
            self.submit(peer, model=model, **frames)
        first, kling = (asked.json for asked in peer.asked)
        assert (first["generate_audio"], first["image_url"], first["end_image_url"]) == (
            False,
            data_url(b"x"),
            data_url(b"y"),
        )
        assert (kling["start_image_url"], "image_url" in kling) == (data_url(b"x"), False)
