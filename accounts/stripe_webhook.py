"""`/webhooks/stripe/`: Stripe notifies us that a payment, a subscription or a saved card may have changed, and we settle it."""

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts import low_balance, payments, plans, stripe_gateway, stripe_plans, stripe_top_ups
from accounts.models import StripeEvent

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024


@csrf_exempt
@login_not_required
def stripe(request: HttpRequest) -> HttpResponse:
    """200 for any event that Stripe signed for us; 404 if no secret is set; 503 if Stripe does not answer our request.

    A repeated event settles the same payment again, which changes nothing.
    """
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return _say(413, "The request body is too large.")
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
        elif subscription := stripe_plans.subscription_in(event):
            plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
        elif low := stripe_top_ups.owner_in(event):
            low_balance.take_card(low, stripe_top_ups.card_of)
        elif top_up := stripe_top_ups.top_up_in(event):
            StripeEvent.objects.filter(pk=note.pk).update(payment=top_up.payment)
            low_balance.complete(top_up)
        StripeEvent.objects.filter(pk=note.pk).update(settled_at=timezone.now(), problem="")
    except stripe_gateway.NoRecord as problem:
        # To send it again would not help: it stays in the money console.
        log.error("A Stripe webhook cannot be processed: %s", problem)
        StripeEvent.objects.filter(pk=note.pk).update(problem=str(problem)[:300])
    except stripe_gateway.NotOurs as refusal:
        log.warning("Rejected a Stripe webhook: %s.", refusal)
        return _say(400, "This webhook was rejected.")
    except stripe_gateway.Unreachable as error:
        # Stripe retries for three days.
        log.error("Could not settle a payment: %s", error)
        return _say(503, "Try again later.")
    return _say(200, "OK")


def _say(status: int, sentence: str) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type="text/plain")
