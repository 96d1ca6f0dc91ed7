"""xAI's Grok Imagine, in JSON, with what each job cost. A finished video lies at a URL that is good for a day.

https://docs.x.ai/docs/guides/video-generations
"""

from decimal import Decimal
from typing import Any

from videos.providers import ADDRESSES, openai
from videos.providers.base import JobState, Order, Rejected, data_url
from videos.providers.dialects import Profile

TICKS = 10**10  # of which a US dollar has so many


class Adapter(openai.Adapter):
    default_url = ADDRESSES["xai"]
    profile = Profile("xAI", has_list=False, cancels=False)
    has_content = False

    async def create(self, order: Order, headers: dict[str, str]) -> dict[str, Any]:
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
        said = await self.post("/videos/generations", body, headers)
        # All that a submit is told is a name.
        return {"id": said.get("request_id"), "status": "pending"}

    def read(self, said: dict[str, Any], ref: str = "") -> JobState:
        video = said.get("video")
        if isinstance(video, dict) and video.get("respect_moderation") is False:
            # Called done, and has nothing to show.
            said = said | {"status": "failed", "error": {"code": "moderation_blocked"}}
        job = super().read(said, ref)
        usage = said.get("usage")
        ticks = usage.get("cost_in_usd_ticks") if isinstance(usage, dict) else None
        return job.costing(Decimal(ticks) / TICKS) if isinstance(ticks, int) else job
