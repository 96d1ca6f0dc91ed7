"""The site on one screen."""

from django.contrib import admin
from django.urls import include, path

from aivideo import errors, health

urlpatterns = [
    path("", include("videos.urls")),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]

handler404 = errors.not_found
