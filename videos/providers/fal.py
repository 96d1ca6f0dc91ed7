"""fal: a queue before many makers' models, by plain HTTP. Its own client would send a submit up to ten times.

Each app has its own fields; these are the names that most of those for video share. `{task}` in the
model's name becomes text or image: the two are apps of their own. https://docs.fal.ai/model-apis/model-endpoints/queue
"""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NoReturn

import aiohttp

from videos.providers import ADDRESSES, downloads, normalise
from videos.providers.base import JobState, MaybeSent, NoFile, NotSent, Order, Unavailable, data_url

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=30)


class Adapter:
    default_url = ADDRESSES["fal"]

    def __init__(self, base_url: str, key: str, profile: str = "") -> None:
        self.base_url, self.key = base_url.rstrip("/"), key
        self.session: aiohttp.ClientSession | None = None

    async def submit(self, order: Order, key: str) -> JobState:
        app = order.model.format(task="text" if order.image is None else "image")
        body = {
            "prompt": order.prompt,
            "duration": str(order.seconds),
            "aspect_ratio": order.aspect_ratio,
            "resolution": order.resolution,
            **order.extras_as(audio="generate_audio"),
        }
        if order.image is not None:
            # Kling's apps have called it otherwise since version 3.
            name = "start_image_url" if re.search(r"/kling-video/v[3-9]", app) else "image_url"
            body[name] = data_url(order.image)
        if order.last_frame is not None:
            body["end_image_url"] = data_url(order.last_frame)
        try:
            status, headers, said = await self._ask("POST", app, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(repr(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise MaybeSent(repr(error)) from error
        if status >= 400:
            code, message = _detail(said)
            raise normalise.refusal(status, code, message, headers.get("retry-after"))
        try:
            # A job is asked about at its app, whose name is the first two parts of the model's.
            return normalise.state(
                {"status": "queued", "id": "/".join([*app.split("/")[:2], "requests", said["request_id"]])}
            )
        except (KeyError, TypeError, Unavailable) as error:
            raise MaybeSent(f"no request_id: {str(said)[:200]}") from error

    async def check(self, ref: str) -> JobState:
        said = await self._get(f"{ref}/status")
        if normalise.word(said.get("status")) != "completed":
            return normalise.state(said, ref)
        # A job that failed is called completed as well: its result says what became of it.
        status, result = await self._result(ref)
        if status < 400:
            return normalise.state({"status": "completed"}, ref)
        code, message = _detail(result)
        return normalise.state({"status": "failed", "error": {"code": code, "message": message}}, ref)

    async def find(self, order: Order, since: datetime) -> NoReturn:
        raise Unavailable("fal has no list of requests")

    async def download(self, ref: str) -> AsyncIterator[bytes]:
        _status, result = await self._result(ref)
        url = normalise.url(result)
        if not url:
            raise NoFile(f"no url in the result: {str(result)[:200]}")
        async for piece in downloads.stream(url):
            yield piece

    async def capabilities(self) -> NoReturn:
        raise Unavailable("fal has no list of what its apps can do")

    async def cancel(self, ref: str) -> bool:
        # 202 for one that waits or runs, 400 for one that is done.
        # https://fal.ai/docs/inference-api/queue/cancel
        status, _headers, _said = await self._asked("PUT", f"{ref}/cancel")
        return status < 300

    async def probe(self) -> tuple[int, str]:
        # Nobody's request: 404 with a good key, 401 without one.
        status, _headers, said = await self._asked("GET", "fal-ai/none/requests/none/status")
        return status, json.dumps(said)

    async def close(self) -> None:
        if self.session:
            await self.session.close()

    async def _result(self, ref: str) -> tuple[int, dict[str, Any]]:
        """What a finished job is answered with. Raises Unavailable for what is no word about it."""
        status, _headers, said = await self._asked("GET", ref)
        if status >= 400 and (status in (401, 403, 404, 408, 429) or "detail" not in said):
            raise Unavailable(f"HTTP {status}: {str(said)[:200]}")
        return status, said

    async def _get(self, path: str) -> dict[str, Any]:
        status, _headers, said = await self._asked("GET", path)
        if status >= 400:
            raise Unavailable(f"HTTP {status}: {str(said)[:200]}")
        return said

    async def _asked(self, method: str, path: str) -> tuple[int, Any, dict[str, Any]]:
        try:
            status, headers, said = await self._ask(method, path)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(repr(error)) from error
        if not isinstance(said, dict):
            raise Unavailable(f"HTTP {status}: no JSON object: {str(said)[:80]}")
        return status, headers, said

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        """Status, headers and what the body says, as JSON or, where it is none, as text."""
        if self.session is None:
            headers = {"Authorization": f"Key {self.key}"}
            self.session = aiohttp.ClientSession(headers=headers, timeout=TIMEOUT)
        async with self.session.request(method, f"{self.base_url}/{path}", json=body) as answer:
            text = (await answer.read()).decode(errors="replace")
            try:
                return answer.status, answer.headers, json.loads(text)
            except ValueError:
                return answer.status, answer.headers, text


def _detail(said: Any) -> tuple[str, str]:
    """The code and message of an error: `detail` is a sentence, or a list of what is wrong with which field."""
    detail = said.get("detail") if isinstance(said, dict) else said
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return str(detail[0].get("type") or ""), str(detail[0].get("msg") or "")
    return "", str(detail or "")
