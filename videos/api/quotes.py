"""`/v1/videos/quote`: what an order would cost and whether it would be accepted, without placing it."""

from typing import Any, Literal

from django.http import HttpResponse, JsonResponse
from ninja import Router, Schema

from accounts.models import ApiKey
from videos.api import bodies, openapi_extra, requests, spending
from videos.api.auth import ApiKeyAuth, KeyedRequest
from videos.api.errors import ApiError, renamed_params
from videos.catalogue import routing, track_record
from videos.models import Audience, VideoModel

router = Router(auth=ApiKeyAuth(), tags=["Videos"])


class Refusal(Schema):
    code: str | None
    message: str
    param: str | None


class VideoQuote(Schema):
    """What an order would cost in total. `error` says why it would not be accepted now.

    `expected_seconds` is how long it would take from order to file, judging by recent videos and the current queue, or null if
    too little is known.
    """

    object: Literal["video_quote"]
    model: str
    size: str
    seconds: str
    n: int
    credits: int
    accepted: bool
    error: Refusal | None
    expected_seconds: int | None
    balance: int


@router.post(
    "/v1/videos/quote",
    response=VideoQuote,
    openapi_extra=openapi_extra.body(requests.VideoRequest, file="input_reference"),
)
def quote_video(request: KeyedRequest) -> HttpResponse:
    """Ask what a video would cost and whether it would be accepted now. Takes the body of `POST /v1/videos`; charges and stores nothing. Prompts and pictures are not moderated, and pictures are not fetched."""
    return JsonResponse(quote(request.auth, bodies.read(request, files=("input_reference",))))


def quote(key: ApiKey, body: bodies.Body) -> dict[str, Any]:
    """The VideoQuote of this body. Raises ApiError 400."""
    with renamed_params(**requests.aliases_in(body.fields)):
        asked = requests.checked(requests.VideoRequest, body.fields)
        model, refusal = _model(key, asked.model)
        order = requests.of_model(model, key, asked, body.file)
    price = order.price * asked.n
    refusal = refusal or _refusal(key, asked, price, model)
    return {
        "object": "video_quote",
        "model": model.slug,
        "size": order.size,
        "seconds": str(order.seconds),
        "n": asked.n,
        "credits": price,
        "accepted": refusal is None,
        "error": {"code": refusal.code, "message": refusal.message, "param": refusal.param}
        if refusal
        else None,
        "expected_seconds": _expected_seconds(key, model),
        "balance": key.user.balance,
    }


def _expected_seconds(key: ApiKey, model: VideoModel) -> int | None:
    """Seconds from order to file. The track record includes waits that were usual; a wait of this moment takes their place."""
    record = track_record.track_record(model)
    if record is None:
        return None
    wait = routing.expected_wait(model, key.user)
    if not wait.expected:
        return record.seconds
    return max(record.seconds, round(wait.expected + (wait.render or record.seconds)))


def _model(key: ApiKey, slug: str | None) -> tuple[VideoModel, ApiError | None]:
    """The model, and why it cannot be ordered now. Raises ApiError 400 for a name that is not in the catalog."""
    try:
        return requests.model_of(key, slug), None
    except ApiError as refusal:
        known = VideoModel.objects.filter(slug=slug, enabled=True).prefetch_related("prices")
        if not key.user.is_staff:
            known = known.filter(audience=Audience.EVERYONE)
        model = known.first()
        if model is None:
            raise
        return model, refusal


def _refusal(key: ApiKey, asked: requests.VideoRequest, price: int, model: VideoModel) -> ApiError | None:
    """Why the request, its credits or the limits of the key do not allow this price in credits; None if they do."""
    try:
        requests.check_max_credits(asked.max_credits, price)
        spending.check_now(key, price, model)
    except ApiError as refusal:
        return refusal
    return None
