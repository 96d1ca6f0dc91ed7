"""`/mcp`: the API as tools for agents, by the Model Context Protocol (https://modelcontextprotocol.io).

One JSON-RPC message per POST, answered with JSON. There are no sessions and no streams, so any web process can answer
any message. A failed tool call is a result with `isError`, as the protocol wants it, so that the agent can read the reason.

Since the revision 2026-07-28, each request says which revision it is in, twice: in its `_meta` and in a header. Clients of
older revisions agree on one by `initialize`, and name it in the header.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.credits import InsufficientCredits
from videos.api import bodies, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError
from videos.api.tools import TOOLS
from videos.order import NotNow

# The newest first. Those of HANDSHAKE_VERSIONS are agreed upon by `initialize`.
VERSION = "2026-07-28"
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18")
VERSIONS = (VERSION, *HANDSHAKE_VERSIONS)
# A request without the header MCP-Protocol-Version has this one, the protocol says.
WITHOUT_A_HEADER = "2025-03-26"

# Names in the `_meta` of requests and results.
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_SERVER = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022

INSTRUCTIONS = (
    "Makes videos from prompts, for credits. Ask quote for the price, then create_video with that price as max_credits"
    " and an idempotency_key of your choice; after a lost answer, repeat the call with the same one. Then ask get_video"
    " until the status is completed or failed. Failed and canceled videos are refunded."
)
CAPABILITIES: dict[str, object] = {"tools": {}}
SERVER = {"name": "aivideo", "version": settings.VERSION}
# How long clients may remember the tools, in milliseconds. They change with an update of the site only.
CACHE_MS = 5 * 60 * 1000


class RpcError(Exception):
    """A message that cannot be answered with a result. `status` is that of the HTTP response."""

    def __init__(
        self, code: int, message: str, status: int = 400, data: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.said: dict[str, object] = {"code": code, "message": message}
        if data is not None:
            self.said["data"] = data


@dataclass(frozen=True)
class Message:
    """A JSON-RPC message. Only a request has both `id` and `method`, and only a request is answered."""

    id: str | int | None
    method: str | None
    params: object

    @property
    def is_request(self) -> bool:
        return self.id is not None and self.method is not None


@csrf_exempt
@require_POST
def endpoint(request: HttpRequest) -> HttpResponse:
    """Answer one message. Errors of the transport, such as a missing key, are those of /v1."""
    try:
        key = ApiKeyAuth()(request)
        keyed = cast(KeyedRequest, request)
        keyed.auth = key
        raw = bodies.raw_body(request)
    except ApiError as error:
        return error.answer()
    message_id = None
    try:
        message = _message(raw)
        message_id = message.id
        result = _answer(keyed, message)
    except RpcError as error:
        return JsonResponse({"jsonrpc": "2.0", "id": message_id, "error": error.said}, status=error.status)
    if result is None:
        return HttpResponse(status=202)
    return JsonResponse({"jsonrpc": "2.0", "id": message_id, "result": result})


def _message(raw: bytes) -> Message:
    """The message of a body. Raises RpcError for what is not exactly one."""
    if raw.lstrip()[:1] == b"[":  # not parsed, however long it is
        raise RpcError(INVALID_REQUEST, "Batches are not supported: send one message per request.")
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "The body is not valid JSON.") from None
    if not isinstance(fields, dict) or fields.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'Expected a JSON-RPC message: {"jsonrpc": "2.0", …}.')
    if "id" in fields and type(fields["id"]) not in (str, int):
        raise RpcError(INVALID_REQUEST, "The id of a request must be a string or an integer.")
    is_call = isinstance(fields.get("method"), str)
    if not is_call and ("method" in fields or not {"result", "error"} & fields.keys()):
        raise RpcError(INVALID_REQUEST, "Expected a message with a method.")
    return Message(fields.get("id"), fields.get("method"), fields.get("params", {}))


def _answer(request: KeyedRequest, message: Message) -> dict[str, object] | None:
    """The result of a request. None for a notification, or an answer although nothing was asked. Raises RpcError."""
    version = _version(request, message)
    if not message.is_request:
        return None
    try:
        if not isinstance(message.params, dict):
            raise RpcError(INVALID_PARAMS, "params must be an object.")
        result = _result(request, version, str(message.method), message.params)
    except RpcError as error:
        if version != VERSION:
            error.status = 200  # older clients do not read the body of any other answer
        raise
    return _complete(result, str(message.method)) if version == VERSION else result


def _version(request: HttpRequest, message: Message) -> str:
    """The revision of a message. Raises RpcError if it is not spoken here."""
    if message.method == "initialize":
        return HANDSHAKE_VERSIONS[0]  # to be agreed upon by its answer
    version = request.headers.get("MCP-Protocol-Version", WITHOUT_A_HEADER)
    if message.is_request:
        _check_metadata(request, message, is_required=version == VERSION)
    if version not in (*VERSIONS, WITHOUT_A_HEADER):
        raise RpcError(
            UNSUPPORTED_VERSION,
            f"Unsupported protocol version. This server speaks {', '.join(VERSIONS)}.",
            data={"supported": VERSIONS, "requested": version},
        )
    return version


def _check_metadata(request: HttpRequest, message: Message, is_required: bool) -> None:
    """Raise RpcError for a request without `_meta` if that is required, and for one whose headers do not match the body."""
    params = message.params if isinstance(message.params, dict) else {}
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        meta = {}
    if not is_required and META_VERSION not in meta:
        return
    if not isinstance(meta.get(META_VERSION), str) or not isinstance(meta.get(META_CAPABILITIES), dict):
        raise RpcError(INVALID_PARAMS, f"params._meta must have {META_VERSION} and {META_CAPABILITIES}.")
    expected = {"MCP-Protocol-Version": meta[META_VERSION], "Mcp-Method": message.method}
    if message.method == "tools/call":
        expected["Mcp-Name"] = params.get("name")
    for name, value in expected.items():
        if _decoded(request.headers.get(name)) != value:
            raise RpcError(HEADER_MISMATCH, f"The header {name} does not match the body.")


def _decoded(header: str | None) -> str | None:
    """The value of a header, which is `=?base64?…?=` where it is no plain text. None if it is invalid or missing."""
    if header is None or not (header.startswith("=?base64?") and header.endswith("?=")):
        return header
    try:
        return base64.b64decode(header[9:-2], validate=True).decode()
    except ValueError:
        return None


def _result(
    request: KeyedRequest, version: str, method: str, params: Mapping[str, object]
) -> dict[str, object]:
    """The result of a method, which this revision has. Raises RpcError."""
    if method == "tools/call":
        return _called(request, params)
    if method == "tools/list":
        if params.get("cursor") is not None:
            raise RpcError(INVALID_PARAMS, "Invalid cursor: there is only one page of tools.")
        return {"tools": _descriptions()}
    if method == "initialize":
        return _initialized(params)
    if method == "server/discover" and version == VERSION:
        return {"supportedVersions": VERSIONS, "capabilities": CAPABILITIES, "instructions": INSTRUCTIONS}
    if method == "ping" and version != VERSION:
        return {}
    raise RpcError(UNKNOWN_METHOD, f"Unknown method: {method[:100]}", 404)


def _initialized(params: Mapping[str, object]) -> dict[str, object]:
    wanted = params.get("protocolVersion")
    if not isinstance(wanted, str):
        raise RpcError(INVALID_PARAMS, "protocolVersion must be a string.")
    return {
        "protocolVersion": wanted if wanted in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0],
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


def _complete(result: dict[str, object], method: str) -> dict[str, object]:
    """A result with what each has since 2026-07-28, and how long it may be cached if that is allowed."""
    cache = {} if method == "tools/call" else {"ttlMs": CACHE_MS, "cacheScope": "public"}
    return {"resultType": "complete", **result, **cache, "_meta": {META_SERVER: SERVER}}


@cache
def _descriptions() -> list[dict[str, object]]:
    return [tool.description(name) for name, tool in TOOLS.items()]


def _called(request: KeyedRequest, params: Mapping[str, object]) -> dict[str, object]:
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
    except NotNow as error:
        return _failed(spending.not_now(error))
    content = [{"type": "text", "text": result.text}, *result.links]
    return {"content": content, "structuredContent": result.value, "isError": False}


def _failed(error: ApiError) -> dict[str, object]:
    text = error.message
    if error.after is not None:
        text = f"{text} Retry after {max(1, round(error.after))} seconds."
    content = [{"type": "text", "text": text}]
    return {"content": content, "structuredContent": error.body(), "isError": True}
