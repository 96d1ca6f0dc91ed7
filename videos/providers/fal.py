"""fal: a queue for models of many makers, over plain HTTP, because its own client would send a submit up to ten times.

Each app has its own fields; the names here are those that most video apps share. `{task}` in the
model's name is replaced by text or image, which are separate apps.
https://docs.fal.ai/model-apis/model-endpoints/queue
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

import aiohttp

from videos.providers import ADDRESSES, bodies, downloads, normalise, redirects
from videos.providers.base import (
    JobRequest,
    JobState,
    JsonObject,
    NoFile,
    NotSent,
    OutcomeUnknown,
    Provider,
    Unavailable,
    data_url,
)

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=30)


class Adapter(Provider):
    default_url = ADDRESSES["fal"]

    def __init__(self, base_url: str, key: str, profile: str = "") -> None:
        self.base_url, self.key = base_url.rstrip("/"), key
        self.session: aiohttp.ClientSession | None = None

    async def submit(self, order: JobRequest, key: str) -> JobState:
        app = order.model.format(task="text" if order.image is None else "image")
        body = {
            "prompt": order.prompt,
            "duration": str(order.seconds),
            "aspect_ratio": order.aspect_ratio,
            "resolution": order.resolution,
            **order.extras_as(audio="generate_audio"),
        }
        if order.image is not None:
            # Kling's apps have used another name since version 3.
            name = "start_image_url" if re.search(r"/kling-video/v[3-9]", app) else "image_url"
            body[name] = data_url(order.image)
        if order.last_frame is not None:
            body["end_image_url"] = data_url(order.last_frame)
        try:
            status, headers, answer = await self._request("POST", app, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(repr(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OutcomeUnknown(repr(error)) from error
        if status >= 400:
            code, message = _detail(answer)
            raise normalise.refusal(status, code, message, headers.get("retry-after"))
        try:
            # A job is polled at its app, whose name is the first two parts of the model's.
            return normalise.state(
                {"status": "queued", "id": "/".join([*app.split("/")[:2], "requests", answer["request_id"]])}
            )
        except (KeyError, TypeError, Unavailable) as error:
            raise OutcomeUnknown(f"no request_id: {str(answer)[:200]}") from error

    async def check(self, ref: str) -> JobState:
        answer = await self._get(f"{ref}/status")
        if normalise.status_of(answer.get("status")) != "completed":
            return normalise.state(answer, ref)
        # A failed job is reported as completed, too; only its result tells.
        status, result = await self._result(ref)
        if status < 400:
            return normalise.state({"status": "completed"}, ref)
        code, message = _detail(result)
        return normalise.state({"status": "failed", "error": {"code": code, "message": message}}, ref)

    async def find(self, order: JobRequest, since: datetime) -> NoReturn:
        raise Unavailable("fal has no list of requests")

    async def jobs(self, since: datetime) -> NoReturn:
        raise Unavailable("fal has no list of requests")

    async def download(self, ref: str) -> AsyncIterator[bytes]:
        _status, result = await self._result(ref)
        url = normalise.url(result)
        if not url:
            raise NoFile(f"no url in the result: {str(result)[:200]}")
        async for piece in downloads.stream(url, self.base_url):
            yield piece

    async def capabilities(self) -> NoReturn:
        raise Unavailable("fal has no list of what its apps can do")

    async def cancel(self, ref: str) -> bool:
        # 202 for a queued or running job, 400 for a finished one.
        # https://fal.ai/docs/inference-api/queue/cancel
        status, _headers, _answer = await self._query("PUT", f"{ref}/cancel")
        return status < 300

    async def probe(self) -> tuple[int, str]:
        # A nonexistent request: 404 with a valid key, 401 without.
        status, _headers, answer = await self._query("GET", "fal-ai/none/requests/none/status")
        return status, json.dumps(answer)

    async def close(self) -> None:
        if self.session:
            await self.session.close()

    async def _result(self, ref: str) -> tuple[int, JsonObject]:
        """The HTTP status and the result of a finished job. Raises Unavailable for an answer that does not tell."""
        status, _headers, answer = await self._query("GET", ref)
        if status >= 400 and (status in (401, 403, 404, 408, 429) or "detail" not in answer):
            raise Unavailable(f"HTTP {status}: {str(answer)[:200]}")
        return status, answer

    async def _get(self, path: str) -> JsonObject:
        status, _headers, answer = await self._query("GET", path)
        if status >= 400:
            raise Unavailable(f"HTTP {status}: {str(answer)[:200]}")
        return answer

    async def _query(self, method: str, path: str) -> tuple[int, Mapping[str, str], JsonObject]:
        try:
            status, headers, answer = await self._request(method, path)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(repr(error)) from error
        if not isinstance(answer, dict):
            raise Unavailable(f"HTTP {status}: no JSON object: {str(answer)[:80]}")
        return status, headers, answer

    async def _request(
        self, method: str, path: str, body: JsonObject | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """The HTTP status, the headers, and the body as JSON or, if it is not JSON, as text."""
        if self.session is None:
            headers = {"Authorization": f"Key {self.key}"}
            self.session = redirects.session(headers, TIMEOUT)
        async with self.session.request(method, f"{self.base_url}/{path}", json=body) as response:
            text = await bodies.read(response)
            try:
                return response.status, response.headers, json.loads(text)
            except ValueError:
                return response.status, response.headers, text


def _detail(answer: object) -> tuple[str, str]:
    """The code and message of an error. `detail` is a sentence or a list of errors by field."""
    detail = answer.get("detail") if isinstance(answer, dict) else answer
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return str(detail[0].get("type") or ""), str(detail[0].get("msg") or "")
    return "", str(detail or "")
