"""`/v1/batches/videos` and `/v1/campaigns`: many videos by one request, all or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.http import HttpResponse, JsonResponse
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from accounts import credits
from accounts.models import ApiKey
from videos import serializers
from videos.api import idempotency, moderation, requests, schemas, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, bad_value, not_found, of_order
from videos.api.pictures import Pictures
from videos.generation import batches
from videos.models import Batch
from videos.order import VideoOrder

router = Router(auth=ApiKeyAuth(), tags=["Batches"])


class Item(requests.VideoRequest):
    """As for one video, but the prompt may stand in `defaults`."""

    model_config = ConfigDict(title="Item")

    prompt: requests.Text | None = None  # type: ignore[assignment]


class BatchOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[Item] = Field(min_length=1, max_length=batches.MAX_VIDEOS)
    defaults: Item = Field(default_factory=Item, description="What an item has that does not say otherwise.")
    max_concurrency: int | None = Field(
        default=None, ge=1, le=10_000, description="So many at a time, and never more than one person may."
    )
    webhook_url: requests.Text | None = Field(
        default=None, max_length=500, description="Told once, when all have ended."
    )


class CampaignOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: requests.Text = Field(description="The idea.")
    platforms: list[requests.Text] = Field(
        min_length=1, max_length=4, description=f"Of {', '.join(batches.PLATFORMS)}."
    )
    styles: dict[str, requests.Text] = Field(
        default_factory=dict, description="For each platform, a sentence in place of ours."
    )
    model: requests.Text | None = None
    webhook_url: requests.Text | None = Field(default=None, max_length=500)


@router.post("/v1/batches/videos", response=schemas.BatchObject)
@requests.request_body(BatchOrder)
def create_batch(request: KeyedRequest) -> HttpResponse:
    """Order up to 500 videos. If one of them cannot be made, or credits do not do for all, none is ordered."""
    body = requests.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(BatchOrder, body.fields)
        webhook_url = asked.webhook_url or key.webhook_url
        requests.check_webhook(webhook_url)
        items = [_merged(number, item, asked.defaults) for number, item in enumerate(asked.items)]
        # All that is quick, of all items, before the first picture is fetched.
        found = [_order(key, number, item) for number, item in enumerate(items)]
        spending.afford(key, batches.price(found))
        pictures = Pictures(key.user)
        for number, (item, order) in enumerate(zip(items, found, strict=True)):
            with _of_item(number):
                found[number] = requests.with_pictures(order, item, pictures)
        cleared = moderation.items(key, found)
        options = {"concurrency": asked.max_concurrency, "webhook_url": webhook_url}
        return lambda: (200, _place(key, cleared, **options))

    return idempotency.once(request, body.digest, prepare)


@router.post("/v1/campaigns", response=schemas.BatchObject)
@requests.request_body(CampaignOrder)
def create_campaign(request: KeyedRequest) -> HttpResponse:
    """One idea as a video for each platform, in its shape, its length and its style."""
    body = requests.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(CampaignOrder, body.fields)
        platforms = [_platform(name) for name in asked.platforms]
        if len(set(platforms)) < len(platforms):
            raise bad_value("platforms", "Name each platform once.")
        styles = {_platform(name): style for name, style in asked.styles.items()}
        webhook_url = asked.webhook_url or key.webhook_url
        requests.check_webhook(webhook_url)
        model = requests.model_of(key, asked.model)
        found = [
            replace(order, api_key=key, metadata={"platform": name})
            for name, order in zip(
                asked.platforms, batches.campaign(model, asked.prompt, platforms, styles), strict=True
            )
        ]
        spending.afford(key, batches.price(found))
        cleared = moderation.items(key, found)
        options = {"kind": Batch.Kind.CAMPAIGN, "webhook_url": webhook_url}
        return lambda: (200, _place(key, cleared, **options))

    return idempotency.once(request, body.digest, prepare)


@router.get("/v1/batches/videos/{batch_id}", response=schemas.BatchObject)
def retrieve_batch(request: KeyedRequest, batch_id: str) -> HttpResponse:
    """How a batch, or a campaign, stands."""
    pk = serializers.uuid_of(batch_id, "batch")
    batch = request.user.batches.filter(pk=pk).first() if pk else None
    if batch is None:
        raise not_found("batch", batch_id)
    return JsonResponse(serializers.batch_object(batch))


def _merged(number: int, item: Item, defaults: Item) -> requests.VideoRequest:
    """An item with what `defaults` say besides. Raises ApiError that names it: items.3.prompt."""
    fields = defaults.model_dump(exclude_unset=True) | item.model_dump(exclude_unset=True)
    with _of_item(number):
        if fields.get("n", 1) != 1:
            raise bad_value("n", "An item of a batch is one video.")
        return requests.checked(requests.VideoRequest, fields)


def _order(key: ApiKey, number: int, item: requests.VideoRequest) -> VideoOrder:
    """What one item asks for, but for its pictures.

    Only an item that names a webhook itself has one: a key's is told of the batch, once.
    """
    with _of_item(number):
        return replace(requests.without_pictures(key, item), webhook_url=item.webhook_url or "")


@contextmanager
def _of_item(number: int) -> Iterator[None]:
    """Name the item in what is wrong with it: items.3.seconds."""
    try:
        yield
    except ApiError as error:
        error.param = f"items.{number}.{error.param}"
        raise


def _platform(name: str) -> str:
    """The name of PLATFORMS that is meant. Raises ApiError 400."""
    found = batches.RENAMED_PLATFORMS.get(name, name)
    if found not in batches.PLATFORMS:
        raise bad_value(
            "platforms", f"There is no platform '{name[:100]}'. There are: {', '.join(batches.PLATFORMS)}."
        )
    return found


def _place(key: ApiKey, found: list[VideoOrder], **options: Any) -> dict[str, Any]:
    spending.check(key, batches.price(found))
    try:
        batch = batches.place(key.user, found, api_key=key, **options)
    except batches.ItemRefused as refusal:
        error = of_order(refusal.errors)
        error.param = f"items.{refusal.number}.{error.param}"
        raise error from refusal
    except credits.InsufficientCredits as lack:
        raise spending.insufficient(key, lack.needed, lack.available) from lack
    return serializers.batch_object(batch)
