"""Idempotent requests: a request that is sent twice is processed once and gets the same response twice.

With an Idempotency-Key, the response is stored in the same transaction as its effects, and its row is
inserted first: a concurrent request with the same key blocks there until the first one ends, then finds
its response. A failed request leaves nothing behind, so the key can be used again.

OpenAI's SDKs retry without a key, but mark retries with a header. So their requests are recorded on
arrival, and a retry gets the response to the most recent identical request. Other clients, such as LiteLLM's
proxy, retry without any mark: an API key can have a repeat window, within which identical requests are one.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, IdempotentAnswer
from videos.api.auth import KeyedRequest
from videos.api.errors import ApiError, bad_value

KEPT = timedelta(days=30)
HEADER = "Idempotency-Key"
# The SDKs' retry count of a call: 0, 1, 2.
RETRY_COUNT = "x-stainless-retry-count"
REPEATED_WITHIN = timedelta(minutes=10)  # the SDKs' timeout
# A request without a response by then died with its process.
MAX_PROCESSING_TIME = timedelta(minutes=1)

# Runs in a transaction. Returns the status and body of the response.
Action = Callable[[], tuple[int, Mapping[str, object]]]


def once(
    request: KeyedRequest, digest: str, prepare: Callable[[], Action], key: str | None = None
) -> HttpResponse:
    """The response to this request, or the stored response if it is a repeat.

    `digest` identifies the content of the request. `prepare` does everything that needs no transaction and may be
    slow; it returns the action to run in one. `key` takes the place of the header. Raises what both raise, ApiError
    400 for an invalid Idempotency-Key, 422 if it was used with a different request, and 409 if the original of a retry
    is still being processed.
    """
    if key := _idempotency_key(request.headers.get(HEADER) if key is None else key):
        return _once_by_key(request, key, digest, prepare)
    window = timedelta(seconds=request.auth.repeat_window)
    if RETRY_COUNT not in request.headers and not window:
        do = prepare()
        with transaction.atomic():
            status, body = do()
        return JsonResponse(body, status=status)
    is_retry = request.headers.get(RETRY_COUNT, "0") != "0"
    within = max(window, REPEATED_WITHIN) if is_retry else window
    with transaction.atomic():
        if window:
            # Of identical requests that come at once, each has to see the note of the one before it.
            ApiKey.objects.select_for_update().get(pk=request.auth.pk)
        if within and (before := _before(request, digest, within)):
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


def _idempotency_key(key: str | None) -> str | None:
    """The Idempotency-Key of a request, if it has one. Raises ApiError 400 for an invalid one."""
    if key is None:
        return None
    # An empty one would protect nothing, although its sender believes so.
    if not key.strip() or len(key) > 255 or not key.isascii() or not key.isprintable():
        raise bad_value(
            HEADER,
            "An Idempotency-Key must be 1 to 255 printable ASCII characters, and not blank.",
        )
    return key


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
        noted = IdempotentAnswer.objects.filter(pk=row.pk)
        if not noted.update(status=status, body=answer.content.decode()):
            # It took so long that a repeat took its note away and is processed instead; undo this one.
            raise _in_progress()
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
            param=HEADER,
            code="idempotency_key_reused",
        )
    return _again(row)


def _before(request: KeyedRequest, digest: str, within: timedelta) -> HttpResponse | None:
    """The stored response to the request that this one repeats; None if none arrived `within` this time."""
    now = timezone.now()
    equal = IdempotentAnswer.objects.filter(
        api_key=request.auth, key=None, request_digest=digest, created_at__gte=now - within
    )
    row = equal.order_by("-created_at").first()
    if row is None:
        return None
    if row.status:
        return _again(row)
    if now - row.created_at < MAX_PROCESSING_TIME:
        raise _in_progress()
    # Without its note, the original can no longer order anything, should it still be alive: see `_do`.
    if IdempotentAnswer.objects.filter(pk=row.pk, status=0).delete()[0]:
        return None
    return _before(request, digest, within)


def _in_progress() -> ApiError:
    return ApiError(
        409,
        "The original of this retry is still being processed. Try again in a moment.",
        code="request_in_progress",
        after=2,
    )


def _again(row: IdempotentAnswer) -> HttpResponse:
    headers = {"Idempotent-Replayed": "true"}
    return HttpResponse(row.body, status=row.status, content_type="application/json", headers=headers)


def purge_expired() -> None:
    """Delete expired responses."""
    now = timezone.now()
    without_key = Q(key=None, created_at__lt=now - api_keys.MAX_REPEAT_WINDOW)
    IdempotentAnswer.objects.filter(Q(created_at__lt=now - KEPT) | without_key).delete()
