"""The jobs in one data folder: accept, find, list and delete them, and determine their state."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import dropwhile, islice
from pathlib import Path

from .errors import ApiError, not_found
from .faults import WITHOUT_FILE, Refusals
from .jobs import Job, State, state_of
from .journal import Journal
from .pictures import Picture, Pictures
from .profiles import Profile
from .submission import Submission
from .webhooks import Webhooks

KEEP = 24 * 3600  # seconds that jobs and their files are kept; older ones are deleted at each start


@dataclass(frozen=True)
class Options:
    folder: Path  # for the journal and the files
    seconds: float  # how long a job takes
    idempotency: bool = True  # whether Idempotency-Key is honored
    listing: bool = True  # whether there is a GET /videos
    profile: Profile = field(default_factory=Profile)  # the server to imitate
    webhook_url: str = ""  # where events are sent when a job ends; "" sends none
    webhook_key: bytes = b""  # signs the events


class Studio:
    """The store, for one event loop. Polls are answered from memory."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.journal = Journal(options.folder / "jobs.sqlite3")
        self.pictures = Pictures(options.folder, on_ready=self._picture_is_ready)
        self.webhooks: Webhooks | None = None
        if options.webhook_url:
            self.webhooks = Webhooks(
                options.webhook_url, options.webhook_key, self._state_if_known, self.journal
            )
        self.refusals = Refusals()
        self._jobs: dict[str, Job] = {}  # in the order of acceptance
        self._by_submit_key: dict[str, Job] = {}
        self._last_number = 0
        keep = 0 if options.profile.forgets else KEEP
        for job in self.journal.load(forget_before=time.time() - keep):
            self._remember(job)
        self._resume_pictures()
        self._resume_webhooks()

    async def close(self) -> None:
        if self.webhooks:
            await self.webhooks.close()
        await self.pictures.close()
        await self.journal.close()

    async def accept(
        self, submission: Submission, asked: frozenset[str], submit_key: str | None
    ) -> tuple[Job, bool]:
        """Accept a submission: returns its job, once on disk, and whether it is new. Raises ApiError if it is rejected.

        `asked` are the selected faults, `submit_key` is the request's Idempotency-Key.
        """
        for image in (submission.image, submission.last_image):
            if image:
                await asyncio.to_thread(self.pictures.keep_reference, image)
        # From here to `_remember` nothing may be awaited, or two requests with the same key become two jobs.
        honors_keys = self.options.idempotency and self.options.profile.honors_keys
        if honors_keys and submit_key and (job := self._by_submit_key.get(submit_key)):
            if job.body_hash != submission.hash:
                raise ApiError(
                    400,
                    "This Idempotency-Key was used before with another body.",
                    code="idempotency_key_reused",
                )
            await self.journal.settle()  # the first request may not be on disk yet
            return job, False

        self.refusals.check(asked, submit_key or submission.prompt, submission.model)
        job = self._new_job(submission, asked, submit_key)
        self._remember(job)
        # Before the await below, because a client that disconnects cancels everything after it.
        self._want_picture(job)
        if self.webhooks:
            self.webhooks.announce(job)
        try:
            await self.journal.add(job)
        except sqlite3.Error:
            self._forget(job)
            raise
        return job, True

    def find(self, video_id: str) -> Job:
        """The job with this id. Raises ApiError 404 if it is unknown or deleted."""
        job = self._jobs.get(video_id)
        if job is None:
            raise not_found(video_id)
        return job

    def page(self, after: str | None, limit: int, newest_first: bool) -> tuple[list[Job], bool]:
        """Up to `limit` jobs that follow the job `after`, and whether there are more."""
        jobs: Iterator[Job] = iter(reversed(self._jobs.values()) if newest_first else self._jobs.values())
        if after:
            if after not in self._jobs:
                raise ApiError(400, f"No such video: '{after}'.", param="after")
            jobs = islice(dropwhile(lambda job: job.id != after, jobs), 1, None)
        found = list(islice(jobs, limit + 1))
        return found[:limit], len(found) > limit

    async def delete(self, job: Job) -> None:
        """Its files stay: other jobs may share them."""
        job.deleted = time.time()
        del self._jobs[job.id]
        await self.journal.mark_deleted(job)

    def state(self, job: Job, asked: frozenset[str]) -> State:
        """The job's current state, with the selected faults applied."""
        painted = self.pictures.painted_at(job.picture) if job.picture else job.created
        return state_of(job, asked, time.time(), painted, broken=job.picture in self.pictures.broken)

    def _new_job(self, submission: Submission, asked: frozenset[str], submit_key: str | None) -> Job:
        job = Job(
            number=self._last_number + 1,
            id=f"video_{secrets.token_hex(24)}",
            prompt=submission.prompt,
            model=submission.model,
            seconds=submission.seconds,
            size=submission.size,
            faults=asked,
            picture="",
            reference=submission.image_hash,
            remixed_from=submission.remix_of,
            created=time.time(),
            duration=self.options.seconds,
            submit_key=submit_key,
            body_hash=submission.hash,
            extras=submission.extras,
        )
        return job if asked & WITHOUT_FILE else replace(job, picture=_picture_of(job).name)

    def _remember(self, job: Job) -> None:
        self._last_number = job.number
        if not job.deleted:
            self._jobs[job.id] = job
        if job.submit_key:
            self._by_submit_key.setdefault(job.submit_key, job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        if job.submit_key and self._by_submit_key[job.submit_key] is job:
            del self._by_submit_key[job.submit_key]

    def _want_picture(self, job: Job) -> None:
        if job.picture:
            self.pictures.want(_picture_of(job))

    def _resume_pictures(self) -> None:
        """Continue with pictures that were not finished when the server stopped, and delete unneeded files."""
        jobs = self._jobs.values()
        references = {name for job in jobs for name in (job.reference, job.extras.last_frame)}
        self.pictures.forget_all_but({job.picture for job in jobs}, references)
        for job in jobs:
            self._want_picture(job)

    def _picture_is_ready(self, name: str) -> None:
        if self.webhooks:
            self.webhooks.picture_is_ready(name)

    def _resume_webhooks(self) -> None:
        """Schedule webhooks for all jobs whose webhook has not been delivered."""
        if self.webhooks:
            announced = self.journal.announced()
            for job in self._jobs.values():
                if job.number not in announced:
                    self.webhooks.announce(job)

    def _state_if_known(self, job: Job) -> State | None:
        return self.state(job, job.faults) if job.id in self._jobs else None


def _picture_of(job: Job) -> Picture:
    width, height = job.size.split("x")
    return Picture(job.caption, int(job.seconds), int(width), int(height), job.reference, job.extras)
