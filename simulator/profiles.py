"""Profiles of specific servers: how each deviates from the protocol, as observed in a release or read in its source.

The jobs are the same for all profiles. A profile only translates at the HTTP boundary: which requests are accepted,
what a job looks like, what an error looks like. Versions: vLLM-Omni 0.30, SGLang 0.5.23, LiteLLM 1.106, new-api of
2026.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

from aiohttp import web

from .errors import ApiError, internal_error, not_found
from .extras import EXTRAS
from .jobs import State, VideoObject
from .pictures import VARIANTS
from .submission import ANY_SECONDS, ANY_SIZE, MORE_SIZES, SIZES, Rules

RUNNING = ("queued", "in_progress")


class Profile:
    """The protocol with common extensions. The other profiles override what differs."""

    rules = Rules(seconds=ANY_SECONDS, sizes=(*SIZES, *MORE_SIZES), extras=EXTRAS)
    honors_keys = True  # whether a repeat with the same Idempotency-Key creates no second job
    forgets = False  # whether jobs are only in memory and lost on restart

    def name(self, job_id: str, polled: bool) -> str:
        """The id of a job in a response: to a poll, or to the create."""
        return job_id

    def job_id(self, name: str) -> str:
        """The job that a client's id refers to. Raises ApiError."""
        return name

    def video(self, video: VideoObject) -> VideoObject:
        """This server's video object, made from OpenAI's."""
        return video

    def place(self, video: VideoObject, url: str | None) -> None:
        """Add the URL of the file to a video object, if it is not served as the video's content."""
        video["url"] = url

    def status_of_poll(self, video: VideoObject) -> int:
        """The HTTP status of a poll that returns this video object."""
        return 200

    def check_list(self) -> None:
        """Raise ApiError if the server has no list endpoint."""

    def deleted(self, video: VideoObject) -> VideoObject:
        """The response to a deletion. Raises ApiError if the video is not deleted."""
        return {"id": video["id"], "object": "video.deleted", "deleted": True}

    def variant(self, asked: str | None) -> str:
        """The requested variant of a job's file. Raises ApiError."""
        if asked is None:
            return "video"
        if asked in VARIANTS:
            return asked
        raise ApiError(
            400,
            f"Invalid value: '{asked}'. Supported values are: {', '.join(VARIANTS)}.",
            param="variant",
            code="invalid_value",
        )

    def unready(self, job_id: str, state: State) -> ApiError:
        """The error for the content of a job that is not completed."""
        return ApiError(404, f"Video with id '{job_id}' is not ready yet.", code="not_ready")

    def error(self, error: ApiError) -> web.Response:
        return error.response()


class OpenAI(Profile):
    """As strict as OpenAI was. The error for deleting a running job is a guess: its documentation only forbids it."""

    rules = Rules(
        sizes=("720x1280", "1280x720", "1024x1792", "1792x1024", "1920x1080", "1080x1920"), extras=()
    )
    honors_keys = False

    def deleted(self, video: VideoObject) -> VideoObject:
        if video["status"] in RUNNING:
            raise ApiError(400, "Only a completed or failed video can be deleted.", param="video_id")
        return super().deleted(video)


class VllmOmni(Profile):
    """One model, any size, jobs in memory. A failed job is an HTTP error that still has the video as its body."""

    rules = Rules(models=re.compile("sora-2"), sizes=ANY_SIZE, seconds=ANY_SECONDS, ignores_others=True)
    honors_keys = False
    forgets = True

    def video(self, video: VideoObject) -> VideoObject:
        if isinstance(video["error"], dict):
            video["error"]["code"] = 500
        return video | {"quality": "default", "media_type": "video/mp4", "file_name": None}

    def status_of_poll(self, video: VideoObject) -> int:
        return 500 if video["status"] == "failed" else 200

    def variant(self, asked: str | None) -> str:
        return "video"  # it ignores the query

    def unready(self, job_id: str, state: State) -> ApiError:
        if state.status in RUNNING:
            return ApiError(404, "Generation is still in-progress")
        return ApiError(422, "Video generation failed. Check job status for error details.")

    def error(self, error: ApiError) -> web.Response:
        return _json({"error": error.error | {"param": None, "code": error.status}}, error)


class SgLang(Profile):
    """Any model and size, jobs in memory. Deleting a job forgets it without stopping it."""

    rules = Rules(models=re.compile(".+"), sizes=ANY_SIZE, seconds=ANY_SECONDS, ignores_others=True)
    honors_keys = False
    forgets = True

    def video(self, video: VideoObject) -> VideoObject:
        del video["prompt"]
        if isinstance(video["error"], dict):
            del video["error"]["code"]
        return {"url": None, "urls": None, "quality": "standard", "file_path": None} | video

    def place(self, video: VideoObject, url: str | None) -> None:
        video |= {"url": url, "urls": url and [url]}

    def deleted(self, video: VideoObject) -> VideoObject:
        return video | {"status": "deleted"}

    def variant(self, asked: str | None) -> str:
        if asked in (None, "0"):  # the index among the videos of one request
            return "video"
        raise ApiError(404, f"Video variant {asked} not found")

    def unready(self, job_id: str, state: State) -> ApiError:
        return ApiError(404, "Generation is still in-progress")

    def error(self, error: ApiError) -> web.Response:
        return _json({"detail": error.error["message"]}, error)


class LiteLLM(Profile):
    """A proxy in front of another server: its own statuses, ids that encode where a job is, and nested errors."""

    rules = Rules()
    honors_keys = False

    def name(self, job_id: str, polled: bool) -> str:
        model = "" if polled else "sora-2"
        inner = f"litellm:custom_llm_provider:openai;model_id:{model};video_id:{job_id}"
        return f"video_{urlsafe_b64encode(inner.encode()).decode().rstrip('=')}"

    def job_id(self, name: str) -> str:
        text = name.removeprefix("video_")
        try:
            inner = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            where, _, job_id = inner.partition(";video_id:")
        except ValueError:
            raise not_found(name) from None
        if where.endswith("model_id:"):  # without a model it calls the default provider, with no key
            raise internal_error()
        return job_id

    def video(self, video: VideoObject) -> VideoObject:
        del video["prompt"]
        word = "processing" if video["status"] == "in_progress" else video["status"]
        return video | {"status": word, "usage": {"duration_seconds": float(str(video["seconds"]))}}

    def check_list(self) -> None:
        raise ApiError(400, "LLM Provider NOT provided. Pass in the LLM provider you are trying to call.")

    def deleted(self, video: VideoObject) -> VideoObject:
        raise ApiError(405, "Method Not Allowed")

    def error(self, error: ApiError) -> web.Response:
        if error.status == 405:
            return _json({"detail": "Method Not Allowed"}, error)
        message = f"litellm.APIError: OpenAIException - {json.dumps({'error': error.error})}"
        return _json({"error": {"message": message, "param": None, "code": str(error.status)}}, error)


class NewApi(Profile):
    """A gateway to many servers: only create, retrieve and content, and its own word for an unknown status."""

    rules = Rules()
    honors_keys = False

    def video(self, video: VideoObject) -> VideoObject:
        del video["prompt"]
        if video["status"] == "rendering":  # a status that it cannot translate
            video["status"] = "unknown"
        return {name: value for name, value in video.items() if value is not None}

    def place(self, video: VideoObject, url: str | None) -> None:
        video["metadata"] = {"url": url}

    def check_list(self) -> None:
        raise ApiError(404, "Invalid URL (GET /v1/videos)")

    def deleted(self, video: VideoObject) -> VideoObject:
        raise ApiError(404, f"Invalid URL (DELETE /v1/videos/{video['id']})")

    def unready(self, job_id: str, state: State) -> ApiError:
        return ApiError(400, f"Task is not completed yet, current status: {state.status}")

    def error(self, error: ApiError) -> web.Response:
        if error.error["code"] == "not_found":
            return _json({"code": "task_not_exist", "message": "task_not_exist", "data": None}, error, 400)
        code = error.error["code"] or "fail_to_fetch_task"
        return _json({"code": code, "message": error.error["message"], "data": None}, error)


PROFILES: dict[str, type[Profile]] = {
    "": Profile,
    "openai": OpenAI,
    "vllm-omni": VllmOmni,
    "sglang": SgLang,
    "litellm": LiteLLM,
    "new-api": NewApi,
}


def _json(body: Mapping[str, object], error: ApiError, status: int | None = None) -> web.Response:
    return web.json_response(body, status=status or error.status, headers=error.headers)
