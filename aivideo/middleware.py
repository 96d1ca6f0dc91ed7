from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import urlencode

from accounts import credits, locks
from aivideo.errors import busy, not_found, too_large

# Five times the limit of a reference image, so that for most oversized files the form itself can show
# the error and keep what was typed. Anything larger is not even read.
MAX_BYTES = 50 * 1024 * 1024


class BodyLimit:
    """Reject a request body of more than MAX_BYTES before anything parses it, and one that ends too early."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > MAX_BYTES:
            return too_large(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A visitor who hung up, or was too slow, is no fault of ours. Nobody may be there to read this."""
        return HttpResponse(status=408) if isinstance(exception, UnreadablePostError) else None


# What no page of ours asks a browser for. A page that is embedded elsewhere cannot ask for it in our name either.
UNUSED_FEATURES = (
    *("accelerometer", "camera", "display-capture", "encrypted-media", "geolocation", "gyroscope"),
    *("magnetometer", "microphone", "midi", "payment", "serial", "usb", "xr-spatial-tracking"),
)


class PageHeaders:
    """Headers of pages and of what they load that Django has no setting for. Answers of the API are for pages of others, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.headers = {
            "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED_FEATURES),
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response


class ContentSecurityPolicy(CSPMiddleware):
    """Does not compose the policy for answers that are sent without it, such as those to polls of programs."""

    def __call__(self, request: HttpRequest) -> Any:
        excluded = settings.CONTENT_SECURITY_POLICY.get("EXCLUDE_URL_PREFIXES", ())
        if request.path_info.startswith(tuple(excluded)):
            return self.get_response(request)
        return super().__call__(request)


class LoginRequired(LoginRequiredMiddleware):
    """Redirects visitors to the sign-in page; an htmx request redirects the whole page, not the fragment."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *arguments: Any
    ) -> HttpResponseBase | None:
        refusal = super().process_view(request, view_func, *arguments)
        if refusal is None or "HX-Request" not in request.headers:
            return refusal
        try:
            page = urlsplit(request.headers.get("HX-Current-URL", "/"))
        except ValueError:
            page = urlsplit("/")
        back = urlencode({"next": page._replace(scheme="", netloc="", fragment="").geturl()})
        # htmx would follow an ordinary redirect and put the sign-in page into the fragment's place.
        return HttpResponse(status=401, headers={"HX-Redirect": f"{resolve_url(settings.LOGIN_URL)}?{back}"})


class SpendableBalance:
    """Shows on every page the balance that can be spent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            credits.leave_out_expired(request.user)
        return self.get_response(request)


class PrivatePages:
    """Keeps a signed-in user's pages out of caches, and shows our 404 page in debug mode, too.

    If another session has locked the user's row, the page says so.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.user.is_authenticated:
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, OperationalError) and locks.is_locked(exception):
            return busy(request)
        return not_found(request, exception) if isinstance(exception, Http404) else None
