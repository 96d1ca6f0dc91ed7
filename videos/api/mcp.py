"""`/mcp`: the API as tools for agents, by the Model Context Protocol (https://modelcontextprotocol.io).

One JSON-RPC message per POST, answered with JSON. There are no sessions and no streams, so any web process can answer
any message. Each tool is a call of /v1: the same key, fields, limits and errors. A failed tool call is a result with
`isError`, as the protocol wants it, so that the agent can read the reason.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.credits import InsufficientCredits
from videos.api import requests, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError
from videos.api.tools import TOOLS

# The newest first: it is what a client that asks for an unknown one is offered.
VERSIONS = ("2025-11-25", "2025-06-18")
# A request without the header MCP-Protocol-Version has this one, the protocol says.
WITHOUT_A_HEADER = "2025-03-26"

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602

INSTRUCTIONS = (
    "Makes videos from prompts, for credits. Ask quote for the price, then create_video with that price as max_credits"
    " and an idempotency_key of your choice; after a lost answer, repeat the call with the same one. Then ask get_video"
    " until the status is completed or failed. Failed and canceled videos are refunded."
)


class RpcError(Exception):
    """A message that is not a call of a tool. `status` is that of the HTTP response."""

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@csrf_exempt
@require_POST
def endpoint(request: HttpRequest) -> HttpResponse:
    """Answer one message. Errors of the transport, such as a missing key, are those of /v1."""
    try:
        key = ApiKeyAuth()(request)
        keyed = cast(KeyedRequest, request)
        keyed.auth = key
        raw = requests.raw_body(request)
    except ApiError as error:
        return error.answer()
    message_id = None
    try:
        message = _message(raw)
        message_id = message.get("id")
        _check_version(request, message)
        if "method" not in message or "id" not in message:
            # A notification, or an answer although nothing was asked: there is nothing to do, and nothing to say.
            return HttpResponse(status=202)
        result = _answer(keyed, message["method"], message.get("params", {}))
    except RpcError as error:
        said = {"code": error.code, "message": error.message}
        return JsonResponse({"jsonrpc": "2.0", "id": message_id, "error": said}, status=error.status)
    return JsonResponse({"jsonrpc": "2.0", "id": message_id, "result": result})


def _message(raw: bytes) -> dict[str, Any]:
    """The message of a body. Raises RpcError for what is not exactly one."""
    if raw.lstrip()[:1] == b"[":  # not parsed, however long it is
        raise RpcError(INVALID_REQUEST, "Batches are not supported: send one message per request.", 400)
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "The body is not valid JSON.", 400) from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'Expected a JSON-RPC message: {"jsonrpc": "2.0", …}.', 400)
    if "id" in message and type(message["id"]) not in (str, int):
        raise RpcError(INVALID_REQUEST, "The id of a request must be a string or an integer.", 400)
    is_call = isinstance(message.get("method"), str)
    if not is_call and ("method" in message or not {"result", "error"} & message.keys()):
        raise RpcError(INVALID_REQUEST, "Expected a message with a method.", 400)
    return message


def _check_version(request: HttpRequest, message: Mapping[str, Any]) -> None:
    """Raise RpcError for a version that is not spoken here. It is agreed upon by `initialize`, which has none yet."""
    version = request.headers.get("MCP-Protocol-Version", WITHOUT_A_HEADER)
    if message.get("method") != "initialize" and version not in (*VERSIONS, WITHOUT_A_HEADER):
        known = ", ".join(VERSIONS)
        raise RpcError(INVALID_REQUEST, f"Unsupported MCP-Protocol-Version. This server speaks {known}.", 400)


def _answer(request: KeyedRequest, method: str, params: Any) -> dict[str, Any]:
    """The result of a request. Raises RpcError."""
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object.")
    if method == "initialize":
        return _initialized(params)
    if method == "ping":
        return {}
    if method == "tools/list":
        if params.get("cursor") is not None:
            raise RpcError(INVALID_PARAMS, "Invalid cursor: there is only one page of tools.")
        return {"tools": _descriptions()}
    if method == "tools/call":
        return _called(request, params)
    raise RpcError(UNKNOWN_METHOD, f"Unknown method: {method[:100]}")


def _initialized(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    if not isinstance(wanted, str):
        raise RpcError(INVALID_PARAMS, "protocolVersion must be a string.")
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "aivideo", "version": settings.VERSION},
        "instructions": INSTRUCTIONS,
    }


@cache
def _descriptions() -> list[dict[str, Any]]:
    return [tool.description(name) for name, tool in TOOLS.items()]


def _called(request: KeyedRequest, params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a tool. Its errors are results too."""
    name, arguments = params.get("name"), params.get("arguments")
    tool = TOOLS.get(name) if isinstance(name, str) else None
    if tool is None:
        raise RpcError(INVALID_PARAMS, f"Unknown tool: {str(name)[:100]}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "arguments must be an object.")
    try:
        result = tool.call(request, arguments)
    except ApiError as error:
        return _failed(error)
    except InsufficientCredits as error:
        return _failed(spending.insufficient(request.auth, error.needed, error.available))
    content = [{"type": "text", "text": result.text}, *result.links]
    return {"content": content, "structuredContent": result.value, "isError": False}


def _failed(error: ApiError) -> dict[str, Any]:
    text = error.message
    if error.after is not None:
        text = f"{text} Retry after {max(1, round(error.after))} seconds."
    content = [{"type": "text", "text": text}]
    return {"content": content, "structuredContent": error.body(), "isError": True}
