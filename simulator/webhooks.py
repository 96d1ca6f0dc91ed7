"""Webhooks as OpenAI sends them when a job ends: an event by POST, signed according to Standard Webhooks.

One heap holds everything that is scheduled: the end of each running job, and the next try of each failed delivery. So
ten thousand jobs cost only their entries, and at most SENDERS requests are in flight. Deliveries are recorded in the
journal; the others are sent after a restart, with the same id.
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

SENDERS = 20  # concurrent requests
TRIES = 5  # of a delivery; the pause doubles after each failure
# Seconds
FIRST_PAUSE = 1
TIMEOUT = 10
LATE = 5
MARGIN = 0.01  # after a job's end, so that rounding does not find it still running

log = logging.getLogger(__name__)


def key_of(secret: str) -> bytes:
    """The signing key in a `whsec_…` secret. Raises ValueError."""
    prefix, _, key = secret.partition("_")
    if prefix != "whsec" or not key:
        raise ValueError("expected whsec_ followed by base64")
    return base64.b64decode(key, validate=True)


@dataclass(order=True, slots=True)
class Delivery:
    """The event of one job, and when its next attempt is due (Unix seconds)."""

    at: float
    number: int  # the job's: those due at the same time are sent in the order of acceptance
    job: Job = field(compare=False)
    body: bytes = field(default=b"", compare=False)
    tries: int = field(default=0, compare=False)


class Webhooks:
    """The sender, for one event loop. `state` returns a job's state, or None if the job is gone."""

    def __init__(self, url: str, key: bytes, state: Callable[[Job], State | None], journal: Journal) -> None:
        self._url = url
        self._key = key
        self._state = state
        self._journal = journal
        self._heap: list[Delivery] = []
        self._unpainted: defaultdict[str, list[Delivery]] = defaultdict(list)
        self._sooner = asyncio.Event()
        self._free_senders = asyncio.Semaphore(SENDERS)
        self._in_flight: set[asyncio.Task[None]] = set()
        # Shorter than any server keeps a connection open: if it closes one during a POST, that costs a try.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
        self._client = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )
        self._sending = asyncio.create_task(self._send_what_is_due())

    async def close(self) -> None:
        tasks = [self._sending, *self._in_flight]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def announce(self, job: Job) -> None:
        """Schedule the job's event for when it ends."""
        seconds = seconds_of(job, job.faults)
        if "webhook-early" in job.faults:
            seconds /= 2
        elif job.faults & {"webhook-lost", "stuck"}:
            return
        elif "webhook-late" in job.faults:
            seconds += LATE
        self._put(Delivery(job.created + seconds + MARGIN, job.number, job))

    def picture_is_ready(self, name: str) -> None:
        """The picture is painted or broken, so the jobs that waited for it have ended."""
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
                    self._in_flight.add(task)
                    task.add_done_callback(self._delivery_ended)
            else:
                self._sooner.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._sooner.wait()

    def _write_event(self, delivery: Delivery) -> bool:
        """Prepare the event. False if there is nothing to send yet (the picture is not painted) or the job was deleted."""
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
            self._retry(delivery)

    def _retry(self, delivery: Delivery) -> None:
        delivery.tries += 1
        if delivery.tries < TRIES:
            delivery.at = time.time() + FIRST_PAUSE * 2 ** (delivery.tries - 1)
            self._put(delivery)
        else:
            log.warning("%s did not accept the webhook for %s.", self._url, delivery.job.id)

    def _delivery_ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._free_senders.release()

    async def _post(self, delivery: Delivery, key: bytes) -> bool:
        """Send one request, signed with `key`. True if the response is 2xx."""
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
                await answer.read()  # so that the connection can be reused
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
