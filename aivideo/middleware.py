from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from aivideo.errors import too_large

# Twice what a reference image may have, so that the form itself can answer most oversized ones and
# keep what was typed; what is larger is not even read.
MOST_BYTES = 50 * 1024 * 1024


class BodyLimit:
    """Refuse a request body of more than MOST_BYTES before anything parses it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > MOST_BYTES:
            return too_large(request)
        return self.get_response(request)
