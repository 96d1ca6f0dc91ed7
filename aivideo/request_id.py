"""The id of a request: it names the request in the answer's `x-request-id` and in each line of the log about it."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse

# A client's own id is kept if it is this; anything else could write lines of its own into the log.
WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_REQUEST = "-"

_current: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)


class RequestIdMiddleware:
    """The outermost middleware: gives each request an id and its answer the header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        name = sent if WELL_FORMED.fullmatch(sent) else f"req_{uuid.uuid4().hex}"
        _current.set(name)
        response = self.get_response(request)
        response["x-request-id"] = name
        return response


class RequestIdFilter(logging.Filter):
    """Gives each record the id of the request that it is about, or "-"."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True


def _forget(**_kwargs: Any) -> None:
    _current.set(NO_REQUEST)


# Not at the end of the middleware: Django logs failed requests after it, and a file is sent after it.
request_finished.connect(_forget)
