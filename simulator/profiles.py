"""Servers by name: how each deviates from the protocol, as its released version was seen to do, or its source says.

The jobs are the same for all of them. A profile stands between them and the wire: what is taken, what a job looks
like, how an error reads. What the named versions do: vLLM-Omni 0.30, SGLang 0.5.23, LiteLLM 1.106; new-api of 2026.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from aiohttp import web

from .errors import ApiError, internal_error, not_found
from .extras import EXTRAS
from .jobs import State
from .pictures import VARIANTS
from .submission import ANY_SECONDS, ANY_SIZE, MORE_SIZES, SIZES, Rules

RUNNING = ("queued", "in_progress")


class Profile:
    """The protocol, and what many take besides. The others say what is different."""

    rules = Rules(seconds=ANY_SECONDS, sizes=(*SIZES, *MORE_SIZES), extras=EXTRAS)
    honours_keys = True  # whether a repeat with the same Idempotency-Key makes no second job
    forgets = False  # whether its jobs live in memory only, and are gone after a restart

    def name(self, job_id: str, polled: bool) -> str:
        """What a job is called in an answer: to a poll, or to the create."""
        return job_id

    def job_id(self, name: str) -> str:
        """Which job is meant by a name. Raises ApiError."""
        return name

    def video(self, video: dict[str, Any]) -> dict[str, Any]:
        """The video object, from OpenAI's."""
        return video

    def place(self, video: dict[str, Any], url: str | None) -> None:
        """Say in a video object where its file lies, where that is not its content."""
        video["url"] = url

    def status_of_poll(self, video: dict[str, Any]) -> int:
        """The HTTP status that comes with a video object."""
        return 200

    def check_list(self) -> None:
        """Raises ApiError where there is no list."""

    def deleted(self, video: dict[str, Any]) -> dict[str, Any]:
        """What a deletion is answered with. Raises ApiError for what is not deleted."""
        return {"id": video["id"], "object": "video.deleted", "deleted": True}

    def variant(self, asked: str | None) -> str:
        """Which of a job's files is meant. Raises ApiError."""
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
        """What is said of the content of a job that is not completed."""
        return ApiError(404, f"Video with id '{job_id}' is not ready yet.", code="not_ready")

    def error(self, error: ApiError) -> web.Response:
        return error.response()


class OpenAI(Profile):
    """As strict as it was. How it answered the deletion of a running job is not known: its document only rules it out."""

    rules = Rules(
        sizes=("720x1280", "1280x720", "1024x1792", "1792x1024", "1920x1080", "1080x1920"), extras=()
    )
    honours_keys = False

    def deleted(self, video: dict[str, Any]) -> dict[str, Any]:
        if video["status"] in RUNNING:
            raise ApiError(400, "Only a completed or failed video can be deleted.", param="video_id")
        return super().deleted(video)


class VllmOmni(Profile):
    """One model, any size, jobs in memory; a failed job is an HTTP error, whose body is the video all the same."""

    rules = Rules(models=re.compile("sora-2"), sizes=ANY_SIZE, seconds=ANY_SECONDS, ignores_others=True)
    honours_keys = False
    forgets = True

    def video(self, video: dict[str, Any]) -> dict[str, Any]:
        if isinstance(video["error"], dict):
            video["error"]["code"] = 500
        return video | {"quality": "default", "media_type": "video/mp4", "file_name": None}

    def status_of_poll(self, video: dict[str, Any]) -> int:
        return 500 if video["status"] == "failed" else 200

    def variant(self, asked: str | None) -> str:
        return "video"  # it looks at no query

    def unready(self, job_id: str, state: State) -> ApiError:
        if state.status in RUNNING:
            return ApiError(404, "Generation is still in-progress")
        return ApiError(422, "Video generation failed. Check job status for error details.")

    def error(self, error: ApiError) -> web.Response:
        return _json({"error": error.error | {"param": None, "code": error.status}}, error)


class SgLang(Profile):
    """Any model and size, jobs in memory; a deletion forgets a job and does not stop it."""

    rules = Rules(models=re.compile(".+"), sizes=ANY_SIZE, seconds=ANY_SECONDS, ignores_others=True)
    honours_keys = False
    forgets = True

    def video(self, video: dict[str, Any]) -> dict[str, Any]:
        del video["prompt"]
        if isinstance(video["error"], dict):
            del video["error"]["code"]
        return {"url": None, "urls": None, "quality": "standard", "file_path": None} | video

    def place(self, video: dict[str, Any], url: str | None) -> None:
        video |= {"url": url, "urls": url and [url]}

    def deleted(self, video: dict[str, Any]) -> dict[str, Any]:
        return video | {"status": "deleted"}

    def variant(self, asked: str | None) -> str:
        if asked in (None, "0"):  # a number, of the videos that one request made
            return "video"
        raise ApiError(404, f"Video variant {asked} not found")

    def unready(self, job_id: str, state: State) -> ApiError:
        return ApiError(404, "Generation is still in-progress")

    def error(self, error: ApiError) -> web.Response:
        return _json({"detail": error.error["message"]}, error)


class LiteLLM(Profile):
    """A proxy before another server: words of its own, names that say where a job is, and errors within errors."""

    rules = Rules()
    honours_keys = False

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
        if where.endswith("model_id:"):  # without the model it asks whoever is behind its name, with no key
            raise internal_error()
        return job_id

    def video(self, video: dict[str, Any]) -> dict[str, Any]:
        del video["prompt"]
        word = {"in_progress": "processing"}.get(video["status"], video["status"])
        return video | {"status": word, "usage": {"duration_seconds": float(video["seconds"])}}

    def check_list(self) -> None:
        raise ApiError(400, "LLM Provider NOT provided. Pass in the LLM provider you are trying to call.")

    def deleted(self, video: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(405, "Method Not Allowed")

    def error(self, error: ApiError) -> web.Response:
        if error.status == 405:
            return _json({"detail": "Method Not Allowed"}, error)
        message = f"litellm.APIError: OpenAIException - {json.dumps({'error': error.error})}"
        return _json({"error": {"message": message, "param": None, "code": str(error.status)}}, error)


class NewApi(Profile):
    """A gateway before many: create, retrieve and content, and a word for what it does not know."""

    rules = Rules()
    honours_keys = False

    def video(self, video: dict[str, Any]) -> dict[str, Any]:
        del video["prompt"]
        if video["status"] == "rendering":  # a word that it has no translation for
            video["status"] = "unknown"
        return {name: value for name, value in video.items() if value is not None}

    def place(self, video: dict[str, Any], url: str | None) -> None:
        video["metadata"] = {"url": url}

    def check_list(self) -> None:
        raise ApiError(404, "Invalid URL (GET /v1/videos)")

    def deleted(self, video: dict[str, Any]) -> dict[str, Any]:
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


def _json(body: dict[str, Any], error: ApiError, status: int | None = None) -> web.Response:
    return web.json_response(body, status=status or error.status, headers=error.headers)
