"""Error responses in OpenAI's format. All API errors use it."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpResponse, JsonResponse
from pydantic import ValidationError as SchemaError

# Messages for errors that come from Django, not from an endpoint.
MESSAGES = {
    400: "The request could not be parsed.",
    403: "This request is not allowed.",
    404: "Unknown path. See /api/docs for the available endpoints.",
    405: "This method is not allowed for this path.",
    412: "The file is another version than the one that If-Match names.",
    413: "The request body is too large.",
    416: "The file does not have the bytes that Range asks for.",
}
SDK_PATIENCE = 60  # seconds; OpenAI's SDKs ignore a longer Retry-After and retry sooner
# OpenAI's error types of some statuses.
KINDS = {401: "authentication_error", 402: "insufficient_quota", 429: "rate_limit_error"}
SERVER_ERROR = "Internal server error. It was logged; nothing was charged unless a video was created."


class ApiError(Exception):
    """An error response. `param` names the invalid field; `after` is Retry-After, in seconds."""

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

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error object."""
        error = {
            "message": self.message,
            "type": kind_of(self.status),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def answer(self) -> HttpResponse:
        response = JsonResponse(self.body(), status=self.status)
        if self.after is not None:
            response["Retry-After"] = str(max(1, round(self.after)))
        if self.status in (409, 429) and (self.after is None or self.after > SDK_PATIENCE):
            # OpenAI's SDKs repeat these by themselves, which would not help.
            response["x-should-retry"] = "false"
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


def kind_of(status: int) -> str:
    """OpenAI's error type for a status."""
    return KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")


def not_found(what: str, name: str, param: str | None = None) -> ApiError:
    """A 404, the same for what does not exist and for what belongs to another account."""
    return ApiError(404, f"No such {what}: '{name[:100]}'.", param=param, code="not_found")


def bad_value(param: str, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def of_order(error: ValidationError) -> ApiError:
    """The first validation error of an order."""
    field, messages = next(iter(error.message_dict.items()))
    return bad_value({"image": "input_reference"}.get(field, field), messages[0])


def of_schema(error: SchemaError) -> ApiError:
    """The first schema error of a body, with the name of the field."""
    first = error.errors()[0]
    # A rule about several fields names one of them.
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
    """Report errors under the field names of the request: `renamed_params(prompt="drill_text")`."""

    def __init__(self, **names: str) -> None:
        self.names = names

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, ApiError) and error.param in self.names:
            error.param = self.names[error.param]
