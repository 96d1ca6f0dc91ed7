"""Adapter for any server with OpenAI's `/v1/videos` protocol, through the official SDK.

Polling, which happens thousands of times a minute, uses plain aiohttp: 0.2 ms of CPU instead of 0.9
(measured on one core, against the simulator). For the same reason the SDK uses its aiohttp
transport: 0.9 ms instead of 2.4 for a submit.

Nothing here retries: the dispatcher does, and it knows what a repeat may cost.
"""

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx2
import openai
from openai.types import Video as Job
from yarl import URL

from videos.providers import ADDRESSES, bodies, downloads, normalise, redirects
from videos.providers.base import (
    Capability,
    Found,
    JobRequest,
    JobState,
    JsonObject,
    ListedJob,
    NoFile,
    NotSent,
    OutcomeUnknown,
    Provider,
    Rejected,
    Unavailable,
    data_url,
)
from videos.providers.dialects import PROFILES, Profile

# The protocol has outlived OpenAI's own service. The SDK warns about that at each call.
warnings.filterwarnings("ignore", message="The Sora API is scheduled", category=DeprecationWarning)

POLL_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=30)
PAGE, MAX_PAGES = 100, 100  # how far `find` looks back through an account's list
# Seconds: how old a list may be that others have read, and the steps of how far back it is read, so that it serves them.
LIST_FRESH, STEP = 1, 300
# Unix seconds: no job is older, so an earlier time (LiteLLM lists 0) says nothing.
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
MAX_AHEAD = 600  # seconds by which a listed time may be ahead of the list's own clock
MAX_BEHIND = 24 * 3600  # seconds by which it may be behind, such as local times labeled as UTC


@dataclass(frozen=True)
class Listing:
    """An account's list of jobs, as far back as `since`. `doubt` is why it may lack one; empty if it cannot.

    Each job comes with the seconds by which the clock of its page was ahead of ours, and the time by that clock.
    """

    started_at: float  # monotonic seconds
    since: float  # Unix seconds, by our clock
    jobs: list[tuple[Job, float, float]]
    doubt: str


class Adapter(Provider):
    """One account at one server. `base_url` ends in /v1. Other protocols' adapters inherit from it and override what differs."""

    default_url = ADDRESSES["openai"]
    profile: Profile = PROFILES[""]
    has_content = True  # whether finished files are available at `/videos/{id}/content`
    free_path = "models"  # a request that costs nothing and shows whether the key is valid

    def __init__(self, base_url: str, key: str, profile: str = "") -> None:
        if profile:
            self.profile = PROFILES[profile]
        # No retries: the SDK would repeat POST /videos without an idempotency key.
        self.client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            max_retries=0,
            timeout=downloads.TIMEOUT,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultAioHttpClient(
                verify=downloads.tls(), event_hooks={"response": [redirects.hook, bodies.limit]}
            ),
        )
        self.polls: aiohttp.ClientSession | None = None
        self.reading = asyncio.Lock()
        self.listing: Listing | None = None
        self.unlisted: tuple[float, Unavailable] | None = (
            None  # when reading the list began that failed, and how
        )

    async def submit(self, order: JobRequest, key: str) -> JobState:
        try:
            answer = await self.create(order, {"Idempotency-Key": key, **self.profile.create_headers})
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            code, message = normalise.complaint(error.body)
            raise normalise.refusal(error.status_code, code, message or error.message, retry_after) from error
        except openai.APIConnectionError as error:
            reason = _reason(error)
            if isinstance(reason, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                raise NotSent(repr(reason)) from error
            raise OutcomeUnknown(repr(reason)) from error
        except (openai.APIError, ValueError) as error:
            raise OutcomeUnknown(f"unreadable answer: {error!r}") from error
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from error
        try:
            return self.read(answer)
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from error

    async def create(self, order: JobRequest, headers: dict[str, str]) -> JsonObject:
        """Submit once and return the server's answer. Raises what the SDK raises, or Unavailable."""
        extras = dict(order.extras)
        if order.last_frame is not None:
            if not self.profile.takes_last_frame:
                raise Rejected("invalid_request", "this server has no place for a last frame")
            extras["last_frame"] = {"image_url": data_url(order.last_frame)}
        image: Any = openai.omit
        if order.image is not None:
            # Without a name and a type it is sent as application/octet-stream, which servers reject.
            image = ("first-frame.jpg", order.image, "image/jpeg")
        job = await self.client.videos.create(
            model=order.model if self.profile.sends_model else openai.omit,
            prompt=order.prompt,
            size=order.size,  # type: ignore[arg-type]  # servers take more sizes than OpenAI did
            seconds=str(order.seconds),  # type: ignore[arg-type]  # and more lengths
            input_reference=image,
            extra_headers=headers,
            extra_body=extras or None,
        )
        return _fields(job)

    async def post(self, path: str, body: JsonObject, headers: dict[str, str]) -> JsonObject:
        """POST JSON and return the JSON object of the answer, for subclasses. Raises what `create` raises."""
        answer = await self.client.post(path, body=body, cast_to=object, options={"headers": headers})
        if not isinstance(answer, dict):
            raise Unavailable(f"no JSON object: {str(answer)[:80]!r}")
        return answer

    def read(self, answer: JsonObject, ref: str = "") -> JobState:
        """A job in our terms. Raises Unavailable if `answer` is not a job."""
        return normalise.state(answer, ref)

    async def check(self, ref: str) -> JobState:
        return self.read(await self._retrieve(ref), ref)

    async def find(self, order: JobRequest, since: datetime) -> Found:
        """Matches jobs by their fields first and by creation time second, because clocks are wrong or report 0.

        A missing job proves something only if the list was read far enough back and its times are plausible.
        """
        listing = await self._recent(since)
        ages = [(job, _age(job, since.timestamp() + ahead, now)) for job, ahead, now in listing.jobs]
        doubt = listing.doubt
        if any(age == "unknown" for _job, age in ages):
            doubt = doubt or "the list has impossible times"
        return Found(self._likely(order, ages), doubt)

    async def jobs(self, since: datetime) -> tuple[list[ListedJob], str]:
        listing = await self._recent(since)
        listed = [
            ListedJob(
                job.id,
                None if _age(job, since.timestamp() + ahead, now) == "unknown" else job.created_at - ahead,
            )
            for job, ahead, now in listing.jobs
        ]
        return listed, listing.doubt

    async def _recent(self, since: datetime) -> Listing:
        """The account's list back to `since`: read once for all that ask within LIST_FRESH seconds, or while one waits for it."""
        if not self.profile.has_list:
            raise Unavailable("this server has no list of jobs")
        oldest = time.monotonic() - LIST_FRESH
        async with self.reading:
            listing = self.listing
            if listing and listing.started_at >= oldest and listing.since <= since.timestamp():
                return listing
            # Who waited while it failed does not wait for another try: each may take long.
            if self.unlisted and self.unlisted[0] >= oldest:
                raise Unavailable(str(self.unlisted[1]))
            started_at = time.monotonic()
            try:
                self.listing = await self._read_list(int(since.timestamp()) // STEP * STEP)
            except Unavailable as error:
                self.unlisted = started_at, error
                raise
            return self.listing

    async def _read_list(self, since: float) -> Listing:
        started_at = time.monotonic()
        listed: dict[str, tuple[Job, float, float]] = {}
        past = {"long ago"}  # once a page has only these ages, the job cannot be further back
        doubt = "the list goes further back than it can be read"
        after: Any = openai.omit
        for _page in range(MAX_PAGES):
            jobs, has_more, ahead = await self._page(after)
            now = time.time() + ahead
            ages = {_age(job, since + ahead, now) for job in jobs}
            new = {job.id: (job, ahead, now) for job in jobs if job.id not in listed}
            listed |= new
            if "recent" in ages:
                past.add("older")  # so the clock of the list is not far behind
            # Some servers ignore the order or the limit, so a single old entry or a short page proves nothing.
            if not has_more or past.issuperset(ages):
                doubt = ""
                break
            if not new:
                doubt = "the list repeats itself instead of going on"
                break
            after = jobs[-1].id
        return Listing(started_at, since, list(listed.values()), doubt)

    async def _page(self, after: Any) -> tuple[list[Job], bool, float]:
        """Up to PAGE jobs, whether there are more, and how many seconds the server's clock is ahead of ours."""
        try:
            async with asyncio.timeout(POLL_TIMEOUT.total):
                answer = await self.client.videos.with_raw_response.list(
                    limit=PAGE, order="desc", after=after
                )
            page = answer.parse()
            jobs = page.data
        except (openai.APIError, TimeoutError, ValueError, AttributeError) as error:
            raise Unavailable(f"cannot list: {error!r}") from error
        if not isinstance(jobs, list):
            raise Unavailable("cannot list: no data")
        if any(not isinstance(job, Job) or not job.id for job in jobs):
            raise Unavailable("cannot list: an entry without id")
        return jobs, getattr(page, "has_more", None) is not False, _seconds_ahead(answer.headers.get("date"))

    def _likely(self, order: JobRequest, listed: list[tuple[Job, str]]) -> list[JobState]:
        """Jobs that match the order: those of its time, oldest first, then the others, newest first.

        An unowned job among the others counts as a match, too: a wrong clock is more likely than the same prompt
        twice in a day. The caller knows which jobs have an owner.
        """
        recent: list[JobState] = []
        others: list[JobState] = []
        for job, age in listed:
            is_match = self._is_for(job, order)
            if is_match is False or age == "long ago" or (is_match is None and age == "older"):
                continue
            state = replace(self.read(_fields(job)), is_sure=bool(is_match))
            if age == "recent":
                recent.append(state)
            elif state.status != "failed":
                others.append(state)
        return recent[::-1] + others

    async def download(self, ref: str) -> AsyncIterator[bytes]:
        url = ""
        try:
            if self.has_content:
                async with self.client.videos.with_streaming_response.download_content(ref) as response:
                    downloads.expect_a_file(response.headers)
                    async for piece in response.iter_bytes(downloads.PIECE):
                        yield piece
                return
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in (401, 408, 429):
                raise Unavailable(f"content: HTTP {error.status_code}") from error
        except (openai.APIError, httpx2.HTTPError) as error:
            if not isinstance(reason := _reason(error), redirects.Elsewhere):
                raise Unavailable(f"content: {error!r}") from error
            url = str(reason.url)

        # Servers with cloud storage do not serve the content but redirect to a URL or return one.
        url = url or normalise.url(await self._retrieve(ref))
        if not url:
            raise NoFile("no content, and no url in the video object")
        async for piece in downloads.stream(url, str(self.client.base_url)):
            yield piece

    async def capabilities(self) -> list[Capability]:
        raise Unavailable("this protocol has no list of what its models can do")

    async def cancel(self, ref: str) -> bool:
        if not self.profile.cancels:
            return False
        status, _body = await self._ask("DELETE", f"videos/{quote(ref, safe='')}")
        return status < 300

    async def probe(self) -> tuple[int, str]:
        return await self._ask("GET", self.free_path)

    async def close(self) -> None:
        await self.client.close()
        if self.polls:
            await self.polls.close()

    async def _retrieve(self, ref: str) -> JsonObject:
        """The fields of a video object. Raises Unavailable for any other answer."""
        status, body = await self._ask("GET", f"videos/{quote(ref, safe='')}")
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(f"HTTP {status}: no video object: {body[:80]!r}")
        # For a failed job vLLM-Omni returns an HTTP error whose body is the video object.
        is_failed_job = answer.get("id") == ref and normalise.status_of(answer.get("status")) == "failed"
        if status >= 400 and not is_failed_job:
            raise Unavailable(f"HTTP {status}: {body[:200]!r}")
        return answer

    async def _ask(self, method: str, path: str) -> tuple[int, str]:
        if self.polls is None:
            headers = {"Authorization": f"Bearer {self.client.api_key}"}
            self.polls = redirects.session(headers, POLL_TIMEOUT)
        url = f"{str(self.client.base_url).rstrip('/')}/{path}"
        try:
            async with self.polls.request(method, URL(url, encoded=True)) as response:
                return response.status, await bodies.read(response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(repr(error)) from error

    def _is_for(self, job: Job, order: JobRequest) -> bool | None:
        """Whether a listed job matches this order; None if it does not have enough fields to tell."""
        if not self.profile.lists_what_was_asked:
            return None
        requested = {"prompt": order.prompt.strip(), "size": order.size, "seconds": str(order.seconds)}
        listed = {
            name: str(value).strip()
            for name in requested
            if (value := getattr(job, name, None)) not in (None, "")
        }
        if any(listed[name] != requested[name] for name in listed):
            return False
        # A model may be listed under a dated or an internal name.
        is_its_model = not self.profile.sends_model or job.model == order.model
        return True if len(listed) == len(requested) and is_its_model else None


def _age(job: Job, since: float, now: float) -> str:
    """The age of a listed job: recent (created after `since`), older, long ago or unknown. Unix times by the list's clock."""
    created: Any = job.created_at
    if type(created) not in (int, float) or not EARLIEST < created < now + MAX_AHEAD:
        return "unknown"
    return "recent" if created >= since else "older" if created >= since - MAX_BEHIND else "long ago"


def _seconds_ahead(date: str | None) -> float:
    """How many seconds the clock of this Date header is ahead of ours; 0 without a valid header."""
    try:
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    except ValueError:
        return 0.0


def _reason(error: BaseException) -> BaseException:
    """The aiohttp error behind an SDK error: the SDK's transport reports a disconnect as a failed connection."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, aiohttp.ClientError):
        reason = reason.__cause__
    return reason or error


def _fields(job: object) -> JsonObject:
    """The fields of a job. The SDK parses leniently: an HTML page arrives as str, and any field may be missing."""
    if not isinstance(job, Job):
        raise Unavailable(f"not a video object: {str(job)[:80]!r}")
    return {**vars(job), **(job.model_extra or {})}
