"""A moderation service, over HTTP: it finds what it is told to find, and has bad days on demand."""

import json
import threading
import time
from typing import Any

from tests.support.http_server import Handler, LocalServer

KEY = "sk-of-the-tests"
MODEL = "omni-moderation-2024-09-26"
# Of the service's thirteen categories, those that it looks for here.
CATEGORIES = ["sexual", "sexual/minors", "violence", "violence/graphic", "harassment"]


class ModerationServer(LocalServer):
    """`bad_words` are objected to in texts; `minds_pictures` is what it says of every picture, if anything."""

    def __init__(self) -> None:
        self.asked: list[Any] = []  # the input of each request
        self.bad_words = {"gore": "violence/graphic", "smut": "sexual"}
        self.minds_pictures = ""
        self.says_where = True
        self.status = 200
        self.raw: str | None = None  # an answer in place of the right one
        self.kind = "application/json"
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.on_request = lambda: None
        service, lock = self, threading.Lock()

        class ModerationHandler(Handler):
            def do_POST(self) -> None:
                body = json.loads(self.body())
                with lock:
                    service.asked.append(body["input"])
                    service.at_once += 1
                    service.most_at_once = max(service.most_at_once, service.at_once)
                service.on_request()
                time.sleep(service.delay)
                status = service.status
                if self.headers["Authorization"] != f"Bearer {KEY}" or self.path != "/v1/moderations":
                    status = 401
                answer = service.raw
                if answer is None:
                    answer = json.dumps(
                        service.answer(body) if status == 200 else {"error": {"message": "no"}}
                    )
                with lock:
                    service.at_once -= 1
                self.reply(status, answer.encode(), Content_Type=service.kind)

        super().__init__(ModerationHandler)
        self.url += "/v1"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["model"] == "omni-moderation-latest"
        parts = body["input"]
        if isinstance(parts[0], str):
            results = [self.result(text, has_picture=False) for text in parts]
        else:
            texts = [part["text"] for part in parts if part["type"] == "text"]
            pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
            assert len(pictures) == 1
            assert pictures[0].startswith("data:image/jpeg;base64,/9j/")
            results = [self.result(" ".join(texts), has_picture=True)]
        return {"id": "modr-1", "model": MODEL, "results": results}

    def result(self, text: str, *, has_picture: bool) -> dict[str, Any]:
        found: dict[str, list[str]] = {name: [] for name in CATEGORIES}
        for word, category in self.bad_words.items():
            if word in text:
                found[category].append("text")
        if has_picture and self.minds_pictures:
            found[self.minds_pictures].append("image")
        return {
            "flagged": any(found.values()),
            "categories": {name: bool(kinds) for name, kinds in found.items()},
            "category_applied_input_types": found if self.says_where else {},
            "category_scores": {name: 0.9 if kinds else 0.01 for name, kinds in found.items()},
        }
