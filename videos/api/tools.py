"""What agents can do by the Model Context Protocol (videos/api/mcp.py): each tool is a call of /v1.

It takes the same fields, and has the same limits and errors. The descriptions are read by agents.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from videos import serializers
from videos.api import account, actions, bodies, cancellation, idempotency, quotes, requests, schemas
from videos.api import videos as video_endpoints
from videos.api.auth import KeyedRequest
from videos.api.errors import renamed_params
from videos.models import Video
from videos.status.progress import progress_of


class Link(TypedDict):
    """A file, as the protocol describes it to an agent."""

    type: Literal["resource_link"]
    uri: str
    name: str
    mimeType: str


@dataclass(frozen=True)
class Result:
    """What a tool returns: an object of the API, a sentence about it, and links to files that an agent can show."""

    value: Mapping[str, object]
    text: str
    links: list[Link] = field(default_factory=list)


class CreateVideo(requests.VideoRequest):
    """The fields of a video, and those that keep a repeated or outdated call from costing anything."""

    max_credits: requests.Whole = Field(  # type: ignore[assignment]  # required here
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


NOT_OF_THE_ORDER = ("max_credits", "idempotency_key")


class VideoId(BaseModel):
    model_config = ConfigDict(extra="forbid")
    video_id: str = Field(description="The id of a video: video_…")


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: str = Field(default="", description="The last id of the page before. Default: the first page.")
    limit: int = Field(default=video_endpoints.PAGE, description=f"1 to {video_endpoints.MAX_PAGE} videos.")
    order: str = Field(default="desc", description="desc: newest first; asc: oldest first.")


def _quote(request: KeyedRequest, arguments: dict[str, object]) -> Result:
    quote = quotes.quote(request.auth, bodies.Body(arguments))
    text = f"This costs {quote['credits']} credits; the account has {quote['balance']}."
    if quote["error"]:
        text = f"{text} It would not be accepted now: {quote['error']['message']}"
    return Result(quote, text)


def _create_video(request: KeyedRequest, arguments: dict[str, object]) -> Result:
    with renamed_params(**requests.aliases_in(arguments)):
        asked = requests.checked(CreateVideo, arguments)
    # What the call may cost is not part of what it orders: a repeat may allow another price.
    fields = {name: value for name, value in arguments.items() if name not in NOT_OF_THE_ORDER}
    said = json.dumps(["/mcp", "create_video", fields], sort_keys=True).encode("utf-8", "surrogatepass")
    body = bodies.Body(fields, digest=hashlib.sha256(said).hexdigest())
    names = {} if asked.idempotency_key is None else {idempotency.HEADER: "idempotency_key"}
    with renamed_params(**names):
        answer = video_endpoints.create(
            request, body, max_credits=asked.max_credits, idempotency_key=asked.idempotency_key
        )
    video: serializers.VideoObject = json.loads(answer.content)
    if "Idempotent-Replayed" in answer:
        text = f"This repeats an earlier call, which ordered {video['id']}. Nothing more was charged."
    else:
        text = f"Ordered {video['id']} for {video['credits'] * asked.n} credits."
    if siblings := video["metadata"].get("siblings"):
        text = f"{text} The others are {siblings}."
    return Result(video, f"{text} Ask get_video until its status is completed or failed.")


def _get_video(request: KeyedRequest, arguments: dict[str, object]) -> Result:
    asked = requests.checked(VideoId, arguments)
    video = actions.own(request, asked.video_id)
    shown = actions.shown(video)
    return Result(shown, _sentence(video, shown), _links(video, shown))


def _list_videos(request: KeyedRequest, arguments: dict[str, object]) -> Result:
    asked = requests.checked(Page, arguments)
    page = video_endpoints.page(request.user, asked.after, asked.limit, asked.order)
    lines = [f"{video['id']} {video['status']}: {video['prompt'][:60]}" for video in page["data"]]
    more = ["There are more: set after to the last id."] if page["has_more"] else []
    return Result(page, "\n".join([*lines, *more]) or "There are no videos.")


def _cancel_video(request: KeyedRequest, arguments: dict[str, object]) -> Result:
    asked = requests.checked(VideoId, arguments)
    video = serializers.video_object(cancellation.canceled(request, asked.video_id))
    return Result(video, f"{video['id']} is canceled. Its {video['credits']} credits were refunded.")


def _get_credits(request: KeyedRequest, arguments: dict[str, object]) -> Result:
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


def _links(video: Video, shown: serializers.VideoObject) -> list[Link]:
    """The file of a completed video, and its poster if it has one already."""
    if shown["url"] is None:
        return []
    links = [_link(shown["url"], f"{shown['id']}.mp4", "video/mp4")]
    if video.poster:
        links.append(_link(f"{shown['url']}?variant=thumbnail", f"{shown['id']}.webp", "image/webp"))
    return links


def _link(url: str, name: str, kind: str) -> Link:
    return {"type": "resource_link", "uri": url, "name": name, "mimeType": kind}


@dataclass(frozen=True)
class Tool:
    """A tool, its arguments, what it returns, and whether it changes anything, or destroys something."""

    call: Callable[[KeyedRequest, dict[str, object]], Result]
    title: str
    about: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    is_read_only: bool = True
    is_destructive: bool = False

    def description(self, name: str) -> dict[str, object]:
        """The tool as `tools/list` shows it."""
        hints = {"readOnlyHint": self.is_read_only, "destructiveHint": self.is_destructive}
        # Clients check errors by this schema too.
        gives, definitions = models_json_schema([(self.gives, "validation"), (Failure, "validation")])
        return {
            "name": name,
            "title": self.title,
            "description": self.about,
            "inputSchema": self.takes.model_json_schema(),
            "outputSchema": {"type": "object", "anyOf": list(gives.values()), **definitions},
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
        "The status of a video; once it is completed, links to its file and to a picture of it that work until expires_at.",
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
