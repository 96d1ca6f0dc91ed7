"""Outgoing webhooks, as a transactional outbox: an event when a video has started or ended, or a batch has ended.

An event is written in the same transaction as the state change, so no crash can lose it, and is sent
afterwards until the receiver accepts it or the attempts are used up. Delivery is at least once: a crash
between sending and recording it causes a second delivery with the same webhook-id.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import aiohttp
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from yarl import URL

from accounts.models import ApiKey, IdempotentAnswer
from videos import hourly, queue, safe_http, serializers, timing
from videos.models import Batch, Delivery, Status, Video
from videos.webhooks import events, formats

log = logging.getLogger(__name__)

# Seconds to wait after each failed attempt: eight attempts within twelve hours.
PAUSES = (5, 60, 5 * 60, 30 * 60, 60 * 60, 3 * 3600, 7 * 3600)
MAX_TRIES = len(PAUSES) + 1
SLICE = 20  # seconds that one task runs
MAX_CONCURRENT, MAX_PER_USER, MAX_PER_SERVER = 40, 8, 4  # deliveries in flight
LEASE = 30  # seconds until a delivery whose sender crashed comes due again; longer than any attempt takes
LATER = 5  # seconds by which a delivery to a busy server is postponed
KEPT = timedelta(days=30)
MAX_BY_HAND = (
    30  # events of a key that its owner may send in an hour; the address need not be the owner's server
)

ANNOUNCED = {
    Status.IN_PROGRESS: "video.started",
    Status.COMPLETED: "video.completed",
    Status.FAILED: "video.failed",
    Status.CANCELED: "video.failed",
}


class NotNow(Exception):
    """An event is not sent. The message is a sentence for the owner of the key."""


def announce(video: Video) -> None:
    """Write the event that this video has started or ended, if its API key wants it.

    Call it in the transaction of the state change.
    """
    if not video.api_key_id:
        return
    # Loaded anew, because the dispatcher loads only some columns.
    told = (
        Video.objects.exclude(webhook_url="").select_related("model", "api_key").filter(pk=video.pk).first()
    )
    kind = ANNOUNCED[Status(video.status)]
    if told and told.api_key and kind in events.chosen(told.api_key):
        _write(told.api_key.pk, told.webhook_url, kind, serializers.video_object(told), told)


def announce_batch(batch: Batch) -> None:
    """Write the event that all videos of a batch have ended. Call it in the transaction that ends the batch."""
    key, kind = batch.api_key, "video_batch.completed"
    if key and batch.webhook_url and kind in events.chosen(key):
        _write(key.pk, batch.webhook_url, kind, serializers.batch_object(batch))


def ping(key: ApiKey) -> Delivery:
    """Queue a test event for the webhook of a key. Raises NotNow before another one was sent, and for too many in an hour."""
    with transaction.atomic():
        ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
        untried = Delivery.objects.filter(api_key=key, event="ping", attempts=0)
        if untried.filter(next_attempt_at__isnull=False).exists():
            raise NotNow(_("A test event is already queued. Reload the page to see the result."))
        _count_by_hand(key.pk)
        return _write(key.pk, key.webhook_url, "ping", {"message": "This is a test."})


def replay(delivery: Delivery) -> None:
    """Queue the same event for redelivery under its old id. Raises NotNow if it is still queued, and for too many in an hour."""
    settled = Delivery.objects.filter(pk=delivery.pk, next_attempt_at=None)
    if settled.exists():
        _count_by_hand(delivery.api_key_id)
    with transaction.atomic():
        if not settled.update(next_attempt_at=Now(), attempts=0, delivered_at=None):
            raise NotNow(_("This event is already queued."))
        transaction.on_commit(queue.deliver_later, robust=True)


def _count_by_hand(key_id: int) -> None:
    if after := hourly.count(f"sent-by-hand:{key_id}", MAX_BY_HAND):
        minutes = -(-after // 60)
        raise NotNow(
            ngettext(
                "You can send %(max)d events of a key per hour. Try again in %(minutes)d minute.",
                "You can send %(max)d events of a key per hour. Try again in %(minutes)d minutes.",
                minutes,
            )
            % {"max": MAX_BY_HAND, "minutes": minutes}
        )


def deliver(seconds: float = SLICE) -> None:
    """Send due events for up to `seconds` seconds. Safe to run concurrently."""

    async def run() -> None:
        try:
            await _deliver(time.monotonic() + seconds)
        finally:
            # Close the connection of sync_to_async's thread; nothing else would close it or notice that it is broken.
            await sync_to_async(lambda: connection.close())()

    asyncio.run(run())


def is_due_within(seconds: float) -> bool:
    """Whether any event is due within `seconds` seconds."""
    return Delivery.objects.filter(next_attempt_at__lte=Now() + timedelta(seconds=seconds)).exists()


def purge_expired() -> None:
    """Delete settled deliveries older than KEPT."""
    Delivery.objects.filter(created_at__lt=timezone.now() - KEPT, next_attempt_at=None).delete()


def redact_video(video: Video) -> None:
    """Remove a deleted video's events, and its texts from stored batch events and idempotent answers."""
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


def _write(
    key_id: int, url: str, kind: str, data: Mapping[str, object], video: Video | None = None
) -> Delivery:
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
    transaction.on_commit(
        queue.deliver_later, robust=True
    )  # if this is lost, the supervisor notices due events
    return delivery


# --- Sending --------------------------------------------------------------------------------------


async def _deliver(end: float) -> None:
    in_flight: dict[asyncio.Task[None], tuple[int, URL]] = {}
    async with safe_http.session() as client:
        while time.monotonic() < end:
            busy = []
            users = Counter(user for user, _server in in_flight.values())
            servers = Counter(server for _user, server in in_flight.values())
            # Whoever has receivers that hang does not keep the others' events waiting.
            full = [user for user, count in users.items() if count >= MAX_PER_USER]
            hanging = [server for server, count in servers.items() if count >= MAX_PER_SERVER]
            for delivery in await sync_to_async(_claim)(MAX_CONCURRENT - len(in_flight), full, hanging):
                user, server = delivery.api_key.user_id, URL(delivery.url).origin()
                if servers[server] >= MAX_PER_SERVER or users[user] >= MAX_PER_USER:
                    busy.append(delivery.pk)
                    continue
                users[user] += 1
                servers[server] += 1
                task = asyncio.create_task(_attempt(client, delivery))
                in_flight[task] = user, server
                task.add_done_callback(in_flight.pop)
            if busy:
                await sync_to_async(_postpone)(busy)
            if in_flight:
                await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED, timeout=1)
            elif not await sync_to_async(is_due_within)(LATER):
                return
            else:
                await asyncio.sleep(0.5)
        if in_flight:
            await asyncio.wait(in_flight)


def _claim(limit: int, except_of: Sequence[int] = (), except_to: Sequence[URL] = ()) -> list[Delivery]:
    """Up to `limit` due deliveries, leased to the caller: concurrent callers get different ones.

    Left out are those `except_of` these users, and `except_to` these servers.
    """
    if limit <= 0:
        return []
    with transaction.atomic():
        due = Delivery.objects.filter(next_attempt_at__lte=Now()).order_by("next_attempt_at")
        if except_of:
            due = due.exclude(
                api_key__in=list(ApiKey.objects.filter(user__in=except_of).values_list("pk", flat=True))
            )
        for server in except_to:
            due = due.exclude(url__startswith=f"{server}/")
        can_skip = connection.features.has_select_for_update_skip_locked
        ids = list(due.select_for_update(skip_locked=can_skip).values_list("pk", flat=True)[:limit])
        Delivery.objects.filter(pk__in=ids).update(next_attempt_at=Now() + timedelta(seconds=LEASE))
    return list(Delivery.objects.filter(pk__in=ids).select_related("api_key"))


def _postpone(ids: list[Any]) -> None:
    Delivery.objects.filter(pk__in=ids).update(next_attempt_at=Now() + timedelta(seconds=LATER))


async def _attempt(client: aiohttp.ClientSession, delivery: Delivery) -> None:
    status, problem = await _post(client, delivery)
    await sync_to_async(_record)(delivery, status, problem)


async def _post(client: aiohttp.ClientSession, delivery: Delivery) -> tuple[int | None, str]:
    """The receiver's HTTP status, or None and the reason for the owner of the key."""
    try:
        safe_http.check_url(delivery.url)
        body, headers = await sync_to_async(formats.request_of)(delivery)
        async with client.post(delivery.url, data=body, headers=headers, allow_redirects=False) as answer:
            return answer.status, ""
    except TimeoutError:
        return None, f"no answer within {safe_http.SECONDS} seconds"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The exact error is only logged: it could reveal the layout of our network.
        log.info("Webhook %s to %s failed: %r", delivery.webhook_id, URL(delivery.url).host, error)
        return None, str(error) if isinstance(error, safe_http.AddressRefused) else "no connection"


def _record(delivery: Delivery, status: int | None, problem: str) -> None:
    attempts = delivery.attempts + 1
    changes: dict[str, object] = {
        "attempts": F("attempts") + 1,
        "status": status,
        "reason": problem,
        "next_attempt_at": None,
    }
    if status is not None and 200 <= status < 300:
        changes["delivered_at"] = timezone.now()
    elif attempts < MAX_TRIES:
        changes["next_attempt_at"] = timing.database_now() + timedelta(seconds=PAUSES[attempts - 1])
    Delivery.objects.filter(pk=delivery.pk).update(**changes)
