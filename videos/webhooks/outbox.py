"""What programs are told by themselves: an event when a video has ended, signed as Standard Webhooks says.

An event is written in the transaction of what it tells of, so that no crash loses one, and is sent
afterwards until its receiver took it or the tries are used up. Whoever dies between sending and
writing that down leads to a second delivery with the same webhook-id, never to none.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from datetime import timedelta
from typing import Any

import aiohttp
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from yarl import URL

from accounts.models import ApiKey, IdempotentAnswer
from videos import queue, safe_http, serializers, timing
from videos.models import Batch, Delivery, Status, Video

log = logging.getLogger(__name__)

# Seconds after each try that failed: eight tries within twelve hours.
PAUSES = (5, 60, 5 * 60, 30 * 60, 60 * 60, 3 * 3600, 7 * 3600)
MAX_TRIES = len(PAUSES) + 1
SLICE = 20  # seconds of one task
AT_ONCE, AT_ONCE_TO_ONE = 40, 4  # deliveries on their way, in all and to one server
LEASE = 30  # seconds until a delivery whose sender died comes due again; longer than any try takes
LATER = 5  # seconds after which a delivery to a busy server is looked at again
KEPT = timedelta(days=30)

ENDED = {Status.COMPLETED: "video.completed", Status.FAILED: "video.failed", Status.CANCELED: "video.failed"}


def announce(video: Video) -> None:
    """Tell whoever ordered this video, if they want to be told, that it has ended. Call it in the move's transaction."""
    if video.api_key_id and video.webhook_url:
        whole = Video.objects.select_related("model").get(pk=video.pk)  # a pump has only what it needs
        kind = ENDED[Status(whole.status)]
        _write(video.api_key_id, video.webhook_url, kind, serializers.video_object(whole), whole)


def announce_batch(batch: Batch) -> None:
    """Tell whoever ordered these videos, once, that all of them have ended. Call it in the transaction of that."""
    if batch.api_key_id and batch.webhook_url:
        _write(batch.api_key_id, batch.webhook_url, "video_batch.completed", serializers.batch_object(batch))


def ping(key: ApiKey) -> Delivery:
    """Send a test event to the webhook of a key."""
    with transaction.atomic():
        return _write(key.pk, key.webhook_url, "ping", {"message": "This is a test."})


def replay(delivery: Delivery) -> bool:
    """Send the same event once more, under its old id. False while it is on its way anyway."""
    with transaction.atomic():
        again = Delivery.objects.filter(pk=delivery.pk, next_attempt_at=None)
        if not again.update(next_attempt_at=Now(), attempts=0, delivered_at=None):
            return False
        transaction.on_commit(queue.deliver_later, robust=True)
    return True


def deliver(seconds: float = SLICE) -> None:
    """Send what is due, for so many seconds at most. May run any number of times at once."""

    async def run() -> None:
        try:
            await _deliver(time.monotonic() + seconds)
        finally:
            # That thread's own: nobody else would ever close it, or notice that it is broken.
            await sync_to_async(lambda: connection.close())()

    asyncio.run(run())


def is_due_within(seconds: float) -> bool:
    """Whether an event is to be sent by then."""
    return Delivery.objects.filter(next_attempt_at__lte=Now() + timedelta(seconds=seconds)).exists()


def purge_expired() -> None:
    """Delete what was settled long ago."""
    Delivery.objects.filter(created_at__lt=timezone.now() - KEPT, next_attempt_at=None).delete()


def redact_video(video: Video) -> None:
    """Take a video whose owner deletes it out of all that programs were told and may be told again."""
    Delivery.objects.filter(video=video).delete()
    name = serializers.public_id(video.pk)
    of_batches = Delivery.objects.filter(api_key__user=video.user_id, video=None)
    answers = IdempotentAnswer.objects.filter(user=video.user_id)
    kept: list[Delivery | IdempotentAnswer] = [
        *of_batches.filter(body__contains=name),
        *answers.filter(body__contains=name),
    ]
    for row in kept:
        row.body = serializers.without_words(row.body, name)
        row.save(update_fields=["body"])


def signature(secret: str, webhook_id: str, sent_at: int, body: str) -> str:
    """One `v1,…` of the header webhook-signature, https://www.standardwebhooks.com"""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{sent_at}.{body}".encode(), hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def headers_of(delivery: Delivery, sent_at: int) -> dict[str, str]:
    """What makes a delivery believable. For a day after a secret was changed, both sign."""
    key = delivery.api_key
    secrets = [key.webhook_secret]
    if key.old_secret_until and key.old_secret_until > timezone.now():
        secrets.append(key.old_webhook_secret)
    signatures = [signature(secret, delivery.webhook_id, sent_at, delivery.body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(signatures),
    }


def _write(key_id: int, url: str, kind: str, data: dict[str, Any], video: Video | None = None) -> Delivery:
    delivery = Delivery(api_key_id=key_id, url=url, event=kind, video=video)
    event = {
        "id": delivery.webhook_id,
        "object": "event",
        "type": kind,
        "created_at": int(time.time()),
        "data": data,
    }
    delivery.body = json.dumps(event, ensure_ascii=False)
    delivery.save()
    transaction.on_commit(queue.deliver_later, robust=True)  # if it is lost, the supervisor finds what is due
    return delivery


# --- Sending --------------------------------------------------------------------------------------


async def _deliver(end: float) -> None:
    under_way: dict[asyncio.Task[None], URL] = {}
    async with safe_http.session() as client:
        while time.monotonic() < end:
            busy = []
            for delivery in await sync_to_async(_claim)(AT_ONCE - len(under_way)):
                server = URL(delivery.url).origin()
                if list(under_way.values()).count(server) >= AT_ONCE_TO_ONE:
                    busy.append(delivery.pk)
                    continue
                task = asyncio.create_task(_try(client, delivery))
                under_way[task] = server
                task.add_done_callback(under_way.pop)
            if busy:
                await sync_to_async(_put_off)(busy)
            if under_way:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED, timeout=1)
            elif not await sync_to_async(is_due_within)(LATER):
                return
            else:
                await asyncio.sleep(0.5)
        if under_way:
            await asyncio.wait(under_way)


def _claim(most: int) -> list[Delivery]:
    """Up to `most` that are due, leased to the caller: a second one at the same time gets others."""
    if most <= 0:
        return []
    with transaction.atomic():
        due = Delivery.objects.filter(next_attempt_at__lte=Now()).order_by("next_attempt_at")
        can_skip = connection.features.has_select_for_update_skip_locked
        ids = list(due.select_for_update(skip_locked=can_skip).values_list("pk", flat=True)[:most])
        Delivery.objects.filter(pk__in=ids).update(next_attempt_at=Now() + timedelta(seconds=LEASE))
    return list(Delivery.objects.filter(pk__in=ids).select_related("api_key"))


def _put_off(ids: list[Any]) -> None:
    Delivery.objects.filter(pk__in=ids).update(next_attempt_at=Now() + timedelta(seconds=LATER))


async def _try(client: aiohttp.ClientSession, delivery: Delivery) -> None:
    status, why = await _post(client, delivery)
    await sync_to_async(_note)(delivery, status, why)


async def _post(client: aiohttp.ClientSession, delivery: Delivery) -> tuple[int | None, str]:
    """The receiver's status, or why there is none."""
    try:
        safe_http.check_url(delivery.url)
        headers = headers_of(delivery, int(time.time()))
        async with client.post(
            delivery.url, data=delivery.body.encode(), headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, ""
    except TimeoutError:
        return None, f"no answer within {safe_http.SECONDS} seconds"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # What exactly stood in the way stays here: it would show what our network looks like.
        log.info("webhook %s to %s: %r", delivery.webhook_id, URL(delivery.url).host, error)
        return None, str(error) if isinstance(error, safe_http.AddressRefused) else "no connection"


def _note(delivery: Delivery, status: int | None, why: str) -> None:
    tries = delivery.attempts + 1
    changes: dict[str, Any] = {
        "attempts": F("attempts") + 1,
        "status": status,
        "reason": why,
        "next_attempt_at": None,
    }
    if status is not None and 200 <= status < 300:
        changes["delivered_at"] = timezone.now()
    elif tries < MAX_TRIES:
        changes["next_attempt_at"] = timing.database_now() + timedelta(seconds=PAUSES[tries - 1])
    Delivery.objects.filter(pk=delivery.pk).update(**changes)
