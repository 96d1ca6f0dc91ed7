"""`/v1/batches/videos` and `/v1/campaigns`: many videos in one request, all or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.http import HttpResponse, JsonResponse
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from accounts.models import ApiKey
from videos import serializers
from videos.api import actions, idempotency, moderation, openapi_extra, requests, schemas, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, bad_value, of_order
from videos.api.pictures import Pictures
from videos.generation import batches
from videos.models import Batch
from videos.order import VideoOrder

router = Router(auth=ApiKeyAuth(), tags=["Batches"])


class Item(requests.VideoRequest):
    """The fields of a single video, but the prompt may come from `defaults`."""

    model_config = ConfigDict(title="Item")

    prompt: requests.Text | None = None  # type: ignore[assignment]


class BatchOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[Item] = Field(min_length=1, max_length=batches.MAX_VIDEOS)
    defaults: Item = Field(default_factory=Item, description="Values for fields that an item leaves out.")
    max_concurrency: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="How many videos run at the same time, up to the limit of your account.",
    )
    webhook_url: requests.Text | None = Field(
        default=None, max_length=500, description="Receives one event when all videos have ended."
    )


class CampaignOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: requests.Text = Field(description="The idea behind the campaign.")
    platforms: list[requests.Text] = Field(
        min_length=1, max_length=4, description=f"One or more of {', '.join(batches.PLATFORMS)}."
    )
    styles: dict[str, requests.Text] = Field(
        default_factory=dict, description="A style sentence for each platform, to replace the default."
    )
    model: requests.Text | None = None
    webhook_url: requests.Text | None = Field(default=None, max_length=500)


@router.post(
    "/v1/batches/videos", response=schemas.BatchObject, openapi_extra=openapi_extra.order(BatchOrder)
)
def create_batch(request: KeyedRequest) -> HttpResponse:
    """Order up to 500 videos. If one of them is invalid or the credits do not cover all of them, none is ordered."""
    body = requests.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(BatchOrder, body.fields)
        webhook_url = asked.webhook_url or key.webhook_url
        requests.check_webhook(webhook_url)
        items = [_merged(number, item, asked.defaults) for number, item in enumerate(asked.items)]
        # All quick checks of all items come before the first picture is fetched.
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


@router.post("/v1/campaigns", response=schemas.BatchObject, openapi_extra=openapi_extra.order(CampaignOrder))
def create_campaign(request: KeyedRequest) -> HttpResponse:
    """Create one video per platform from one idea, in the shape, length, and style of the platform."""
    body = requests.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(CampaignOrder, body.fields)
        platforms = [_platform(name) for name in asked.platforms]
        if len(set(platforms)) < len(platforms):
            raise bad_value("platforms", "List each platform only once.")
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
    """Retrieve a batch or a campaign, with its progress and its videos."""
    return JsonResponse(serializers.batch_object(actions.own_batch(request, batch_id)))


def _merged(number: int, item: Item, defaults: Item) -> requests.VideoRequest:
    """An item completed from `defaults`. Raises ApiError that names the field: items.3.prompt."""
    fields = defaults.model_dump(exclude_unset=True) | item.model_dump(exclude_unset=True)
    with _of_item(number):
        if fields.get("n", 1) != 1:
            raise bad_value("n", "Each item of a batch is one video.")
        return requests.checked(requests.VideoRequest, fields)


def _order(key: ApiKey, number: int, item: requests.VideoRequest) -> VideoOrder:
    """The order of one item, without its pictures.

    It has a webhook only if the item itself names one: the key's webhook gets one event for the whole batch.
    """
    with _of_item(number):
        return replace(requests.without_pictures(key, item), webhook_url=item.webhook_url or "")


@contextmanager
def _of_item(number: int) -> Iterator[None]:
    """Add the item to the field name of an error: items.3.seconds."""
    try:
        yield
    except ApiError as error:
        error.param = f"items.{number}.{error.param}"
        raise


def _platform(name: str) -> str:
    """The name as in PLATFORMS. Raises ApiError 400 for an unknown one."""
    found = batches.RENAMED_PLATFORMS.get(name, name)
    if found not in batches.PLATFORMS:
        raise bad_value(
            "platforms", f"Unknown platform '{name[:100]}'. Choose from: {', '.join(batches.PLATFORMS)}."
        )
    return found


def _place(key: ApiKey, found: list[VideoOrder], **options: Any) -> dict[str, object]:
    spending.check(key, batches.price(found))
    try:
        batch = batches.place(key.user, found, api_key=key, **options)
    except batches.ItemRefused as refusal:
        with _of_item(refusal.number):
            raise of_order(refusal.errors) from refusal
    return serializers.batch_object(batch)
