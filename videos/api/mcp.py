"""`/mcp`: the API as tools for agents, by the Model Context Protocol (https://modelcontextprotocol.io).

One JSON-RPC message per POST, answered with JSON. There are no sessions and no streams, so any web process can answer
any message. Each tool is a call of /v1: the same key, fields, limits and errors. A failed tool call is a result with
`isError`, as the protocol wants it, so that the agent can read the reason.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from accounts.credits import InsufficientCredits
from videos import serializers
from videos.api import account, actions, cancellation, idempotency, quotes, requests, schemas, spending
from videos.api import videos as video_endpoints
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, renamed_params
from videos.models import Video
from videos.status.progress import progress_of

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


@dataclass(frozen=True)
class Result:
    """What a tool returns: an object of the API, a sentence about it, and links to files that an agent can show."""

    value: Mapping[str, Any]
    text: str
    links: list[dict[str, str]] = field(default_factory=list)


class CreateVideo(requests.VideoRequest):
    """The fields of a video, and those that keep a repeated or outdated call from costing anything."""

    max_credits: int = Field(
        ge=0,
        description="The most that this call may cost in total: the `credits` of the quote. If it would cost more,"
        " nothing is made or charged (price_changed).",
    )
    idempotency_key: str | None = Field(
        default=None,
        description="A unique value of your choice. Calls with the same one make one video. After a lost answer, repeat"
        " the call with the same value. Default: the header Idempotency-Key.",
        json_schema_extra={"minLength": 1, "maxLength": 255},
    )


NOT_OF_THE_ORDER = CreateVideo.model_fields.keys() - requests.VideoRequest.model_fields.keys()


class VideoId(BaseModel):
    model_config = ConfigDict(extra="forbid")
    video_id: str = Field(description="The id of a video: video_…")


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: str = Field(default="", description="The last id of the page before. Default: the first page.")
    limit: int = Field(default=video_endpoints.PAGE, description=f"1 to {video_endpoints.MAX_PAGE} videos.")
    order: str = Field(default="desc", description="desc: newest first; asc: oldest first.")


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


# --- The tools -------------------------------------------------------------------------------------


def _quote(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    quote = quotes.quote(request.auth, requests.Body(arguments))
    text = f"This costs {quote['credits']} credits; the account has {quote['balance']}."
    if quote["error"]:
        text = f"{text} It would not be accepted now: {quote['error']['message']}"
    return Result(quote, text)


def _create_video(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    with renamed_params(**requests.aliases_in(arguments)):
        asked = requests.checked(CreateVideo, arguments)
    # What the call may cost is not part of what it orders: a repeat may allow another price.
    fields = {name: value for name, value in arguments.items() if name not in NOT_OF_THE_ORDER}
    said = json.dumps(["/mcp", "create_video", fields], sort_keys=True).encode("utf-8", "surrogatepass")
    body = requests.Body(fields, digest=hashlib.sha256(said).hexdigest())
    names = {} if asked.idempotency_key is None else {idempotency.HEADER: "idempotency_key"}
    with renamed_params(**names):
        answer = video_endpoints.create(
            request, body, max_credits=asked.max_credits, idempotency_key=asked.idempotency_key
        )
    video = json.loads(answer.content)
    if "Idempotent-Replayed" in answer:
        text = f"This repeats an earlier call, which ordered {video['id']}. Nothing more was charged."
    else:
        text = f"Ordered {video['id']} for {video['credits'] * asked.n} credits."
    if siblings := video["metadata"].get("siblings"):
        text = f"{text} The others are {siblings}."
    return Result(video, f"{text} Ask get_video until its status is completed or failed.")


def _get_video(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    asked = requests.checked(VideoId, arguments)
    video = actions.own(request, asked.video_id)
    shown = actions.shown(video)
    return Result(shown, _sentence(video, shown), _links(shown))


def _list_videos(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    asked = requests.checked(Page, arguments)
    page = video_endpoints.page(request.user, asked.after, asked.limit, asked.order)
    lines = [f"{video['id']} {video['status']}: {video['prompt'][:60]}" for video in page["data"]]
    more = ["There are more: set after to the last id."] if page["has_more"] else []
    return Result(page, "\n".join([*lines, *more]) or "There are no videos.")


def _cancel_video(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    asked = requests.checked(VideoId, arguments)
    video = serializers.video_object(cancellation.canceled(request, asked.video_id))
    return Result(video, f"{video['id']} is canceled. Its {video['credits']} credits were refunded.")


def _get_credits(request: KeyedRequest, arguments: dict[str, Any]) -> Result:
    requests.checked(cancellation.NoFields, arguments)
    held = account.credits_of(request.user)
    return Result(
        held, f"{held['balance']} credits are available, {held['reserved']} reserved for running videos."
    )


def _sentence(video: Video, shown: serializers.VideoObject) -> str:
    """What has become of a video, and for one that is unfinished, when to ask again."""
    if shown["error"]:
        return f"{shown['id']} failed: {shown['error']['message']}"
    if not video.is_live:
        return f"{shown['id']} is completed. The link to its file works until its expires_at; ask again for a new one."
    again = max(1, round(progress_of(video, 0).poll_ms / 1000))
    return f"{shown['id']} is {shown['status']} ({shown['progress']}%). Ask again in {again} seconds."


def _links(shown: serializers.VideoObject) -> list[dict[str, str]]:
    if shown["url"] is None:
        return []
    name = f"{shown['id']}.mp4"
    return [{"type": "resource_link", "uri": shown["url"], "name": name, "mimeType": "video/mp4"}]


@dataclass(frozen=True)
class Tool:
    """A tool, its arguments, what it returns, and whether it changes anything, or destroys something."""

    call: Callable[[KeyedRequest, dict[str, Any]], Result]
    title: str
    about: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    is_read_only: bool = True
    is_destructive: bool = False

    def description(self, name: str) -> dict[str, Any]:
        """The tool as `tools/list` shows it."""
        hints = {"readOnlyHint": self.is_read_only, "destructiveHint": self.is_destructive}
        gives: Any = self.gives | Failure  # clients check errors by this schema too
        return {
            "name": name,
            "title": self.title,
            "description": self.about,
            "inputSchema": self.takes.model_json_schema(),
            "outputSchema": {"type": "object"} | TypeAdapter(gives).json_schema(),
            "annotations": hints,
        }


class FailureReason(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(BaseModel):
    """Why a call failed. `param` is the argument that is wrong."""

    error: FailureReason


TOOLS = {
    "quote": Tool(
        _quote,
        "Quote a video",
        "What a video would cost in credits, and whether it would be accepted now. Charges nothing.",
        requests.VideoRequest,
        quotes.VideoQuote,
    ),
    "create_video": Tool(
        _create_video,
        "Create a video",
        "Create a video from a prompt. Its credits are charged immediately and refunded if it fails. Ask quote for"
        " max_credits first, and send an idempotency_key, so that a repeat is not a second video.",
        CreateVideo,
        schemas.VideoObject,
        is_read_only=False,
    ),
    "get_video": Tool(
        _get_video,
        "Get a video",
        "The status of a video; once it is completed, a link to its file that works until expires_at.",
        VideoId,
        schemas.VideoObject,
    ),
    "list_videos": Tool(
        _list_videos, "List videos", "The videos of the account, by pages.", Page, schemas.VideoList
    ),
    "cancel_video": Tool(
        _cancel_video,
        "Cancel a video",
        "Cancel a video that is still queued, and refund it. Canceling twice is harmless.",
        VideoId,
        schemas.VideoObject,
        is_read_only=False,
        is_destructive=True,
    ),
    "get_credits": Tool(
        _get_credits,
        "Get credits",
        "How many credits the account has.",
        cancellation.NoFields,
        schemas.Credits,
    ),
}
