"""Serving files, whole or by byte range, and the faults in doing so."""

import asyncio
import time
from pathlib import Path

from aiohttp import web

from .errors import ApiError, internal_error
from .faults import HTML_PAGE
from .jobs import Job, State
from .pictures import VARIANTS, Pictures
from .profiles import Profile


async def answer(
    request: web.Request,
    job: Job,
    faults: frozenset[str],
    state: State,
    pictures: Pictures,
    profile: Profile,
) -> web.StreamResponse:
    """The response to `GET /videos/{id}/content`."""
    variant = profile.variant(request.query.get("variant"))
    if state.status != "completed":
        raise profile.unready(job.id, state)
    if state.expires_at is not None and time.time() >= state.expires_at:
        raise ApiError(404, f"Video with id '{job.id}' has expired.", code="expired")

    if faults:
        job.downloads += 1
        if misbehaved := await _misbehave(request, job, faults, pictures):
            return misbehaved
    return whole_file(job, variant, pictures)


def whole_file(job: Job, variant: str, pictures: Pictures) -> web.StreamResponse:
    """The file with Content-Length, ETag and byte ranges. 404 when its picture is not on disk."""
    path = pictures.path(job.picture, variant)
    if not job.picture or not path.exists():
        raise ApiError(404, f"Video with id '{job.id}' has no file.", code="not_found")
    return web.FileResponse(path, headers={"Content-Type": VARIANTS[variant][1]})


async def _misbehave(
    request: web.Request, job: Job, faults: frozenset[str], pictures: Pictures
) -> web.StreamResponse | None:
    if "content-500-once" in faults and job.downloads == 1:
        raise internal_error()
    if "url-result" in faults:
        raise ApiError(400, "The file is stored elsewhere: see the video's url.")
    if "html-file" in faults:
        return web.Response(text=HTML_PAGE, content_type="text/html")
    if "html-as-mp4" in faults:
        return web.Response(body=HTML_PAGE.encode(), content_type="video/mp4")
    if "empty-file" in faults:
        return web.Response(body=b"", content_type="video/mp4")
    if "truncated-forever" in faults or ("truncated" in faults and job.downloads == 1):
        return await _half_a_file(request, pictures.path(job.picture, "video"))
    return None


async def _half_a_file(request: web.Request, path: Path) -> web.StreamResponse:
    data = await asyncio.to_thread(path.read_bytes)
    response = web.StreamResponse(headers={"Content-Type": "video/mp4", "Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    # Close instead of abort, so that the client still receives what was written.
    if request.transport:
        request.transport.close()
    return response
