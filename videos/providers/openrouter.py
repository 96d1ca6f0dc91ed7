"""OpenRouter: many makers behind one account, in JSON, with what each job cost.

https://openrouter.ai/docs/api/api-reference/video-generation
"""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from videos.providers import openai
from videos.providers.base import JobState, Order, Unavailable


class Adapter(openai.Adapter):
    default_url = "https://openrouter.ai/api/v1"
    free_path = "key"  # its list of models is open to everybody

    async def create(self, order: Order, headers: dict[str, str]) -> dict[str, Any]:
        body = {
            "model": order.model,
            "prompt": order.prompt,
            "duration": order.seconds,
            "aspect_ratio": order.aspect_ratio,
            "resolution": order.resolution,
            **order.extras,
        }
        if order.image is not None:
            frame = {"type": "image_url", "image_url": {"url": order.image_url}, "frame_type": "first_frame"}
            body["frame_images"] = [frame]
        return await self.post("/videos", body, headers)

    def read(self, said: dict[str, Any], ref: str = "") -> JobState:
        job = super().read(said, ref)
        usage = said.get("usage")
        try:
            cost = Decimal(str(usage["cost"])) if isinstance(usage, dict) else None
        except (KeyError, InvalidOperation):
            return job
        return job if cost is None or not cost.is_finite() else job.costing(cost)

    async def find(self, order: Order, since: datetime) -> NoReturn:
        raise Unavailable("OpenRouter has no list of jobs")
