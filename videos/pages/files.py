"""Stored files, served to their owner: videos, posters, uploaded pictures."""

from uuid import UUID

from django.core.files.storage import default_storage
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from accounts.requests import UserRequest
from videos.media import playback
from videos.pages.video import own


@require_safe
def file(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """The MP4, with byte ranges; `?download=1` sends it as an attachment."""
    video = own(request.user, pk)
    if not video.file:
        raise Http404
    name = f"aivideo-{video.created_at:%Y%m%d-%H%M%S}.mp4" if request.GET.get("download") else None
    return playback.serve(
        request,
        default_storage,
        str(video.file.name),
        etag=video.sha256,
        content_type="video/mp4",
        download_as=name,
    )


@require_safe
def poster(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """The still picture of a finished video."""
    video = own(request.user, pk)
    if not video.poster:
        raise Http404
    return playback.serve(
        request,
        default_storage,
        str(video.poster.name),
        etag=f"{video.sha256}-poster",
        content_type="image/webp",
    )


@require_safe
def upload(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """A picture that the user uploaded, for its tile in the studio."""
    upload = get_object_or_404(request.user.uploads, pk=pk)
    return playback.serve(
        request, default_storage, str(upload.file.name), etag=upload.sha256, content_type="image/jpeg"
    )
