"""The page of one video, the fragment that it polls, and canceling and deleting the video."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import credits
from accounts.models import User
from accounts.requests import UserRequest
from videos.generation import lifecycle
from videos.models import Status, Video
from videos.pages import form_options, htmx
from videos.status.progress import Progress, load_for_polling, progress_of, time_left
from videos.status.timeline import timeline_of


@require_safe
def card(request: UserRequest, pk: UUID) -> HttpResponse:
    """The fragment that a page polls while the video is running; `?as=tile` for the tile.

    Answers 204 if nothing has changed since the last response.
    """
    video = load_for_polling(pk, request.user)
    if video is None:
        raise Http404
    current = progress_of(video, request.user.balance)
    if current.etag in parse_etags(request.headers.get("If-None-Match", "")):
        return _with_poll_headers(HttpResponse(status=204), current)
    if not video.is_live:
        video = own(request.user, pk)
        current = progress_of(video, request.user.balance)
    return _card(request, video, current)


def _card(
    request: UserRequest, video: Video, current: Progress, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    at_studio = request.GET.get("at") == "studio"
    context = {
        "user": request.user,
        "video": video,
        "standing": current,
        "time_left": time_left(video),
        "at_studio": at_studio,
        "refusal": refusal,
    }
    if at_studio and not video.is_live:
        asked = {"size": video.size, "seconds": video.seconds, **video.extras}
        context |= {"model": video.model, **form_options.price(request.user, video.model, asked)}
    template = "videos/library/_tile.html" if request.GET.get("as") == "tile" else "videos/video/_stage.html"
    # Without the request: the context processors of a whole page are not needed here and cost time.
    return _with_poll_headers(HttpResponse(render_to_string(template, context), status=status), current)


def _with_poll_headers(response: HttpResponse, current: Progress) -> HttpResponse:
    """Set the ETag and, while the video is running, when to poll again."""
    response["ETag"] = current.etag
    if current.poll_ms:
        response["Retry-After"] = str(max(1, current.poll_ms // 1000))
    return response


@require_safe
def video(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/videos/<id>/`: the player, the actions, and the timeline."""
    video = own(request.user, pk)
    context = {"receipt": timeline_of(video), **stage_context(video, request.user)}
    return render(request, "videos/video/video.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: UserRequest, pk: UUID) -> HttpResponse:
    """GET asks for confirmation, POST cancels. 409 once the video has been submitted to its provider."""
    video = own(request.user, pk)
    if request.method == "POST" and not lifecycle.cancel(video):
        video = own(request.user, pk)  # another process changed it first
    refusal = ""
    if video.status not in (Status.QUEUED, Status.CANCELED):
        refusal = _(
            "It was already sent to the video service and can no longer be canceled."
            " If it fails, your credits are refunded."
        )
        if not video.is_live:
            refusal = _("This video has already ended.")
    status = 409 if refusal and request.method == "POST" else 200
    if request.method == "POST" and htmx.is_htmx(request):
        credits.read_balance(request.user)
        return _card(request, video, progress_of(video, request.user.balance), refusal=refusal, status=status)
    if video.status == Status.CANCELED:
        return redirect(video)
    return render(request, "videos/video/cancel.html", {"video": video, "refusal": refusal}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: UUID) -> HttpResponse:
    """GET asks for confirmation, POST deletes. 409 while the video is running."""
    video = own(request.user, pk)
    if request.method != "POST":
        return render(request, "videos/video/delete.html", {"video": video})
    if not lifecycle.delete(video):
        context = {
            "video": video,
            "error": _("This video is still in progress. You can delete it once it has ended."),
        }
        return render(request, "videos/video/delete.html", context, status=409)
    return redirect("videos:library")


def own(user: User, pk: UUID) -> Video:
    return get_object_or_404(user.videos.kept().select_related("model"), pk=pk)


def stage_context(video: Video | None, user: Any) -> dict[str, object]:
    if video is None:
        return {"video": None}
    return {"video": video, "standing": progress_of(video, user.balance), "time_left": time_left(video)}
