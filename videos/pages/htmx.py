"""Requests that htmx makes, and redirects that it follows."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


def is_htmx(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def lead_to(request: HttpRequest, url: str) -> HttpResponse:
    """Off to another page, for browsers and for htmx, which would follow a redirect by itself and stay here."""
    return HttpResponse(headers={"HX-Redirect": url}) if is_htmx(request) else redirect(url)
