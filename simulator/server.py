"""The endpoints of OpenAI's Videos API over HTTP."""

import asyncio
import fcntl
import logging
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from . import content, faults
from .errors import ApiError, internal_error, not_found
from .jobs import Job, State, VideoObject, describe
from .profiles import Profile
from .store import Options, Studio
from .submission import Submission, read_create, read_remix_prompt

PROFILE = web.AppKey("PROFILE", Profile)
BODY_LIMIT = 32 * 2**20  # bytes: enough for the largest image as base64

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(options: Options, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is called with the base URL once requests are answered.

    Raises OSError if the port or the folder is taken.
    """
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    with _locked(options.folder):
        studio = Studio(options)
        # handler_cancellation: when a client gives up on a hanging create, its handler must end, too.
        runner = web.AppRunner(_app(studio), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=4096).start()
            announce(f"http://{host}:{runner.addresses[0][1]}/v1")
            await stop.wait()
        finally:
            await runner.cleanup()
            await studio.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two servers on the same jobs would each miss what the other accepts. The kernel releases the lock on exit."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"another simulator is using {folder}") from error
        yield


def _app(studio: Studio) -> web.Application:
    handlers = Handlers(studio)
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_errors_as_json])
    app[PROFILE] = studio.options.profile
    app.add_routes(
        [
            web.post("/v1/videos", handlers.create),
            web.get("/v1/videos", handlers.list),
            web.get("/v1/videos/{id}", handlers.retrieve),
            web.delete("/v1/videos/{id}", handlers.delete),
            web.get("/v1/videos/{id}/content", handlers.content),
            web.post("/v1/videos/{id}/remix", handlers.remix),
            web.get("/files/{id}.mp4", handlers.file),
        ]
    )
    return app


class Handlers:
    """One method per endpoint. `asked` is the set of faults selected by the key and the job."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.profile = studio.options.profile

    async def create(self, request: web.Request) -> web.StreamResponse:
        asked = _faults_of_key(request)
        return await self._accept(request, asked, await read_create(request, self.profile.rules))

    async def remix(self, request: web.Request) -> web.StreamResponse:
        asked = _faults_of_key(request)
        source = self.studio.find(self.profile.job_id(request.match_info["id"]))
        prompt = await read_remix_prompt(request)
        if self.studio.state(source, source.faults).status != "completed":
            raise ApiError(400, f"Video with id '{source.id}' is not completed yet.", param="video_id")
        first, last = map(self.studio.pictures.reference, (source.reference, source.extras.last_frame))
        submission = Submission(
            prompt=prompt,
            model=source.model,
            seconds=source.seconds,
            size=source.size,
            image=first,
            remix_of=source.id,
            extras=source.extras,
            last_image=last,
        )
        return await self._accept(request, asked, submission)

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        job, asked = self._job(request)
        if asked:
            job.polls += 1
            if answer := _spoiled_poll(job, asked):
                return answer
        state = self.studio.state(job, asked)
        video = self._video(request, job, asked, state, polled=True)
        if "id-changes" in asked:
            video["id"] = f"{job.id}_{'as_polled_' * 16}{job.polls}"  # long, as proxies make them
        is_error = "fail-http" in asked and state.status == "failed"
        return web.json_response(video, status=422 if is_error else self.profile.status_of_poll(video))

    async def list(self, request: web.Request) -> web.StreamResponse:
        from_key = _faults_of_key(request)
        self.profile.check_list()
        if not self.studio.options.listing:
            raise ApiError(404, "This server has no list of videos.")
        order = request.query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise ApiError(400, "Invalid 'order': expected 'asc' or 'desc'.", param="order")
        limit = request.query.get("limit", "20")
        if not re.fullmatch("[1-9][0-9]?|100", limit):
            raise ApiError(400, "Invalid 'limit': expected an integer from 1 to 100.", param="limit")

        jobs, has_more = self.studio.page(request.query.get("after"), int(limit), order == "desc")
        data = []
        for job in jobs:
            asked = job.faults | from_key
            data.append(self._video(request, job, asked, self.studio.state(job, asked), polled=True))
        first_id, last_id = (jobs[0].id, jobs[-1].id) if jobs else (None, None)
        return web.json_response(
            {"object": "list", "data": data, "first_id": first_id, "last_id": last_id, "has_more": has_more}
        )

    async def delete(self, request: web.Request) -> web.StreamResponse:
        job, asked = self._job(request)
        answer = self.profile.deleted(self._video(request, job, asked, self.studio.state(job, asked), True))
        await self.studio.delete(job)
        return web.json_response(answer)

    async def content(self, request: web.Request) -> web.StreamResponse:
        job, asked = self._job(request)
        state = self.studio.state(job, asked)
        return await content.answer(request, job, asked, state, self.studio.pictures, self.profile)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """The file of a job with the fault `url-result`. Needs no key, like a signed link to an object store."""
        job = self.studio.find(request.match_info["id"])
        if self.studio.state(job, job.faults).status != "completed":
            raise not_found(job.id)
        return content.whole_file(job, "video", self.studio.pictures)

    async def _accept(
        self, request: web.Request, asked: frozenset[str], submission: Submission
    ) -> web.StreamResponse:
        asked |= faults.from_prompt(submission.prompt)
        submit_key = request.headers.get("Idempotency-Key")
        if submit_key and not submit_key.isascii():
            raise ApiError(400, "An Idempotency-Key must be ASCII.", param="Idempotency-Key")
        job, is_new = await self.studio.accept(submission, asked, submit_key)
        if is_new:
            await _lose_reply(request, asked)
        return web.json_response(
            self._video(request, job, asked, self.studio.state(job, asked), polled=False)
        )

    def _job(self, request: web.Request) -> tuple[Job, frozenset[str]]:
        asked = _faults_of_key(request)
        job = self.studio.find(self.profile.job_id(request.match_info["id"]))
        return job, job.faults | asked

    def _video(
        self, request: web.Request, job: Job, asked: frozenset[str], state: State, polled: bool
    ) -> VideoObject:
        video = self.profile.video(describe(job, asked, state))
        video["id"] = self.profile.name(job.id, polled)
        if "url-result" in asked:
            done = state.status == "completed"
            self.profile.place(video, f"http://{request.host}/files/{job.id}.mp4" if done else None)
        return video


async def _lose_reply(request: web.Request, asked: frozenset[str]) -> None:
    if "hang" in asked:
        await asyncio.Event().wait()  # until the client gives up
    if "lost-reply-500" in asked:
        raise internal_error()
    if "lost-reply" in asked and request.transport:
        request.transport.abort()


def _faults_of_key(request: web.Request) -> frozenset[str]:
    """The faults selected by the API key. Raises ApiError 401 without a valid key."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "You didn't provide an API key.")
    if key.strip() == "invalid":
        raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
    return faults.from_key(key.strip())


def _spoiled_poll(job: Job, asked: frozenset[str]) -> web.Response | None:
    every_other = job.polls % 2 == 1
    if "poll-404-once" in asked and job.polls == 1:
        raise not_found(job.id)
    if "poll-500" in asked and every_other:
        raise internal_error()
    if "poll-401" in asked and every_other:
        raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
    if "poll-html" in asked and every_other:
        return web.Response(text=faults.HTML_PAGE, content_type="text/html")
    if "poll-empty" in asked and every_other:
        return web.Response(body=b"", content_type="application/json")
    return None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    profile = request.app[PROFILE]
    try:
        return await handler(request)
    except ApiError as error:
        return profile.error(error)
    except web.HTTPException as error:  # aiohttp's own: unknown route, wrong method, body too large
        if error.status < 400:
            raise
        message = f"Invalid URL ({request.method} {request.path})" if error.status == 404 else error.reason
        return profile.error(ApiError(error.status, message))
    except ConnectionError:  # the client disconnected: nothing to log
        raise
    except Exception:
        log.exception("%s %s failed.", request.method, request.path)
        return profile.error(internal_error())
