"""Idempotent requests: a request that is sent twice is processed once and gets the same response twice.

With an Idempotency-Key, the response is stored in the same transaction as its effects, and its row is
inserted first: a concurrent request with the same key blocks there until the first one ends, then finds
its response. A failed request leaves nothing behind, so the key can be used again.

OpenAI's SDKs retry without a key, but mark retries with a header. So their requests are recorded on
arrival, and a retry gets the response to the most recent identical request.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from accounts.models import IdempotentAnswer
from videos.api.auth import KeyedRequest
from videos.api.errors import ApiError, bad_value

KEPT = timedelta(days=30)
# The SDKs' retry count of a call: 0, 1, 2.
RETRY_COUNT = "x-stainless-retry-count"
REPEATED_WITHIN = timedelta(minutes=10)  # the SDKs' timeout
# A request without a response by then died with its process.
MAX_PROCESSING_TIME = timedelta(minutes=1)

# Runs in a transaction. Returns the status and body of the response.
Action = Callable[[], tuple[int, Mapping[str, object]]]


def once(request: KeyedRequest, digest: str, prepare: Callable[[], Action]) -> HttpResponse:
    """The response to this request, or the stored response if it is a repeat.

    `digest` identifies the content of the request. `prepare` does everything that needs no transaction and may be
    slow; it returns the action to run in one. Raises what both raise, ApiError 422 if the key was used with a
    different request, and 409 if the original of a retry is still being processed.
    """
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise bad_value("Idempotency-Key", "An Idempotency-Key must be 1 to 255 printable ASCII characters.")
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
        # Nothing was created, so allow a retry, unless only the confirmation of the commit was lost.
        IdempotentAnswer.objects.filter(pk=note.pk, status=0).delete()
        raise


def _once_by_key(request: KeyedRequest, key: str, digest: str, prepare: Callable[[], Action]) -> HttpResponse:
    if before := _answered(request, key, digest):
        return before
    try:
        do = prepare()
    except ApiError:
        # The first request may have ended meanwhile and used the last credits.
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
    """The stored response to a request with this key; None if this is the first."""
    row = IdempotentAnswer.objects.filter(user=request.user, key=key).first()
    if row is None:
        return None
    if row.request_digest != digest:
        raise ApiError(
            422,
            "This Idempotency-Key was already used with a different request.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return _again(row)


def _before(request: KeyedRequest, digest: str) -> HttpResponse | None:
    """The stored response to the request that this one retries; None if that never arrived."""
    now = timezone.now()
    equal = IdempotentAnswer.objects.filter(
        api_key=request.auth, key=None, request_digest=digest, created_at__gte=now - REPEATED_WITHIN
    )
    row = equal.order_by("-created_at").first()
    if row is None:
        return None
    if row.status:
        return _again(row)
    if now - row.created_at < MAX_PROCESSING_TIME:
        raise ApiError(
            409,
            "The original of this retry is still being processed. Try again in a moment.",
            code="request_in_progress",
            after=2,
        )
    return None


def _again(row: IdempotentAnswer) -> HttpResponse:
    headers = {"Idempotent-Replayed": "true"}
    return HttpResponse(row.body, status=row.status, content_type="application/json", headers=headers)


def purge_expired() -> None:
    """Delete expired responses."""
    now = timezone.now()
    without_key = Q(key=None, created_at__lt=now - 2 * REPEATED_WITHIN)
    IdempotentAnswer.objects.filter(Q(created_at__lt=now - KEPT) | without_key).delete()
