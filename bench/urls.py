"""The product's URLs, plus minimal views for comparison, with the same middleware and sign-in."""

from uuid import UUID

from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponse
from django.urls import path

from aivideo import urls
from videos.models import Video


def constant(request: HttpRequest) -> HttpResponse:
    return HttpResponse("constant")


def single_read(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One row by its primary key."""
    video = Video.objects.get(pk=pk)
    return HttpResponse(f"{video.status} {video.progress}")


def whole_file(request: HttpRequest, pk: UUID) -> FileResponse:
    """A file sent with Django's FileResponse."""
    video = Video.objects.get(pk=pk)
    return FileResponse(default_storage.open(str(video.file.name)), content_type="video/mp4")


urlpatterns = [
    path("bench/constant/", constant),
    path("bench/read/<uuid:pk>/", single_read),
    path("bench/file/<uuid:pk>/", whole_file),
    *urls.urlpatterns,
]
handler400, handler403, handler404 = urls.handler400, urls.handler403, urls.handler404
