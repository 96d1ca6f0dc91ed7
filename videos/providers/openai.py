"""Any server that speaks OpenAI's `/v1/videos`, through the official SDK. The only module that touches it.

The one question that is asked thousands of times a minute, how a job stands, goes by plain aiohttp:
0.2 ms of CPU instead of 0.9 (measured on one core, against the simulator). For the same reason the
SDK's requests travel through its aiohttp transport: 0.9 ms instead of 2.4 for a submit.

Servers that speak the protocol differ in words, codes and places; the table of what was seen stands
beside each rule below. Nothing here retries: the pump does, and it knows what a repeat may cost.
"""

import json
import logging
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx2
import openai
from openai.types import Video as Job
from yarl import URL

from videos.providers.base import (
    Busy,
    JobState,
    MaybeSent,
    NoFile,
    NotSent,
    Order,
    Rejected,
    Unavailable,
    Word,
    storable,
)

log = logging.getLogger(__name__)

# The protocol outlived its inventor's service; the SDK says so at each call, once is enough.
warnings.filterwarnings("ignore", message="The Sora API is scheduled", category=DeprecationWarning)

WORDS: dict[str, Word] = {
    **dict.fromkeys(
        ["queued", "pending", "submitted", "created", "in_queue", "starting", "throttled"], "queued"
    ),
    **dict.fromkeys(["in_progress", "processing", "running"], "in_progress"),
    **dict.fromkeys(["completed", "succeeded", "succeed", "success", "done"], "completed"),
    **dict.fromkeys(["failed", "error", "cancelled", "canceled", "expired", "deleted"], "failed"),
}
BLOCKED = {"moderation_blocked", "content_policy_violation"}

# Seconds. Reading covers the silence before an answer and between two pieces of a file.
TIMEOUT = httpx2.Timeout(connect=5, write=30, read=30, pool=10)
POLL_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=30)
PAGE, PAGES = 100, 5  # how far `find` looks back through an account's list


class OpenAIProvider:
    """One account at one server. `base_url` ends in /v1."""

    def __init__(self, base_url: str, key: str) -> None:
        # The SDK's own retries of POST /videos carry no key that makes them one job: 0 here.
        self.client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            max_retries=0,
            timeout=TIMEOUT,
            http_client=openai.DefaultAioHttpClient(),
        )
        self.polls: aiohttp.ClientSession | None = None

    async def submit(self, order: Order, key: str) -> JobState:
        image: Any = openai.omit
        if order.image is not None:
            # Without a name and a type it travels as application/octet-stream, which servers reject.
            image = ("first-frame.jpg", order.image, "image/jpeg")
        try:
            job = await self.client.videos.create(
                model=order.model,
                prompt=order.prompt,
                size=order.size,  # type: ignore[arg-type]  # servers take more sizes than OpenAI did
                seconds=str(order.seconds),  # type: ignore[arg-type]
                input_reference=image,
                extra_headers={"Idempotency-Key": key},
                extra_body=order.extras or None,
            )
        except openai.APIStatusError as error:
            raise _refusal(error) from error
        except openai.APIConnectionError as error:
            reason = _reason(error)
            if isinstance(reason, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                raise NotSent(repr(reason)) from error
            raise MaybeSent(repr(reason)) from error
        except (openai.APIError, ValueError) as error:
            raise MaybeSent(f"an answer that cannot be read: {error!r}") from error
        try:
            return _state(_fields(job))
        except Unavailable as error:
            raise MaybeSent(str(error)) from error

    async def check(self, ref: str) -> JobState:
        return _state(await self._retrieve(ref), ref)

    async def find(self, order: Order, since: datetime) -> list[JobState]:
        found: list[JobState] = []
        after: Any = openai.omit
        for _page in range(PAGES):
            try:
                page = await self.client.videos.list(limit=PAGE, order="desc", after=after)
                jobs = page.data
            except (openai.APIError, ValueError, AttributeError) as error:
                raise Unavailable(f"cannot list: {error!r}") from error
            if not isinstance(jobs, list):
                raise Unavailable("cannot list: no data")
            for job in jobs:
                if not isinstance(job, Job) or not job.id or not isinstance(job.created_at, int):
                    raise Unavailable("cannot list: an entry without id or time")
            # Some servers ignore the order or the limit, so one old entry or a short page ends nothing.
            recent = [job for job in jobs if job.created_at >= since.timestamp()]
            found += [
                replace(_state(_fields(job)), is_sure=bool(sure))
                for job in recent
                if (sure := _is_for(job, order)) is not False
            ]
            if not recent or getattr(page, "has_more", None) is False:
                return found[::-1]
            after = jobs[-1].id
        raise Unavailable("cannot list: the time in question is too many pages back")

    async def download(self, ref: str) -> AsyncIterator[bytes]:
        try:
            async with self.client.videos.with_streaming_response.download_content(ref) as response:
                _expect_a_file(response.headers)
                async for piece in response.iter_bytes(256 * 1024):
                    yield piece
            return
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in (401, 408, 429):
                raise Unavailable(f"content: HTTP {error.status_code}") from error
        except (openai.APIError, httpx2.HTTPError) as error:
            raise Unavailable(f"content: {error!r}") from error

        # Servers with cloud storage have no content to give, but name a place where it lies.
        url = _url(await self._retrieve(ref))
        if not url:
            raise NoFile("no content, and no url in the video object")
        try:
            # A client of its own: the account's key is nothing for a storage host.
            async with (
                httpx2.AsyncClient(timeout=TIMEOUT) as client,
                client.stream("GET", url, follow_redirects=True) as response,
            ):
                if response.status_code >= 500:
                    raise Unavailable(f"url: HTTP {response.status_code}")
                if response.status_code != 200:
                    raise NoFile(f"url: HTTP {response.status_code}")
                _expect_a_file(response.headers)
                async for piece in response.aiter_bytes(256 * 1024):
                    yield piece
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"url: {error!r}") from error

    async def close(self) -> None:
        await self.client.close()
        if self.polls:
            await self.polls.close()

    async def _retrieve(self, ref: str) -> dict[str, Any]:
        """The fields of a video object. Raises Unavailable for every answer that is none."""
        if self.polls is None:
            headers = {"Authorization": f"Bearer {self.client.api_key}"}
            self.polls = aiohttp.ClientSession(headers=headers, timeout=POLL_TIMEOUT)
        url = f"{str(self.client.base_url).rstrip('/')}/videos/{quote(ref, safe='')}"
        try:
            async with self.polls.get(URL(url, encoded=True)) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(repr(error)) from error
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Unavailable(f"HTTP {status}: no video object: {body[:80]!r}")
        # vLLM-Omni answers a failed job with an HTTP error whose body is the video object.
        is_failed_job = said.get("id") == ref and WORDS.get(str(said.get("status")).lower()) == "failed"
        if status >= 400 and not is_failed_job:
            raise Unavailable(f"HTTP {status}: {body[:200]!r}")
        return said


def _reason(error: BaseException) -> BaseException:
    """What really happened: the SDK's transport calls a server that hung up a connection that failed."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, aiohttp.ClientError):
        reason = reason.__cause__
    return reason or error


def _fields(job: Any) -> dict[str, Any]:
    """What a job says of itself. Parsing is lenient: an HTML page comes as str, and any key may be missing."""
    if not isinstance(job, Job):
        raise Unavailable(f"not a video object: {str(job)[:80]!r}")
    return {**vars(job), **(job.model_extra or {})}


def _is_for(job: Job, order: Order) -> bool | None:
    """Whether a listed job is this order's; None where it does not say enough."""
    asked = {"prompt": order.prompt.strip(), "size": order.size, "seconds": str(order.seconds)}
    said = {
        name: str(value).strip() for name in asked if (value := getattr(job, name, None)) not in (None, "")
    }
    if any(said[name] != asked[name] for name in said):
        return False
    # A model may come back under a dated or an internal name.
    return True if len(said) == len(asked) and job.model == order.model else None


def _refusal(error: openai.APIStatusError) -> Busy | Rejected | MaybeSent:
    """What an HTTP error says about a submit."""
    text = f"HTTP {error.status_code}: {error.message[:500]}"
    wait = _seconds(error.response.headers.get("retry-after"))
    if error.status_code == 429 or (error.status_code == 503 and wait is not None):
        return Busy(text, wait)
    # 409 and 425: servers that honour keys say so while the first request with this key is in work.
    if error.status_code >= 500 or error.status_code in (408, 409, 425):
        return MaybeSent(text)
    if error.code in BLOCKED:
        return Rejected("moderation_blocked", text)
    # A key that is wrong, an account that is empty, an organisation that is not verified, a path that
    # is not there: the operator's problem, and never the customer's.
    if error.status_code in (401, 402, 403, 404, 405):
        return Rejected("provider_refused", text)
    return Rejected("invalid_request", text)


def _state(said: dict[str, Any], ref: str = "") -> JobState:
    """A video object in our words. The first id counts: some servers answer a poll with another one."""
    ref = ref or str(said.get("id") or "")
    if not ref or ref != storable(ref):
        raise Unavailable(f"not a video object: {str(said)[:80]!r}")
    status = str(said.get("status") or "")
    word = WORDS.get(status.lower())
    if word is None:
        log.warning("%s: unknown state %r counts as running", ref, status)
        word = "in_progress"
    code, message = _error(said.get("error"))
    return JobState(
        ref=ref,
        word=word,
        progress=_percent(said.get("progress")),
        code="moderation_blocked" if code in BLOCKED else "generation_failed",
        message=storable(f"{status} {code} {message}".strip()),
    )


def _error(error: Any) -> tuple[str, str]:
    """The code and message of an error that is an object, a dict, a string or absent."""
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or "")
    if isinstance(error, str) or error is None:
        return "", error or ""
    return str(getattr(error, "code", "") or ""), str(getattr(error, "message", "") or "")


def _percent(progress: Any) -> int | None:
    """0–100 from 45, 0.45 or "45%"."""
    try:
        number = float(str(progress).removesuffix("%"))
    except ValueError:
        return None
    if isinstance(progress, float) and number <= 1:
        number *= 100
    return int(number) if 0 <= number <= 100 else None


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None


def _url(said: dict[str, Any]) -> str:
    """Where a finished file lies: `url`, or `metadata.url` in the new-api family."""
    metadata = said.get("metadata")
    url = said.get("url") or (metadata.get("url") if isinstance(metadata, dict) else "")
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


def _expect_a_file(headers: Any) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind == "application/json":
        raise NoFile(f"content is {kind}")
