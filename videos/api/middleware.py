"""What all answers of the API have in common, and the answer to clients that look for the API outside of /v1."""

import time
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from videos.api import cors
from videos.api.errors import MESSAGES, SERVER_ERROR, ApiError

API_PATHS = ("/v1/", "/api/")
# Paths outside of the API that may be asked with a bearer token.
WITH_TOKENS_OF_THEIR_OWN = (
    *API_PATHS,
    "/webhooks/",
    "/metrics",
    "/mcp",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/llms.txt",
    "/static/",
)


Respond = Callable[[HttpRequest], HttpResponse]


class ApiMiddleware:
    """Gives every answer of the API its headers, and every error response OpenAI's format.

    Requests of the API go through API_MIDDLEWARE, not through what follows in MIDDLEWARE: sessions, cookies and messages
    are for pages, and would cost a sixth of a poll.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.api = _api()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_api(request.path):
            return self.get_response(request)
        began = time.perf_counter()
        is_cross_origin = cors.applies_to(request.path)
        if is_cross_origin and cors.is_preflight(request):
            response = cors.preflight(request)
        else:
            # A session opens nothing here, so no cookie is looked at, and none that is out of date is deleted.
            request.COOKIES = {}
            response = _shaped(self.api(request))
        for name, value in getattr(request, "rate_limit", {}).items():
            response[name] = value
        response.headers.setdefault("Cache-Control", "private, no-store")
        response.headers.setdefault("Vary", "Authorization")
        if is_cross_origin:
            cors.allow(response)
        response["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
        return response


class WrongBaseUrl:
    """Tells a client whose base URL lacks /v1 where the API is, instead of a sign-in page or a CSRF error.

    A browser is left alone, even if a proxy in front of the site adds a token to each of its requests: it asks for
    text/html, or has a session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "HTTP_AUTHORIZATION" not in request.META or not _is_lost(request):
            return self.get_response(request)
        api = f"{settings.SITE_URL}/v1"
        message = f"The API of this site is at {api}, and this path is not part of it. Set base_url to {api}."
        return ApiError(404, message, code="not_found").answer()


class _Views(BaseHandler):
    """Calls the view of a request, as Django does after the last middleware."""

    def __init__(self) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self._get_response(request)  # type: ignore[attr-defined]
        return response


def _api() -> Respond:
    respond: Any = convert_exception_to_response(_Views())
    for name in reversed(settings.API_MIDDLEWARE):
        respond = convert_exception_to_response(import_string(name)(respond))
    return cast(Respond, respond)


def _is_api(path: str) -> bool:
    return (path.startswith(API_PATHS) and not path.startswith("/api/docs")) or path in ("/v1", "/mcp")


def _is_lost(request: HttpRequest) -> bool:
    return (
        request.META["HTTP_AUTHORIZATION"][:7].lower() == "bearer "
        and not request.path.startswith(WITH_TOKENS_OF_THEIR_OWN)
        and request.path != "/v1"
        and settings.SESSION_COOKIE_NAME not in request.COOKIES
        and "text/html" not in request.META.get("HTTP_ACCEPT", "")
    )


def _shaped(response: HttpResponse) -> HttpResponse:
    """The response; an error that is not from an endpoint, such as Django's 405, gets OpenAI's format."""
    if response.status_code < 400 or response.get("Content-Type", "").startswith("application/json"):
        return response
    message = MESSAGES.get(response.status_code, SERVER_ERROR)
    shaped = ApiError(response.status_code, message).answer()
    for name in ("Allow", "Retry-After", "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"):
        if name in response:
            shaped[name] = response[name]
    return shaped
