"""Simulated users during the faults: they click, double-click, resend, cancel, delete and view pages.

Each records the site's responses, because the site must not go back on them.
"""

import logging
import random
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 20  # for one response
# Tags for the provider in a prompt, with their weights. None that only the deadline ends.
TAGS = {
    "": 50,
    "[sim:lost-reply]": 10,
    "[sim:lost-reply-500]": 4,
    "[sim:hang]": 2,
    "[sim:busy]": 4,
    "[sim:error-500]": 4,
    "[sim:down]": 2,
    "[sim:fail]": 6,
    "[sim:moderation]": 2,
    "[sim:rejected]": 2,
    "[sim:truncated]": 4,
    "[sim:content-500-once]": 3,
    "[sim:poll-500]": 3,
    "[sim:poll-html]": 2,
    "[sim:slow]": 4,
    "[sim:html-file]": 1,
    "[sim:unknown-word]": 2,
}
# Further tags for a provider that sends webhooks.
HOOK_TAGS = {"": 4, "[sim:webhook-twice]": 3, "[sim:webhook-late]": 1, "[sim:webhook-lost]": 1}
HOOK_TAGS |= {"[sim:webhook-forged]": 2, "[sim:webhook-early]": 2}
CHANNELS = {"keyed": 40, "listed": 30, "hooked": 22, "blind": 8}
ACTS = {"click": 46, "double_click": 12, "repeat": 10, "cancel": 8, "delete": 6, "look": 18}


@dataclass
class Book:
    """The responses that one visitor received. The keys are the clicks' marks."""

    accepted: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # contradictory responses
    unanswered: int = 0  # requests with an error page or no response


class Visitor(threading.Thread):
    """`name` is a user with a session, or "demo", who signs in on the page. `storm` may have a tag for all clicks."""

    def __init__(self, url: str, name: str, session: str | None, seed: str, storm: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.url, self.user, self.storm = url, name, storm
        self.chance = random.Random(f"{seed}/{name}")
        self.book = Book()
        self.orders: dict[str, dict[str, str]] = {}
        self.closing = threading.Event()  # no new orders from here on
        self.given_up = threading.Event()  # no further tries of an open order either
        self.perhaps_deleted: set[str] = set()
        self.http = requests.Session()
        self.http.trust_env = False
        self.signed_in = session is not None
        self.numbers = 0
        if session:
            self.http.cookies.set("sessionid", session)

    def run(self) -> None:
        while not self.closing.wait(self.chance.uniform(0.2, 1.0)):
            if not self.signed_in:
                self.sign_in()
                continue
            [act] = self.chance.choices(list(ACTS), list(ACTS.values()))
            try:
                getattr(self, act)()
            except Exception:
                log.exception("%s: %s", self.user, act)
                self.book.wrong.append(f"{self.user} could not {act}")

    # --- Actions ----------------------------------------------------------------------------------

    def sign_in(self) -> None:
        self.get("/accounts/login/")
        self.post("/accounts/demo/", {})
        answer = self.get("/credits/", allow_redirects=False)
        self.signed_in = answer is not None and answer.status_code == 200

    def click(self, times: int = 1) -> None:
        page = self.get("/")
        nonce = (
            re.search(r'name="nonce"[^>]*value="([0-9a-f-]{36})"', page.text) if page is not None else None
        )
        if not nonce:
            return  # an error page has no form
        self.numbers += 1
        mark = f"{self.user}-{self.numbers}"
        channel = self._one_of(CHANNELS)
        tag = self.storm.get("tag") or self._one_of(TAGS)
        if channel == "hooked":
            tag += self._one_of(HOOK_TAGS)
        data = {
            "nonce": nonce[1],
            "image": "",
            "prompt": f"A red kite [sim:mark-{mark}] {tag}".strip(),
            "model": channel,
            "aspect_ratio": "9:16",
            "resolution": "720p",
            "seconds": "4",
        }
        halves = [threading.Thread(target=self.order, args=(mark, data), daemon=True) for _ in range(times)]
        for half in halves:
            half.start()
        for half in halves:
            half.join()

    def double_click(self) -> None:
        self.click(times=2)

    def repeat(self) -> None:
        """Go back and submit the same form again."""
        if self.orders:
            mark = self.chance.choice(list(self.orders))
            self.order(mark, self.orders[mark])

    def cancel(self) -> None:
        """Cancel the last order, which may still be queued."""
        if not self.book.accepted:
            return
        pk = list(self.book.accepted.values())[-1]
        answer = self.post(f"/videos/{pk}/cancel/", {})
        if answer is not None and answer.status_code == 302:
            self.book.canceled.append(pk)

    def delete(self) -> None:
        if not self.book.accepted:
            return
        pk = self.chance.choice(list(self.book.accepted.values()))
        answer = self.post(f"/videos/{pk}/delete/", {})
        if answer is None or answer.status_code != 409:
            self.perhaps_deleted.add(pk)
        if answer is not None and answer.status_code == 302:
            self.book.deleted.append(pk)

    def look(self) -> None:
        paths = ["/", "/videos/", "/credits/", "/readyz"]
        kept = [pk for pk in self.book.accepted.values() if pk not in self.perhaps_deleted]
        if kept:
            pk = self.chance.choice(kept)
            paths += [f"/videos/{pk}/", f"/videos/{pk}/card/", f"/videos/{pk}/file/"] * 2
        path = self.chance.choice(paths)
        answer = self.get(path, headers={"Range": "bytes=0-99"})
        if answer is not None and answer.status_code == 404 and not path.endswith("/file/"):
            self.book.wrong.append(f"{self.user} has seen {path} before, and now it is gone")

    def order(self, mark: str, data: dict[str, str]) -> None:
        """Send the form, and again until there is a clear response: it must not be made or charged twice."""
        while (answer := self.post("/", data)) is None or answer.status_code >= 500:
            if self.given_up.wait(0.5):
                return
        if answer.status_code != 302:
            log.info("%s: HTTP %s", mark, answer.status_code)
            if mark not in self.book.accepted:
                self.book.refused.append(mark)
            else:
                self.book.wrong.append(f"{mark} was accepted, then refused with HTTP {answer.status_code}")
            return
        pk = str(uuid.UUID(answer.headers["Location"].partition("video=")[2]))
        self.orders[mark] = data
        if self.book.accepted.setdefault(mark, pk) != pk:
            self.book.wrong.append(f"{mark} was answered with {self.book.accepted[mark]} and with {pk}")

    # --- Requests -----------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> requests.Response | None:
        return self._ask("GET", path, **options)

    def post(self, path: str, data: dict[str, str]) -> requests.Response | None:
        token = {"csrfmiddlewaretoken": self.http.cookies.get("csrftoken", "")}
        return self._ask("POST", path, data={**token, **data}, allow_redirects=False)

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response | None:
        try:
            answer = self.http.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **options)
        except requests.RequestException:
            self.book.unanswered += 1
            time.sleep(0.2)
            return None
        if answer.status_code >= 500 and path != "/readyz":
            self.book.unanswered += 1
        return answer

    def _one_of(self, weights: dict[str, int]) -> str:
        return self.chance.choices(list(weights), list(weights.values()))[0]
