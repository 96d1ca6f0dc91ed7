"""`/webhooks/stripe/`: a signed hint that something happened to a payment, which is then settled."""

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts import payments, stripe_gateway
from accounts.models import StripeEvent

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024


@csrf_exempt
@login_not_required
def stripe(request: HttpRequest) -> HttpResponse:
    """200 for whatever Stripe signed for us; 404 where no secret is set; 503 when Stripe itself cannot be asked.

    The same event again settles the same payment again, which moves nothing.
    """
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return _say(413, "This is too large for a webhook.")
    try:
        event = stripe_gateway.read_webhook(body, request.headers.get("Stripe-Signature", ""))
        note, is_new = StripeEvent.objects.get_or_create(
            pk=event.id[:255], defaults={"kind": event.type[:100]}
        )
        if not is_new:
            StripeEvent.objects.filter(pk=note.pk).update(times=F("times") + 1)
        if payment := stripe_gateway.payment_in(event):
            StripeEvent.objects.filter(pk=note.pk).update(payment=payment)
            payments.settle(payment, stripe_gateway.truth_of)
        StripeEvent.objects.filter(pk=note.pk).update(settled_at=timezone.now())
    except stripe_gateway.NotOurs as refusal:
        log.warning("A webhook from Stripe was refused: %s.", refusal)
        return _say(400, "This webhook was not accepted.")
    except stripe_gateway.Unreachable as error:
        # Stripe delivers it again, for three days.
        log.error("A payment could not be settled: %s", error)
        return _say(503, "Please deliver it again.")
    return _say(200, "Thank you.")


def _say(status: int, sentence: str) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type="text/plain")
