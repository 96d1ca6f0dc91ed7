"""OpenRouter: models of many makers through one account. Uses JSON and reports each job's cost.

https://openrouter.ai/docs/api/api-reference/video-generation
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from videos.providers import ADDRESSES, openai
from videos.providers.base import (
    ASPECT_RATIOS,
    Capability,
    JobRequest,
    JobState,
    JsonObject,
    Unavailable,
    data_url,
    size_of,
)
from videos.providers.dialects import Profile


class Adapter(openai.Adapter):
    default_url = ADDRESSES["openrouter"]
    profile = Profile("OpenRouter", has_list=False, cancels=False)
    free_path = "key"  # its list of models is public, so it does not show whether the key is valid

    async def create(self, order: JobRequest, headers: dict[str, str]) -> JsonObject:
        body = {
            "model": order.model,
            "prompt": order.prompt,
            "duration": order.seconds,
            "aspect_ratio": order.aspect_ratio,
            "resolution": order.resolution,
            **order.extras_as(audio="generate_audio"),
        }
        frames = [("first_frame", order.image), ("last_frame", order.last_frame)]
        if pictures := [_frame(kind, picture) for kind, picture in frames if picture is not None]:
            body["frame_images"] = pictures
        return await self.post("/videos", body, headers)

    def read(self, answer: JsonObject, ref: str = "") -> JobState:
        job = super().read(answer, ref)
        usage = answer.get("usage")
        try:
            cost = Decimal(str(usage["cost"])) if isinstance(usage, dict) else None
        except (KeyError, InvalidOperation):
            return job
        return job if cost is None or not cost.is_finite() else job.costing(cost)

    async def capabilities(self) -> list[Capability]:
        status, body = await self._ask("GET", "videos/models")
        try:
            models = json.loads(body)["data"]
            return [_capability(model) for model in models]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"HTTP {status}: no list of models: {body[:200]!r}") from error


def _capability(entry: dict[str, Any]) -> Capability:
    """One entry of the list of models. Lengths and sizes that are not listed are not available."""
    shapes, lines = entry.get("supported_aspect_ratios") or [], entry.get("supported_resolutions") or []
    sizes = [
        size_of(shape, int(line[:-1]))
        for line in map(str, lines)
        for shape in shapes
        if shape in ASPECT_RATIOS and re.fullmatch(r"\d{3,4}p", line)
    ]
    frames = entry.get("supported_frame_images") or []
    can = {
        "image": "first_frame" in frames,
        "last_frame": "last_frame" in frames,
        "seed": entry.get("seed") is True,
        "audio": entry.get("generate_audio") is True,
    }
    return Capability(
        model=str(entry["id"]),
        name=str(entry.get("name") or entry["id"]),
        sizes=sizes or [size for size in entry.get("supported_sizes") or [] if isinstance(size, str)],
        lengths=[n for n in entry.get("supported_durations") or [] if type(n) is int and n > 0],
        takes=[name for name, is_so in can.items() if is_so],
        has_sound=can["audio"],
        cost_a_second=_cost_a_second(entry.get("pricing_skus") or {}),
    )


def _cost_a_second(skus: JsonObject) -> Decimal | None:
    """The cost per second in US dollars. Names of SKUs differ by maker: duration_seconds_720p, cents_per_second_output.

    These are from the list as of November 2026; the documentation has other names, with hyphens.
    """
    found: dict[str, Decimal] = {}
    for name, price in skus.items():
        if "second" not in name or "reference" in name or "input" in name:
            continue
        try:
            found[name] = Decimal(str(price)) / (100 if "cents" in name else 1)
        except InvalidOperation:
            continue
    at_720p = [
        price for name, price in found.items() if "720p" in name or not re.search(r"\d{3,4}p|[24]k", name)
    ]
    return max(at_720p or found.values(), default=None)


def _frame(kind: str, picture: bytes) -> JsonObject:
    return {"type": "image_url", "image_url": {"url": data_url(picture)}, "frame_type": kind}
