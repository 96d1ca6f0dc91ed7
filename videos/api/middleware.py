"""What all answers of the API have in common."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from videos.api import cors
from videos.api.errors import MESSAGES, SERVER_ERROR, ApiError

API_PATHS = ("/v1/", "/api/")


class ApiMiddleware:
    """Gives every answer of the API its headers, and every error response OpenAI's format."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

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
            response = _shaped(self.get_response(request))
        for name, value in getattr(request, "rate_limit", {}).items():
            response[name] = value
        response.headers.setdefault("Cache-Control", "private, no-store")
        response.headers.setdefault("Vary", "Authorization")
        if is_cross_origin:
            cors.allow(response)
        response["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
        return response


def _is_api(path: str) -> bool:
    return (path.startswith(API_PATHS) and not path.startswith("/api/docs")) or path == "/v1"


def _shaped(response: HttpResponse) -> HttpResponse:
    """The response; an error that is not from an endpoint, such as Django's 405, gets OpenAI's format."""
    if response.status_code < 400 or response.get("Content-Type", "").startswith("application/json"):
        return response
    message = MESSAGES.get(response.status_code, SERVER_ERROR)
    shaped = ApiError(response.status_code, message).answer()
    for name in ("Allow", "Retry-After"):
        if name in response:
            shaped[name] = response[name]
    return shaped
