"""`/videos/`: the user's videos, newest first."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.requests import UserRequest
from videos.models import Video
from videos.pages import htmx
from videos.status.progress import Progress, progress_of

PAGE = 24


@require_safe
def library(request: UserRequest) -> HttpResponse:
    """`/videos/`: newest first, PAGE at a time; `?before=<cursor>` continues after a video."""
    videos = library_of(request.user)
    if cursor := request.GET.get("before"):
        created, _at, pk = cursor.partition("_")
        try:
            # Naive times are taken as UTC; times near year 1 or 9999 cannot be converted.
            at, last = datetime.fromisoformat(created).astimezone(UTC), UUID(pk)
        except (ValueError, OverflowError):
            raise Http404 from None
        videos = videos.before(at, last)
    page = list(videos[: PAGE + 1])
    more = page[PAGE - 1] if len(page) > PAGE else None
    context = {
        "tiles": tiles(page[:PAGE], request.user),
        "next": f"{more.created_at.isoformat()}_{more.pk}" if more else None,
    }
    return render(
        request,
        "videos/library/_page.html" if htmx.is_htmx(request) else "videos/library/library.html",
        context,
    )


def library_of(user: User) -> Any:
    return user.videos.kept().select_related("model").order_by("-created_at", "-id")


def tiles(videos: Iterable[Video], user: User) -> list[tuple[Video, Progress]]:
    """The videos with what their tiles show."""
    return [(video, progress_of(video, user.balance)) for video in videos]
