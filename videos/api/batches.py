"""`/v1/batches/videos` and `/v1/campaigns`: many videos by one request, all or none."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from accounts import credits
from accounts.models import ApiKey
from videos import batches, objects
from videos.api import idempotency, limits, moderated, openai, orders
from videos.api.auth import ByKey, KeyedRequest
from videos.api.document import takes
from videos.api.errors import ApiError, bad_value, not_found, of_order
from videos.models import Batch, Upload

router = Router(auth=ByKey(), tags=["Batches"])


class Item(orders.VideoOrder):
    """As for one video, but the prompt may stand in `defaults`."""

    prompt: orders.Text | None = None  # type: ignore[assignment]


class BatchOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[Item] = Field(min_length=1, max_length=batches.MOST_VIDEOS)
    defaults: Item = Field(default_factory=Item, description="What an item has that does not say otherwise.")
    max_concurrency: int | None = Field(
        default=None, ge=1, le=10_000, description="So many at a time, and never more than one person may."
    )
    webhook_url: orders.Text | None = Field(
        default=None, max_length=500, description="Told once, when all have ended."
    )


class CampaignOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: orders.Text = Field(description="The idea.")
    platforms: list[orders.Text] = Field(
        min_length=1, max_length=4, description=f"Of {', '.join(batches.PLATFORMS)}."
    )
    styles: dict[str, orders.Text] = Field(
        default_factory=dict, description="For each platform, a sentence in place of ours."
    )
    model: orders.Text | None = None
    webhook_url: orders.Text | None = Field(default=None, max_length=500)


@router.post("/v1/batches/videos", response=objects.BatchObject)
@takes(BatchOrder)
def create_batch(request: KeyedRequest) -> HttpResponse:
    """Order up to 500 videos. If one of them cannot be made, or credits do not do for all, none is ordered."""
    body = orders.read(request)
    if before := idempotency.repeated(request, body.digest):
        return before
    asked = orders.checked(BatchOrder, body.fields)
    pictures: dict[str, Upload] = {}
    found = [
        _order(request.auth, number, item, asked.defaults, pictures)
        for number, item in enumerate(asked.items)
    ]
    webhook_url = asked.webhook_url or request.auth.webhook_url
    orders.check_webhook(webhook_url)
    found = moderated.items(request.auth, found)
    options = {"at_once": asked.max_concurrency, "webhook_url": webhook_url}
    return idempotency.once(request, body.digest, lambda: (200, _start(request.auth, found, **options)))


@router.post("/v1/campaigns", response=objects.BatchObject)
@takes(CampaignOrder)
def create_campaign(request: KeyedRequest) -> HttpResponse:
    """One idea as a video for each platform, in its shape, its length and its style."""
    body = orders.read(request)
    if before := idempotency.repeated(request, body.digest):
        return before
    asked = orders.checked(CampaignOrder, body.fields)
    for name in (*asked.platforms, *asked.styles):
        if name not in batches.PLATFORMS:
            raise bad_value(
                "platforms",
                f"There is no platform '{name[:100]}'. There are: {', '.join(batches.PLATFORMS)}.",
            )
    if len(set(asked.platforms)) < len(asked.platforms):
        raise bad_value("platforms", "Name each platform once.")
    webhook_url = asked.webhook_url or request.auth.webhook_url
    orders.check_webhook(webhook_url)
    model = orders.model_of(request.auth, asked.model)
    found = [
        order | {"api_key": request.auth}
        for order in batches.campaign(model, asked.prompt, asked.platforms, asked.styles)
    ]
    found = moderated.items(request.auth, found)
    options = {"kind": Batch.Kind.CAMPAIGN, "webhook_url": webhook_url}
    return idempotency.once(request, body.digest, lambda: (200, _start(request.auth, found, **options)))


@router.get("/v1/batches/videos/{batch_id}", response=objects.BatchObject)
def retrieve_batch(request: KeyedRequest, batch_id: str) -> HttpResponse:
    """How a batch, or a campaign, stands."""
    pk = objects.uuid_of(batch_id, "batch")
    batch = request.user.batches.filter(pk=pk).first() if pk else None
    if batch is None:
        raise not_found("batch", batch_id)
    return JsonResponse(objects.batch_object(batch))


def _order(
    key: ApiKey, number: int, item: Item, defaults: Item, pictures: dict[str, Upload]
) -> dict[str, Any]:
    """What one item asks for. Raises ApiError that names it: items.3.seconds.

    Only an item that names a webhook itself has one: a key's is told of the batch, once.
    """
    fields = defaults.model_dump(exclude_unset=True) | item.model_dump(exclude_unset=True)
    try:
        if fields.get("n", 1) != 1:
            raise bad_value("n", "An item of a batch is one video.")
        order = orders.order_of(key, orders.checked(orders.VideoOrder, fields), fetched=pictures)
        return order | {"webhook_url": fields.get("webhook_url") or ""}
    except ApiError as error:
        error.param = f"items.{number}.{error.param}"
        raise


def _start(key: ApiKey, found: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    limits.check(key, batches.price(found))
    try:
        batch = batches.start(key.user, found, api_key=key, **options)
    except batches.ItemRefused as refusal:
        error = of_order(refusal.errors)
        error.param = f"items.{refusal.number}.{error.param}"
        raise error from refusal
    except credits.InsufficientCredits as lack:
        raise openai.insufficient(key, lack.needed, lack.available) from lack
    return objects.batch_object(batch)
