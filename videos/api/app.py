"""The API as a whole: its routers and its error handlers."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Router
from ninja.errors import ValidationError
from ninja.operation import Operation

from accounts import locks
from accounts.credits import InsufficientCredits
from videos.api import account, batches, cancellation, files, mcp, not_offered, quotes, spending, usage
from videos.api import videos as video_endpoints
from videos.api.auth import KeyedRequest
from videos.api.compat import drills, gateway, site
from videos.api.errors import ApiError
from videos.api.openapi import pages
from videos.order import NotNow

LOCKED_PAUSE = 5  # seconds


class Api(NinjaAPI):
    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The name of the function, without its module."""
        return operation.view_func.__name__


# Groups of calls, as in the document.
TAGS = {
    "Videos": "Compatible with OpenAI's Videos API, with quotes and cancellation besides.",
    "Files": "Pictures that are uploaded once and used in many orders. Compatible with OpenAI's Files API.",
    "Batches": "Many videos in one request, all or none, and campaigns: one idea for several platforms.",
    "Account": "Models, credits, and what was spent.",
    "Site API": "The paths of an older service, for programs that already use them.",
    "Gateway query": "The status of a video, in the format of an older gateway.",
    "Training drills": "A video by an id of your choice; a request can wait until the video has ended.",
    "Webhooks": "Events that are sent to the `webhook_url` of an order or of a key.",
}


def _answer_head(router: Router) -> None:
    """Answer HEAD where GET is; the server leaves the body out."""
    for path_view in router.path_operations.values():
        for operation in path_view.operations:
            if "GET" in operation.methods and "HEAD" not in operation.methods:
                operation.methods.append("HEAD")


api = Api(
    title="aivideo",
    version=settings.VERSION,
    description="Create videos from prompts. Compatible with OpenAI's Videos API, /v1/videos.",
    docs_url=None,
    openapi_url=None,
    urls_namespace="api",
    servers=[{"url": "/"}],
    openapi_extra={
        "info": {"license": {"name": "MIT", "identifier": "MIT"}},
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
    },
)
# In the order of the document. Links to videos come before files: see file_by_link.
for endpoints in (
    video_endpoints,
    quotes,
    files,
    batches,
    cancellation,
    account,
    usage,
    site,
    gateway,
    drills,
):
    _answer_head(endpoints.router)
    api.add_router("", endpoints.router)


@api.exception_handler(ApiError)
def _answer(request: HttpRequest, error: ApiError) -> HttpResponse:
    return error.answer()


@api.exception_handler(InsufficientCredits)
def _not_enough(request: KeyedRequest, error: InsufficientCredits) -> HttpResponse:
    return spending.insufficient(request.auth, error.needed, error.available).answer()


@api.exception_handler(NotNow)
def _not_now(request: HttpRequest, error: NotNow) -> HttpResponse:
    return spending.not_now(error).answer()


@api.exception_handler(ValidationError)
def _bad_parameter(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    param = str(first["loc"][-1])
    return ApiError(400, f"Invalid '{param}': {first['msg']}.", param=param, code="invalid_value").answer()


@api.exception_handler(OperationalError)
def _locked(request: HttpRequest, error: OperationalError) -> HttpResponse:
    if not locks.is_locked(error):
        raise error
    message = "Another change to your account is still under way. Nothing was changed. Try again in a moment."
    return ApiError(503, message, code="account_busy", after=LOCKED_PAUSE).answer()


@api.exception_handler(UnreadablePostError)
def _cut_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    message = "The request body ends too early. Nothing was changed. Send the request again."
    return ApiError(408, message, code="incomplete_body").answer()


@api.exception_handler(Exception)
def _our_fault(request: HttpRequest, error: Exception) -> HttpResponse:
    """Re-raise, so that Django logs it. ApiMiddleware gives the response its shape."""
    raise error


@csrf_exempt
def _unknown(request: HttpRequest) -> HttpResponse:
    return ApiError(
        404, "Unknown path. See /api/docs for the available endpoints.", code="not_found"
    ).answer()


def _patterns() -> list[URLPattern]:
    """The URL patterns, exempt from the sign-in requirement: requests are authenticated by API key, not by session."""
    # First: /v1/videos/edits would match /v1/videos/{video_id}.
    patterns = [re_path(not_offered.PATHS, not_offered.answer)]
    calls = [pattern for pattern in api.urls[0] if isinstance(pattern, URLPattern) and str(pattern.pattern)]
    patterns += sorted(calls, key=_fixed_part, reverse=True)
    patterns += [
        path("api/docs", pages.page, name="docs"),
        path("api/openapi.json", pages.openapi, name="openapi"),
        path("openapi.json", pages.openapi, name="root_openapi"),
        path("llms.txt", pages.llms, name="llms"),
        path("mcp", mcp.endpoint, name="mcp"),
    ]
    patterns.append(re_path(r"^(?:v1|api/v1|api/video-generation)(?:/.*)?$", _unknown))
    for pattern in patterns:
        pattern.callback = login_not_required(pattern.callback)
    return patterns


def _fixed_part(pattern: URLPattern) -> int:
    """How long the path is up to its first parameter: /v1/videos/quote would match /v1/videos/{video_id}, so it comes first."""
    return len(str(pattern.pattern).partition("<")[0])


app_name = "api"
urlpatterns = _patterns()
