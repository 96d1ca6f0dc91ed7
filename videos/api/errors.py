"""What is wrong with a request, in the shape that OpenAI gave its errors. Every answer that is none has it."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from pydantic import ValidationError as SchemaError

DOORS = ("/v1/", "/api/")  # paths below these are for programs

# What is said where Django, or a server before it, refused the request and nobody else said why.
SENTENCES = {
    400: "This request could not be read.",
    403: "This request is not allowed.",
    404: "There is no such path. /api/docs lists those that are.",
    405: "This path does not take this method.",
    413: "The body of this request is too large.",
}
OURS = "Something went wrong here. It was logged; nothing was charged unless a video was created."


class ApiError(Exception):
    """An answer that is an error. `param` names the field that is wrong; `after` is when to come again, in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.after = status, message, param, code, after

    def answer(self) -> HttpResponse:
        error = {
            "message": self.message,
            "type": kind_of(self.status),
            "param": self.param,
            "code": self.code,
        }
        response = JsonResponse({"error": error}, status=self.status)
        if self.after is not None:
            response["Retry-After"] = str(max(1, round(self.after)))
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


def kind_of(status: int) -> str:
    """OpenAI's word for what went wrong."""
    words = {401: "authentication_error", 402: "insufficient_quota", 429: "rate_limit_error"}
    return words.get(status, "invalid_request_error" if status < 500 else "server_error")


def not_found(what: str, name: str, param: str | None = None) -> ApiError:
    """The same for what is not there and for what is somebody else's."""
    return ApiError(404, f"No such {what}: '{name[:100]}'.", param=param, code="not_found")


def bad_value(param: str, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def of_order(error: ValidationError) -> ApiError:
    """What the catalogue says against an order: its first sentence."""
    field, messages = next(iter(error.message_dict.items()))
    return bad_value({"image": "input_reference"}.get(field, field), messages[0])


def of_schema(error: SchemaError) -> ApiError:
    """What the schema says against a body: the first field that is wrong, by name."""
    first = error.errors()[0]
    # A rule about several fields names the one that it is about.
    where = [*map(str, first["loc"]), *filter(None, [first.get("ctx", {}).get("param")])]
    param = ".".join(where)[:100] or None
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return ApiError(
            400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    return ApiError(400, f"Invalid '{param}': {first['msg']}.", param=param, code="invalid_value")


class renamed_params:
    """What these fields are called in a request, where one of them is wrong: `renamed(prompt="drill_text")`."""

    def __init__(self, **names: str) -> None:
        self.names = names

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, ApiError) and error.param in self.names:
            error.param = self.names[error.param]


class ApiErrorMiddleware:
    """Middleware: whatever refuses a program's request, it answers in the shape that programs expect."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith(DOORS) or request.path.startswith("/api/docs"):
            return response
        if response.status_code >= 400 and not response.get("Content-Type", "").startswith(
            "application/json"
        ):
            message = SENTENCES.get(response.status_code, OURS)
            shaped = ApiError(response.status_code, message).answer()
            for name in ("Allow", "Retry-After"):
                if name in response:
                    shaped[name] = response[name]
            response = shaped
        for name, value in getattr(request, "rate_limit", {}).items():
            response[name] = value
        response.headers.setdefault("Cache-Control", "private, no-store")
        response.headers.setdefault("Vary", "Authorization")
        return response
