"""`/v1/batches/videos` and `/v1/campaigns`: many videos in one request, all or none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from django.http import HttpResponse, JsonResponse
from ninja import Router
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from accounts.models import ApiKey
from videos import serializers
from videos.api import actions, bodies, idempotency, moderation, openapi_extra, requests, schemas, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, bad_value, of_order, renamed_params
from videos.api.pictures import Pictures
from videos.generation import batches
from videos.models import Batch
from videos.order import VideoOrder

router = Router(auth=ApiKeyAuth(), tags=["Batches"])


class Item(requests.VideoRequest):
    """The fields of a single video, but the prompt may come from `defaults`."""

    model_config = ConfigDict(title="Item")

    prompt: requests.Prompt | None = None  # type: ignore[assignment]
    max_credits: requests.MaxCredits | None = Field(
        default=None, description="The most that this video may cost, in credits."
    )
    n: requests.Whole = Field(
        default=1, ge=1, le=4, json_schema_extra={"maximum": 1}, description="Each item is one video."
    )


class BatchOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[Item] = Field(min_length=1, max_length=batches.MAX_VIDEOS)
    defaults: Item = Field(default_factory=Item, description="Values for fields that an item leaves out.")
    max_concurrency: Annotated[int, Field(ge=1, le=10_000), requests.NotBoolean] | None = Field(
        default=None,
        description="How many videos run at the same time, up to the limit of your account.",
    )
    max_credits: requests.MaxCredits | None = Field(
        default=None,
        description="The most that all videos may cost together, in credits. If they would cost more, nothing is made or"
        " charged (price_changed).",
    )
    webhook_url: requests.WebhookUrl | None = Field(
        default=None, description="Receives one event when all videos have ended."
    )


def _refuse_shape(value: Any) -> Any:
    if value is not None:
        raise PydanticCustomError("platform_decides", "each platform of a campaign decides it; leave it out")
    return value


PlatformDecides = Annotated[SkipJsonSchema[None], BeforeValidator(_refuse_shape)]


# An older name is accepted too, so `_platform` checks it.
PlatformName = Annotated[requests.Text, Field(json_schema_extra={"enum": [*batches.PLATFORMS]})]


class CampaignOrder(requests.VideoRequest):
    """The fields of a single video, but each platform decides the shape, and the length if there is no `seconds`."""

    model_config = ConfigDict(title="CampaignOrder")

    prompt: requests.Prompt = Field(description="The idea behind the campaign.")
    size: PlatformDecides = None
    aspect_ratio: PlatformDecides = None
    n: PlatformDecides = None  # type: ignore[assignment]
    seconds: requests.Seconds | None = Field(
        default=None, description="The length in seconds. Default: what is usual on each platform."
    )
    resolution: requests.Resolution | None = Field(
        default=None, description="The shorter side, such as 720p. Default: that of the model's first size."
    )
    platforms: list[PlatformName] = Field(
        min_length=1,
        max_length=4,
        json_schema_extra={"uniqueItems": True},
        description=f"One or more of {', '.join(batches.PLATFORMS)}.",
    )
    styles: dict[PlatformName, requests.Text] = Field(
        default_factory=dict, description="A style sentence for each platform, to replace the default."
    )
    webhook_url: requests.WebhookUrl | None = Field(
        default=None, description="Receives one event when all videos have ended."
    )


@router.post(
    "/v1/batches/videos", response=schemas.BatchObject, openapi_extra=openapi_extra.order(BatchOrder)
)
def create_batch(request: KeyedRequest) -> HttpResponse:
    """Order up to 500 videos. If one of them is invalid or the credits do not cover all of them, none is ordered."""
    body = bodies.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(BatchOrder, body.fields)
        webhook_url = asked.webhook_url or key.webhook_url
        requests.check_webhook(webhook_url)
        items = [_merged(number, item, asked.defaults) for number, item in enumerate(asked.items)]
        # All quick checks of all items come before the first picture is fetched.
        names = _aliases(body.fields)
        found = [_order(key, number, item, names[number]) for number, item in enumerate(items)]
        requests.check_max_credits(asked.max_credits, batches.price(found))
        requests.check_now(key, items, batches.price(found), *(order.model for order in found))
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
    body = bodies.read(request)

    def prepare() -> idempotency.Action:
        key = request.auth
        asked = requests.checked(CampaignOrder, body.fields)
        platforms = [_platform(name) for name in asked.platforms]
        if len(set(platforms)) < len(platforms):
            raise bad_value("platforms", "List each platform only once.")
        styles = {_platform(name): style for name, style in asked.styles.items()}
        webhook_url = asked.webhook_url or key.webhook_url
        requests.check_webhook(webhook_url)
        with renamed_params(**requests.aliases_in(body.fields)):
            common = replace(requests.without_pictures(key, asked), webhook_url="")
        planned = batches.campaign(common.model, common.prompt, platforms, styles, common.size)
        found = [
            replace(
                common,
                prompt=order.prompt,
                size=order.size,
                seconds=order.seconds if asked.seconds is None else common.seconds,
                metadata={**common.metadata, "platform": name},
            )
            for name, order in zip(asked.platforms, planned, strict=True)
        ]
        requests.check_max_credits(asked.max_credits, batches.price(found))
        requests.check_now(key, [asked], batches.price(found), common.model)
        framed = requests.with_pictures(common, asked, Pictures(key.user))
        found = [replace(order, upload=framed.upload, last_frame=framed.last_frame) for order in found]
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
    own, usual = (fields.model_dump(exclude_unset=True) for fields in (item, defaults))
    # An item's own shape replaces that of the defaults, by whichever of its names each is given.
    replaced = {"size": ("aspect_ratio", "resolution"), "aspect_ratio": ("size",), "resolution": ("size",)}
    for name in own.keys() & replaced.keys():
        usual = {field: value for field, value in usual.items() if field not in replaced[name]}
    fields = usual | own
    with _of_item(number):
        if fields.get("n", 1) != 1:
            raise bad_value("n", "Each item of a batch is one video.")
        return requests.checked(requests.VideoRequest, fields)


def _aliases(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    """For each item of a valid body, the names that it or its defaults use for fields of VideoRequest."""
    usual = fields.get("defaults", {})
    return [
        requests.aliases_in(item if item.keys() & {"seconds", "duration"} else usual)
        for item in fields["items"]
    ]


def _order(key: ApiKey, number: int, item: requests.VideoRequest, names: dict[str, str]) -> VideoOrder:
    """The order of one item, without its pictures. Errors use `names` instead of those of VideoRequest.

    It has a webhook only if the item itself names one: the key's webhook gets one event for the whole batch.
    """
    with _of_item(number), renamed_params(**names):
        order = requests.without_pictures(key, item)
        requests.check_max_credits(item.max_credits, order.price)
        return replace(order, webhook_url=item.webhook_url or "")


@contextmanager
def _of_item(number: int) -> Iterator[None]:
    """Add the item to the field name of an error: items.3.seconds."""
    try:
        yield
    except ApiError as error:
        if error.param is not None:  # what is wrong with the request as a whole names no field
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
