"""Incoming provider webhooks at `/webhooks/openai/`, signed according to Standard Webhooks.

A webhook is only a hint. It makes a running job due, and the dispatcher then polls the provider with
our own key, so a forged, late, duplicate or lost webhook changes when the outcome is known but not
the outcome. One that arrives before its job's id is stored matches no row; the job's first poll,
soon after it was accepted, covers that case.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from videos import queue
from videos.models import Channel, Status, Video, WebhookReceipt
from videos.providers.base import Unavailable
from videos.providers.webhook_events import Event, parse_webhook
from videos.webhooks import signing
from videos.worker import leases

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
KEEP = timedelta(days=1)  # far longer than signing.TOLERANCE, so a purged webhook is too old to be replayed


@csrf_exempt
@login_not_required
def openai(request: HttpRequest) -> HttpResponse:
    """200 for anything our provider signed within signing.TOLERANCE; 404 if no webhook secret is set."""
    if not settings.OPENAI_WEBHOOK_SECRET:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return _respond(413, "This is too large for a webhook.")
    try:
        webhook_id = signing.verified_id(settings.OPENAI_WEBHOOK_SECRET, request.headers, body)
        event = parse_webhook(body)
    except (signing.Refused, Unavailable) as error:
        log.warning("A webhook was refused: %s.", error)
        return _respond(400, "This webhook was not accepted.")

    take_hint(webhook_id, event)
    return _respond(200, "Thank you.")


def take_hint(webhook_id: str, event: Event) -> None:
    """If the event says that a job has ended, make it due. Idempotent per webhook-id."""
    try:
        with transaction.atomic():
            WebhookReceipt.objects.create(id=webhook_id, event=event.kind[:100], ref=event.ref[:500])
            if event.says_it_ended and _make_due(event.ref):
                transaction.on_commit(_wake_worker, robust=True)
    except IntegrityError:
        log.info("Webhook %s is a duplicate.", webhook_id)


def purge_expired() -> None:
    """Delete the receipts of webhooks that are too old to be replayed."""
    WebhookReceipt.objects.filter(received_at__lt=Now() - KEEP).delete()


def _make_due(ref: str) -> bool:
    """Make the running job with this id due, on any OpenAI-protocol channel. False if there is none."""
    channels = Channel.objects.filter(kind="openai")
    # Channel first, to use the unique index on (channel, ref).
    running = Video.objects.filter(channel__in=channels, ref=ref, status=Status.IN_PROGRESS)
    return bool(running.update(next_attempt_at=Now()))


def _wake_worker() -> None:
    """A live dispatcher checks several times a second anyway, so ten thousand webhooks enqueue no message."""
    if not leases.live_slots().exists():
        queue.wake_any()


def _respond(status: int, sentence: str) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type="text/plain")
