"""A request that is sent twice is answered twice and done once.

The answer is written in the same transaction as what it tells of, and its row comes first in it: a
second request at the same time waits there for the first to end, and then finds its answer. What
failed left nothing, so the same key may try again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from accounts.models import IdempotentAnswer
from videos.api.auth import KeyedRequest
from videos.api.errors import ApiError, bad_value

KEPT = timedelta(days=30)


def once(request: KeyedRequest, digest: str, do: Callable[[], tuple[int, dict[str, Any]]]) -> HttpResponse:
    """The answer (status, body) of `do`, or of the request that came before with the same Idempotency-Key.

    `digest` is of what the request says. Raises ApiError 422 if the key came before with another request.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        with transaction.atomic():
            status, body = do()
        return JsonResponse(body, status=status)
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise bad_value("Idempotency-Key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    if before := repeated(request, digest):
        return before
    try:
        with transaction.atomic():
            row = IdempotentAnswer.objects.create(
                user=request.user, key=key, request_digest=digest, status=0, body=""
            )
            status, body = do()
            answer = JsonResponse(body, status=status)
            row.status, row.body = status, answer.content.decode()
            row.save(update_fields=["status", "body"])
    except IntegrityError:
        if before := repeated(request, digest):
            return before
        raise
    return answer


def repeated(request: KeyedRequest, digest: str) -> HttpResponse | None:
    """What the same request was answered before; None if it is the first with its key."""
    key = request.headers.get("Idempotency-Key", "")
    row = IdempotentAnswer.objects.filter(user=request.user, key=key).first() if key else None
    if row is None:
        return None
    if row.request_digest != digest:
        raise ApiError(
            422,
            "This Idempotency-Key was used before with another request.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    headers = {"Idempotent-Replayed": "true"}
    return HttpResponse(row.body, status=row.status, content_type="application/json", headers=headers)


def forget_old() -> None:
    """Delete the answers that nobody will ask for any more."""
    IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
