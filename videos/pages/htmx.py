"""Detecting htmx requests, and redirecting htmx to another page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


def is_htmx(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def lead_to(request: HttpRequest, url: str) -> HttpResponse:
    """Redirect to another page. htmx would follow a plain redirect itself and swap the result into this page."""
    return HttpResponse(headers={"HX-Redirect": url}) if is_htmx(request) else redirect(url)
