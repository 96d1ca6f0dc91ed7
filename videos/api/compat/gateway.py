"""The gateway query: `/v1/videos/query`."""

from typing import Literal, Self

from django.http import HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from videos import serializers
from videos.api import actions, bodies, openapi_extra, requests
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.compat.shared import QUERY_WORDS

router = Router()


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra=requests.one_of("video_id", "task_id"))
    video_id: requests.Text | None = None
    task_id: requests.Text | None = Field(default=None, description="Alias of video_id.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.video_id is None and self.task_id is None:
            raise PydanticCustomError("no_id", "required unless task_id is sent", {"param": "video_id"})
        if None not in (self.video_id, self.task_id) and self.video_id != self.task_id:
            raise PydanticCustomError(
                "two_ids", "it differs from video_id; send only one of them", {"param": "task_id"}
            )
        return self


class QueryResult(Schema):
    url: str


class QueryAnswer(Schema):
    """`video_id` and `video_result` are empty until success; `message` contains the progress."""

    task_id: str
    video_id: str
    task_status: Literal["processing", "success", "failed"]
    message: str
    duration: str
    video_result: str
    video_results: list[QueryResult]


@router.post(
    "/v1/videos/query",
    response=QueryAnswer,
    auth=ApiKeyAuth(),
    tags=["Gateway query"],
    openapi_extra=openapi_extra.body(Query),
)
def query(request: KeyedRequest) -> HttpResponse:
    """Retrieve the status of a video."""
    asked = requests.checked(Query, bodies.read(request).fields)
    return _query_answer(request, asked.video_id or asked.task_id or "")


@router.get("/v1/videos/query/{video_id}", response=QueryAnswer, auth=ApiKeyAuth(), tags=["Gateway query"])
def query_by_path(request: KeyedRequest, video_id: str) -> HttpResponse:
    """Retrieve the status of a video."""
    return _query_answer(request, video_id)


def _query_answer(request: KeyedRequest, video_id: str) -> HttpResponse:
    video = serializers.video_object(actions.own(request, video_id))
    url = video["url"] or ""
    return JsonResponse(
        {
            "task_id": video["id"],
            "video_id": video["id"] if url else "",
            "task_status": QUERY_WORDS[video["status"]],
            "message": _query_message(video),
            "duration": video["seconds"],
            "video_result": url,
            "video_results": [{"url": url}] if url else [],
        }
    )


def _query_message(video: serializers.VideoObject) -> str:
    """The exact messages of the original gateway: programs look for them."""
    if video["error"]:
        return video["error"]["message"]
    if video["url"]:
        return f"Video completed and uploaded to {video['url']}"
    return f"Video is still processing (progress: {video['progress']}%)"
