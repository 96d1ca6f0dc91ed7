"""Moderation of API orders, with its errors as ApiError. Call outside of transactions."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError

from accounts.models import ApiKey
from videos.api.errors import ApiError, bad_value, of_order
from videos.catalogue import capabilities
from videos.moderation import gate
from videos.order import VideoOrder


def one(key: ApiKey, order: VideoOrder) -> VideoOrder:
    """The order with its clearance. Raises ApiError 400 if it is refused, 503 if moderation is unavailable."""
    return _cleared(key, [order])[0]


def items(key: ApiKey, orders: Sequence[VideoOrder]) -> list[VideoOrder]:
    """The same for the items of a batch; an error names the first invalid field: items.3.prompt."""
    return _cleared(key, orders, "items.{}.")


def _cleared(key: ApiKey, orders: Sequence[VideoOrder], prefix: str = "") -> list[VideoOrder]:
    for number, order in enumerate(orders):
        try:  # no need to moderate an invalid order
            capabilities.check_order(key.user, order)
        except ValidationError as error:
            wrong = of_order(error)
            wrong.param = f"{prefix.format(number)}{wrong.param}"
            raise wrong from error
    try:
        return gate.clear(key.user, orders)
    except gate.Refused as refusal:
        param = f"{prefix.format(refusal.number)}{next(iter(refusal.sentences))}"
        raise bad_value(param, str(refusal), "moderation_blocked") from refusal
    except gate.Unavailable as error:
        raise ApiError(503, str(gate.NOT_NOW), code="moderation_unavailable", after=error.after) from error
