"""Errors in OpenAI's format."""

from aiohttp import web


class ApiError(Exception):
    """A response other than 2xx: `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": type, "param": param, "code": code}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def response(self) -> web.Response:
        return web.json_response({"error": self.error}, status=self.status, headers=self.headers)


def not_found(video_id: str) -> ApiError:
    return ApiError(404, f"Video with id '{video_id}' not found.", code="not_found", param="video_id")


def internal_error() -> ApiError:
    return ApiError(500, "The server had an error while processing your request.", type="server_error")
