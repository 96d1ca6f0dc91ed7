"""The balance of an account and the limits of a key."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from accounts import utc_days
from accounts.models import ApiKey, User
from videos.api.errors import ApiError, of_order
from videos.generation import day_limit, ordering
from videos.models import Status, Video, VideoModel
from videos.order import NotNow


def reserved(user: User) -> int:
    """Credits that the user's running videos have been charged."""
    return user.videos.live().filter(is_free=False).aggregate(n=Sum("credits"))["n"] or 0


def afford(key: ApiKey, price: int) -> None:
    """Raise ApiError 402 if the account does not have this many credits. An early check before slow work."""
    if price > key.user.balance:
        raise insufficient(key, price, key.user.balance)


def check_now(key: ApiKey, price: int, *models: VideoModel) -> None:
    """Raise ApiError for whatever would refuse an order of these models now, at this price in credits.

    For what takes long and for quotes; when the order is placed, all of it is checked again.
    """
    afford(key, price)
    with transaction.atomic():
        check(key, price)
    try:
        day_limit.check(key.user, price)
        for model in set(models):
            ordering.offer_for(key.user, model)
    except NotNow as error:
        raise not_now(error) from error
    except ValidationError as error:
        raise of_order(error) from error


def insufficient(key: ApiKey, needed: int, available: int) -> ApiError:
    message = (
        f"This costs {needed} credits. Your account has {available} available"
        f" and {reserved(key.user)} reserved for running videos."
    )
    return ApiError(402, message, code="insufficient_credits")


def not_now(error: NotNow) -> ApiError:
    return ApiError(error.status, f"{error} Nothing was charged.", code=error.code, after=error.after)


def check(key: ApiKey, price: int) -> None:
    """Raise ApiError 429 if the key would exceed its total or its daily limit (UTC). Call in a transaction.

    Refunded credits do not count as spent.
    """
    if key.credits_a_day is None and key.max_credits is None:
        return
    # Lock the row of the key, so that other requests with it wait.
    ApiKey.objects.select_for_update().get(pk=key.pk)
    if key.max_credits is not None and (spent := _spent(key.videos.all())) + price > key.max_credits:
        # Without Retry-After: unlike the daily limit, it does not end by waiting.
        raise ApiError(
            429,
            f"This key can spend {key.max_credits} credits in all. It has spent {spent}, and this costs {price}."
            " Use another key.",
            code="key_limit_reached",
        )
    if key.credits_a_day is None:
        return
    midnight = utc_days.start_of(utc_days.today())
    spent = _spent(key.videos.filter(created_at__gte=midnight))
    if spent + price > key.credits_a_day:
        raise ApiError(
            429,
            f"This key can spend {key.credits_a_day} credits per day. It has spent {spent} today, and this costs {price}.",
            code="daily_limit_reached",
            after=(midnight + timedelta(days=1) - timezone.now()).total_seconds(),
        )


def _spent(videos: QuerySet[Video]) -> int:
    """Credits that these videos were charged and that were not refunded."""
    kept = videos.exclude(status__in=[Status.FAILED, Status.CANCELED]).exclude(is_free=True)
    return kept.aggregate(n=Sum("credits"))["n"] or 0
