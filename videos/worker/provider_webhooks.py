"""What a provider says by itself: `/webhooks/openai/`, signed in the form of Standard Webhooks.

A webhook is a hint and nothing more. It makes a running job due, and the pump then asks the provider
with our own key, so a webhook that is false, late, doubled or lost changes no outcome, only when it
is known. One that comes before its job's id is stored finds no row: a job's first poll, soon after
it was accepted, sees then what the webhook would have said.
"""

import base64
import hmac
import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from videos import queue
from videos.models import Channel, PumpSlot, Status, Video, WebhookReceipt
from videos.providers.base import Unavailable
from videos.providers.webhook_events import Event, parse_webhook

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
TOLERANCE = 300  # seconds that a delivery may be behind or ahead of our clock
KEEP = timedelta(days=1)  # far longer than TOLERANCE: what is forgotten is too old to be taken again

WEBHOOK_ID = re.compile(r"[!-~]{1,255}")
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class Refused(Exception):
    """A request that is no webhook of our provider. The text is for the log."""


@csrf_exempt
@login_not_required
def openai(request: HttpRequest) -> HttpResponse:
    """200 for whatever our provider signed within TOLERANCE; 404 where no secret is set."""
    if not settings.OPENAI_WEBHOOK_SECRET:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return _say(413, "This is too large for a webhook.")
    try:
        webhook_id = verified_id(request.headers, body)
        event = parse_webhook(body)
    except (Refused, Unavailable) as refusal:
        log.warning("A webhook was refused: %s.", refusal)
        return _say(400, "This webhook was not accepted.")

    take_hint(webhook_id, event)
    return _say(200, "Thank you.")


def verified_id(headers: Mapping[str, str], body: bytes) -> str:
    """The webhook-id of a request that was signed with our secret just now. Raises Refused for any other.

    The SDK's `verify_signature` does the same in four times the time, and breaks on bytes that are no text.
    """
    webhook_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not WEBHOOK_ID.fullmatch(webhook_id) or not UNIX_SECONDS.fullmatch(sent_at):
        raise Refused("it has no id or no time")
    if abs(int(time.time()) - int(sent_at)) > TOLERANCE:
        raise Refused("it is too old, or ahead of our clock")
    key = base64.b64decode(settings.OPENAI_WEBHOOK_SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{sent_at}.".encode() + body, "sha256")
    # As text: several texts decode to the same bytes, and only one of them was sent.
    expected = b"v1," + base64.b64encode(digest)
    # While a secret is being exchanged there are several signatures.
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise Refused("its signature is not right")
    return webhook_id


def take_hint(webhook_id: str, event: Event) -> None:
    """Make the job due that an event says has ended. The same webhook again changes nothing."""
    try:
        with transaction.atomic():
            WebhookReceipt.objects.create(id=webhook_id, event=event.kind[:100], ref=event.ref[:500])
            if event.says_it_ended and _make_due(event.ref):
                transaction.on_commit(_wake_worker, robust=True)
    except IntegrityError:
        log.info("Webhook %s came again.", webhook_id)


def purge_expired() -> None:
    """Delete the receipts of webhooks that are too old to be taken again."""
    WebhookReceipt.objects.filter(received_at__lt=Now() - KEEP).delete()


def _make_due(ref: str) -> bool:
    """Whether there is a running job of this id, whatever channel it came by; a pump then takes it up at once."""
    channels = Channel.objects.filter(kind="openai")
    # Channel first, as in the index that keeps a provider's job one video's.
    running = Video.objects.filter(channel__in=channels, ref=ref, status=Status.IN_PROGRESS)
    return bool(running.update(next_attempt_at=Now()))


def _wake_worker() -> None:
    """A live pump looks several times a second by itself: ten thousand webhooks ring no bell."""
    if not PumpSlot.objects.filter(until__gt=Now()).exists():
        queue.wake_any()


def _say(status: int, sentence: str) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type="text/plain")
