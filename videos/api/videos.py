"""`/v1/videos`, compatible with OpenAI's Videos API: the official SDK works unchanged."""

import hashlib
import logging
from dataclasses import replace
from typing import Annotated, Literal, TypedDict

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import register_converter
from django.urls.converters import StringConverter
from django.utils.http import parse_etags
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict

from accounts.models import User
from videos import serializers
from videos.api import (
    actions,
    bodies,
    idempotency,
    moderation,
    openapi_extra,
    parameters,
    requests,
    schemas,
    spending,
)
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, bad_value, not_found, renamed_params
from videos.catalogue import capabilities
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.status.progress import progress_of

log = logging.getLogger(__name__)

router = Router(auth=ApiKeyAuth())

PAGE, MAX_PAGE = 20, 100


class VideoPage(TypedDict):
    """What schemas.VideoList describes."""

    object: str
    data: list[serializers.VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Remix(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: requests.Prompt


@router.post(
    "/v1/videos",
    response=schemas.VideoObject,
    tags=["Videos"],
    openapi_extra=openapi_extra.order(requests.VideoRequest, file="input_reference"),
)
def create_video(request: KeyedRequest) -> HttpResponse:
    """Create a video. Its credits are charged immediately and refunded automatically if it fails."""
    return create(request, bodies.read(request, files=("input_reference",)))


def create(
    request: KeyedRequest,
    body: bodies.Body,
    *,
    max_credits: int | None = None,
    idempotency_key: str | None = None,
) -> HttpResponse:
    """Order the videos of this body, once. Raises ApiError.

    `max_credits` and `idempotency_key` are used in place of those of the request.
    """

    def prepare() -> idempotency.Action:
        with renamed_params(**requests.aliases_in(body.fields)):
            asked = requests.checked(requests.VideoRequest, body.fields)
            if max_credits is not None:
                asked = asked.model_copy(update={"max_credits": max_credits})
            order = requests.order_of(request.auth, asked, body.file)
            order = moderation.one(request.auth, order)
            return lambda: (200, actions.place(request.auth, order, asked.n))

    return idempotency.once(request, body.digest, prepare, idempotency_key)


@router.get("/v1/videos", response=schemas.VideoList, tags=["Videos"])
def list_videos(
    request: KeyedRequest,
    after: parameters.After = "",
    limit: Annotated[int, Query(..., ge=1, le=MAX_PAGE, description="How many videos at most.")] = PAGE,
    order: parameters.Order = "desc",
) -> HttpResponse:
    """List the videos of the account, newest first, or oldest first with `order=asc`. For the next page, set `after` to the last id of this one."""
    actions.only(request, "after", "limit", "order")
    return JsonResponse(page(request.user, after, limit, order))


def page(user: User, after: str, limit: int, order: str) -> VideoPage:
    """The VideoList of these parameters. Raises ApiError 400 for an invalid one, 404 for an unknown `after`."""
    if order not in ("asc", "desc"):
        raise bad_value("order", "Invalid 'order': expected asc or desc.")
    if not 1 <= limit <= MAX_PAGE:
        raise bad_value("limit", f"Invalid 'limit': expected 1 to {MAX_PAGE}.")
    videos = user.videos.kept().select_related("model")
    if after:
        # A video that was deleted meanwhile still marks its position.
        pk = serializers.uuid_of(after)
        last = user.videos.filter(pk=pk).first() if pk else None
        if last is None:
            raise not_found("video", after, "after")
        videos = (
            videos.before(last.created_at, last.pk)
            if order == "desc"
            else videos.since(last.created_at, last.pk)
        )
    by = ("-created_at", "-id") if order == "desc" else ("created_at", "id")
    found = [actions.shown(video) for video in videos.order_by(*by)[: limit + 1]]
    data = found[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


@router.get(
    "/v1/videos/{video_id}",
    response=schemas.VideoObject,
    tags=["Videos"],
    openapi_extra=openapi_extra.unless_unchanged(),
)
def retrieve_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Retrieve a video. `openai-poll-after-ms` says when to poll again; with `If-None-Match`, the response is 304 if nothing changed."""
    video = actions.own(request, video_id)
    response = JsonResponse(actions.shown(video))
    response["ETag"] = f'"{hashlib.blake2b(response.content, digest_size=12).hexdigest()}"'
    if video.is_live:
        response["openai-poll-after-ms"] = str(progress_of(video, 0).poll_ms)
    if response["ETag"] in parse_etags(request.headers.get("If-None-Match", "")):
        response.status_code, response.content = 304, b""
        del response["Content-Type"]
    return response


@router.delete(
    "/v1/videos/{video_id}",
    response=schemas.Deleted,
    tags=["Videos"],
    openapi_extra=openapi_extra.errors(409, 503),
)
def delete_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Permanently delete a video that has ended, and its file. Its credits are not refunded. 409 while it is in progress."""
    video = actions.own(request, video_id)
    if not lifecycle.delete(video):
        raise ApiError(
            409,
            "This video is still in progress. You can delete it once it has ended.",
            code="video_not_ended",
        )
    return JsonResponse({"id": video_id, "object": "video.deleted", "deleted": True})


@router.api_operation(
    ["GET", "HEAD"],
    "/v1/videos/{video_id}/content",
    tags=["Videos"],
    openapi_extra=openapi_extra.download("video/mp4", "image/webp", "image/jpeg"),
)
def video_content(
    request: KeyedRequest,
    video_id: str,
    variant: Annotated[actions.Variant, Query(..., description="What to download.")] = "video",
) -> HttpResponseBase:
    """Download a completed video; byte ranges are supported. `variant` is video (MP4), thumbnail (WebP), or spritesheet (JPEG)."""
    actions.only(request, "variant")
    return actions.content(request, actions.own(request, video_id), variant)


@router.post(
    "/v1/videos/{video_id}/remix",
    response=schemas.VideoObject,
    tags=["Videos"],
    openapi_extra=openapi_extra.order(Remix),
)
def remix_video(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Create a new video with a new prompt and the model, size, length, and pictures of a completed one."""
    body = bodies.read(request)

    def prepare() -> idempotency.Action:
        asked = requests.checked(Remix, body.fields)
        source = actions.own(request, video_id)
        if source.status != Status.COMPLETED:
            raise ApiError(409, "Only a completed video can be remixed.", code="video_not_completed")
        order = capabilities.repeat_order(source, request.user)
        requests.model_of(request.auth, order.model.slug)  # raises if the key may not use the model
        order = replace(
            order,
            prompt=asked.prompt,
            remixed_from=source,
            api_key=request.auth,
            webhook_url=request.auth.webhook_url,
        )
        spending.afford(request.auth, order.price)
        cleared = moderation.one(request.auth, order)
        return lambda: (200, actions.place(request.auth, cleared))

    return idempotency.once(request, body.digest, prepare)


class LinkToken(StringConverter):
    """The signed token of a link, as `serializers.link` makes it."""

    regex = r"[0-9a-f]{32}\.[0-9]+:[\w-]+"


register_converter(LinkToken, "link_token")


# Not in the OpenAPI document: programs take the whole address from `url`. Version 0.9.0 made links under /v1/files/, and may
# still run beside this one; the ids of files look different.
@router.api_operation(
    ["GET", "HEAD"], "/v1/links/{link_token:token}", auth=None, url_name="link", include_in_schema=False
)
@router.api_operation(["GET", "HEAD"], "/v1/files/{link_token:token}", auth=None, include_in_schema=False)
def file_by_link(
    request: HttpRequest, token: str, variant: Literal["video", "thumbnail"] = "video"
) -> HttpResponseBase:
    """Download a video by its `url`. Needs no key; the link works until the video's `expires_at`, then it is 403."""
    try:
        pk = serializers.resolve_link(token)
    except TimeoutError:
        raise ApiError(
            403, "This link has expired. Retrieve the video again to get a new one.", code="link_expired"
        ) from None
    # Asked at each use: deleting a video or suspending its owner ends all its links.
    video = Video.objects.kept().filter(pk=pk, user__is_active=True).first() if pk else None
    if video is None:
        raise not_found("file", token)
    return actions.content(request, video, variant)
