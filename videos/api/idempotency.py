"""A request that is sent twice is answered twice and done once.

With an Idempotency-Key the answer is written in the same transaction as what it tells of, and its row
comes first in it: a second request at the same time waits there for the first to end, and then finds its
answer. What failed left nothing, so the same key may try again.

OpenAI's SDKs repeat a request whose answer was lost without any key, but say in a header that they do. So
what they send is noted as soon as it comes, and a repeat gets the answer of the newest equal request.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from accounts.models import IdempotentAnswer
from videos.api.auth import KeyedRequest
from videos.api.errors import ApiError, bad_value

KEPT = timedelta(days=30)
# The SDKs' own count of the tries of one call: 0, 1, 2.
RETRY_COUNT = "x-stainless-retry-count"
REPEATED_WITHIN = timedelta(minutes=10)  # the SDKs' time-out
# A first request that is not answered by then died with its process.
WORKED_ON_AT_MOST = timedelta(minutes=1)

# What is done in one transaction: the status and body of its answer.
Action = Callable[[], tuple[int, dict[str, Any]]]


def once(request: KeyedRequest, digest: str, prepare: Callable[[], Action]) -> HttpResponse:
    """The answer to this request, or what the same request was answered before.

    `digest` is of what the request says. `prepare` looks at all that need not be in a transaction, however slow,
    and returns what is to be done in one. Raises what both raise, and ApiError 422 if the key came before
    with another request, 409 if the request that this one repeats is still being worked on.
    """
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise bad_value("Idempotency-Key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    if key:
        return _once_by_key(request, key, digest, prepare)
    if RETRY_COUNT not in request.headers:
        do = prepare()
        with transaction.atomic():
            status, body = do()
        return JsonResponse(body, status=status)
    if request.headers[RETRY_COUNT] != "0" and (before := _before(request, digest)):
        return before
    note = IdempotentAnswer.objects.create(
        user=request.user, api_key=request.auth, request_digest=digest, status=0, body=""
    )
    try:
        return _do(note, prepare())
    except BaseException:
        # Nothing was made, so a repeat may try again; unless the commit was lost only on its way back to us.
        IdempotentAnswer.objects.filter(pk=note.pk, status=0).delete()
        raise


def _once_by_key(request: KeyedRequest, key: str, digest: str, prepare: Callable[[], Action]) -> HttpResponse:
    if before := _answered(request, key, digest):
        return before
    try:
        do = prepare()
    except ApiError:
        # The first one may have ended meanwhile, and with the last credits.
        if before := _answered(request, key, digest):
            return before
        raise
    try:
        with transaction.atomic():
            row = IdempotentAnswer.objects.create(
                user=request.user, key=key, request_digest=digest, status=0, body=""
            )
            return _do(row, do)
    except IntegrityError:
        if before := _answered(request, key, digest):
            return before
        raise


def _do(row: IdempotentAnswer, do: Action) -> HttpResponse:
    with transaction.atomic():
        status, body = do()
        answer = JsonResponse(body, status=status)
        row.status, row.body = status, answer.content.decode()
        row.save(update_fields=["status", "body"])
    return answer


def _answered(request: KeyedRequest, key: str, digest: str) -> HttpResponse | None:
    """What the request with this key was answered before; None if it is the first."""
    row = IdempotentAnswer.objects.filter(user=request.user, key=key).first()
    if row is None:
        return None
    if row.request_digest != digest:
        raise ApiError(
            422,
            "This Idempotency-Key was used before with another request.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return _again(row)


def _before(request: KeyedRequest, digest: str) -> HttpResponse | None:
    """What the request that this one repeats was answered; None if it never arrived."""
    now = timezone.now()
    equal = IdempotentAnswer.objects.filter(
        api_key=request.auth, key=None, request_digest=digest, created_at__gte=now - REPEATED_WITHIN
    )
    row = equal.order_by("-created_at").first()
    if row is None:
        return None
    if row.status:
        return _again(row)
    if now - row.created_at < WORKED_ON_AT_MOST:
        raise ApiError(
            409,
            "The request that this one repeats is still being worked on. Ask again in a moment.",
            code="request_in_progress",
            after=2,
        )
    return None


def _again(row: IdempotentAnswer) -> HttpResponse:
    headers = {"Idempotent-Replayed": "true"}
    return HttpResponse(row.body, status=row.status, content_type="application/json", headers=headers)


def purge_expired() -> None:
    """Delete the answers that nobody will ask for any more."""
    now = timezone.now()
    without_key = Q(key=None, created_at__lt=now - 2 * REPEATED_WITHIN)
    IdempotentAnswer.objects.filter(Q(created_at__lt=now - KEPT) | without_key).delete()
