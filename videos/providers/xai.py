"""xAI's Grok Imagine. Uses JSON and reports each job's cost; a finished video is at a URL that is valid for a day.

https://docs.x.ai/docs/guides/video-generations
"""

from decimal import Decimal

from videos.providers import ADDRESSES, openai
from videos.providers.base import JobRequest, JobState, JsonObject, Rejected, data_url
from videos.providers.dialects import Profile

TICKS = 10**10  # per US dollar


class Adapter(openai.Adapter):
    default_url = ADDRESSES["xai"]
    profile = Profile("xAI", has_list=False, cancels=False)
    has_content = False

    async def create(self, order: JobRequest, headers: dict[str, str]) -> JsonObject:
        body = {
            "model": order.model,
            "prompt": order.prompt,
            "duration": order.seconds,
            "aspect_ratio": order.aspect_ratio,
            "resolution": order.resolution,
            **order.extras,
        }
        if order.last_frame is not None:
            raise Rejected("invalid_request", "xAI has no place for a last frame")
        if order.image is not None:
            body["image"] = {"url": data_url(order.image)}
        answer = await self.post("/videos/generations", body, headers)
        # A submit returns only an id.
        return {"id": answer.get("request_id"), "status": "pending"}

    def read(self, answer: JsonObject, ref: str = "") -> JobState:
        video = answer.get("video")
        if isinstance(video, dict) and video.get("respect_moderation") is False:
            # A blocked job is reported as done, without a video.
            answer = {**answer, "status": "failed", "error": {"code": "moderation_blocked"}}
        job = super().read(answer, ref)
        usage = answer.get("usage")
        ticks = usage.get("cost_in_usd_ticks") if isinstance(usage, dict) else None
        return job.costing(Decimal(ticks) / TICKS) if isinstance(ticks, int) else job
