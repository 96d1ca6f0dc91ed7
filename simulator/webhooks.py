"""Telling the client that a job has ended, as OpenAI does: an event by POST, signed in the form of Standard Webhooks.

What is to come lies in one heap: the end of each running job, and the next try of each delivery that failed. So ten
thousand jobs cost no more than their entries, and at most SENDERS requests are under way. What was delivered stands in
the journal; the rest is sent after a restart, with the same id.
"""

import asyncio
import base64
import hmac
import json
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush

import aiohttp

from .jobs import Job, State, seconds_of
from .journal import Journal

SENDERS = 20  # requests at once
TRIES = 5  # of a delivery; after each that failed twice as long a pause as before
# Seconds
FIRST_PAUSE = 1
TIMEOUT = 10
LATE = 5
MARGIN = 0.01  # after a job's end, lest rounding finds it still running

log = logging.getLogger(__name__)


def key_of(secret: str) -> bytes:
    """The key in a secret `whsec_…`. Raises ValueError."""
    prefix, _, key = secret.partition("_")
    if prefix != "whsec" or not key:
        raise ValueError("expected whsec_ and base64 after it")
    return base64.b64decode(key, validate=True)


@dataclass(order=True, slots=True)
class Delivery:
    """The event of one job, and when it is due next (Unix seconds)."""

    at: float
    number: int  # the job's: what is due at the same time goes in the order of acceptance
    job: Job = field(compare=False)
    body: bytes = field(default=b"", compare=False)
    tries: int = field(default=0, compare=False)


class Webhooks:
    """For one event loop. `state` says where a job stands, and None once it is no more."""

    def __init__(self, url: str, key: bytes, state: Callable[[Job], State | None], journal: Journal) -> None:
        self._url = url
        self._key = key
        self._state = state
        self._journal = journal
        self._heap: list[Delivery] = []
        self._unpainted: defaultdict[str, list[Delivery]] = defaultdict(list)
        self._sooner = asyncio.Event()
        self._free_senders = asyncio.Semaphore(SENDERS)
        self._under_way: set[asyncio.Task[None]] = set()
        # Shorter than any server keeps a connection: one that it closes while a POST is leaving costs a try.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
        self._client = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )
        self._sending = asyncio.create_task(self._send_what_is_due())

    async def close(self) -> None:
        tasks = [self._sending, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def announce(self, job: Job) -> None:
        """Send the job's event when it has ended."""
        seconds = seconds_of(job, job.faults)
        if "webhook-early" in job.faults:
            seconds /= 2
        elif job.faults & {"webhook-lost", "stuck"}:
            return
        elif "webhook-late" in job.faults:
            seconds += LATE
        self._put(Delivery(job.created + seconds + MARGIN, job.number, job))

    def picture_is_ready(self, name: str) -> None:
        """Painted or broken: what waited for it has ended."""
        for delivery in self._unpainted.pop(name, ()):
            self._put(delivery)

    def _put(self, delivery: Delivery) -> None:
        heappush(self._heap, delivery)
        if self._heap[0] is delivery:
            self._sooner.set()

    async def _send_what_is_due(self) -> None:
        while True:
            wait = self._heap[0].at - time.time() if self._heap else None
            if wait is not None and wait <= 0:
                delivery = heappop(self._heap)
                if self._write_event(delivery):
                    await self._free_senders.acquire()
                    task = asyncio.create_task(self._deliver(delivery))
                    self._under_way.add(task)
                    task.add_done_callback(self._put_down)
            else:
                self._sooner.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._sooner.wait()

    def _write_event(self, delivery: Delivery) -> bool:
        """Whether there is something to send: not while the picture is unpainted, nor for a deleted job."""
        job = delivery.job
        state = self._state(job)
        if state is None:
            return False
        if delivery.body:
            return True
        if state.status in ("queued", "in_progress") and "webhook-early" not in job.faults:
            self._unpainted[job.picture].append(delivery)
            return False
        event = {
            "id": job.id.replace("video_", "evt_"),
            "object": "event",
            "type": "video.failed" if state.status in ("failed", "cancelled") else "video.completed",
            "created_at": state.completed_at or int(time.time()),
            "data": {"id": job.id},
        }
        delivery.body = json.dumps(event).encode()
        return True

    async def _deliver(self, delivery: Delivery) -> None:
        job = delivery.job
        if "webhook-forged" in job.faults:
            await self._post(delivery, key=secrets.token_bytes(32))
        if "webhook-twice" in job.faults:
            arrived = all(
                await asyncio.gather(self._post(delivery, self._key), self._post(delivery, self._key))
            )
        else:
            arrived = await self._post(delivery, self._key)

        if arrived:
            await self._journal.mark_announced(job)
        else:
            self._try_again(delivery)

    def _try_again(self, delivery: Delivery) -> None:
        delivery.tries += 1
        if delivery.tries < TRIES:
            delivery.at = time.time() + FIRST_PAUSE * 2 ** (delivery.tries - 1)
            self._put(delivery)
        else:
            log.warning("%s does not take the webhook of %s.", self._url, delivery.job.id)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._free_senders.release()

    async def _post(self, delivery: Delivery, key: bytes) -> bool:
        """One request, signed with `key`. True if it was answered with 2xx."""
        webhook_id, sent_at = delivery.job.id.replace("video_", "wh_"), int(time.time())
        digest = hmac.digest(key, f"{webhook_id}.{sent_at}.".encode() + delivery.body, "sha256")
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        try:
            async with self._client.post(
                self._url, data=delivery.body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()  # or the connection could not be used again
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
