"""Stripe Billing: subscribe to a plan, cancel and resume, and fetch the state of subscriptions."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from accounts.models import Subscription
from accounts.plans import Invoice, State
from accounts.stripe_gateway import NoRecord, NotOurs, asking, is_live, new_session, options

if TYPE_CHECKING:
    import stripe
    from stripe.params.checkout import SessionCreateParams

Status = Subscription.Status
PAID = ("checkout.session.completed", "invoice.paid")  # events
NEVER_PAID = ("incomplete", "incomplete_expired")
# What Stripe calls the states of a subscription.
STATUS = {
    "incomplete": Status.CREATED,
    "incomplete_expired": Status.ENDED,
    "trialing": Status.ACTIVE,
    "active": Status.ACTIVE,
    "past_due": Status.OVERDUE,
    "unpaid": Status.OVERDUE,
    "paused": Status.OVERDUE,
    "canceled": Status.ENDED,
}


def checkout_url(subscription: Subscription) -> str:
    """The URL of Stripe's checkout page for a plan, the same for a day. Raises Unreachable."""
    session = new_session(
        subscription.user, f"subscribe:{subscription.pk}", lambda customer: _page(subscription, customer)
    )
    Subscription.objects.filter(pk=subscription.pk).update(session=session.id)
    return str(session.url)


def _page(subscription: Subscription, customer: str | None) -> "SessionCreateParams":
    back = settings.SITE_URL + reverse("accounts:subscribed", args=[subscription.pk])
    about = {"subscription": str(subscription.pk)}
    return {
        **options(customer, subscription.user.email),
        "mode": "subscription",
        "client_reference_id": str(subscription.pk),
        "metadata": about,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": subscription.currency,
                    "unit_amount": subscription.price,
                    "recurring": {"interval": "month"},
                    "product_data": {"name": str(subscription)},
                },
            }
        ],
        "subscription_data": {"metadata": about},
        "success_url": back,
        "cancel_url": back,
    }


def open_page(subscription: Subscription) -> str | None:
    """The URL of its checkout page, if nobody has subscribed there and one still can. Raises Unreachable."""
    import stripe

    if subscription.session is None:
        return None
    with asking() as client:
        try:
            session = _session(client, subscription.session)
        except stripe.InvalidRequestError:
            return None  # it was made with the key of another mode or account
    return str(session.url) if session.status == "open" else None


def state_of(subscription: Subscription) -> State:
    """The state of this subscription at Stripe, and its paid invoices. Raises Unreachable and NotOurs."""
    import stripe

    with asking() as client:
        try:
            number = subscription.number or _number(client, subscription)
            if not number:
                is_over = subscription.session and _session(client, subscription.session).status == "expired"
                return State(status=Status.ENDED if is_over else Status.CREATED)
            found = client.v1.subscriptions.retrieve(number)
        except stripe.InvalidRequestError as error:
            # It was made with the key of another mode or account.
            raise NotOurs(str(error)) from error
        if found.livemode != is_live() or _named(found) != subscription.pk:
            raise NotOurs(f"subscription {number} belongs to another mode or user")
        paid = client.v1.invoices.list({"subscription": number, "status": "paid", "limit": 100})
        invoices = tuple(_as_invoice(invoice) for invoice in paid.auto_paging_iter())
    if found.status not in STATUS:
        raise NotOurs(f"Stripe reports an unknown status of subscription {number}: {found.status}")
    items = found["items"].data
    if len(items) != 1:
        raise NotOurs(f"subscription {number} has {len(items)} items, and was sold with one")
    return State(
        status=STATUS[found.status],
        number=number,
        customer=found.customer if isinstance(found.customer, str) else found.customer.id,
        # The portal sets either.
        is_ending=found.cancel_at_period_end or found.cancel_at is not None,
        renews_at=datetime.fromtimestamp(items[0].current_period_end, UTC),
        paid=invoices,
    )


def cancel(subscription: Subscription, *, is_ending: bool) -> None:
    """Cancel a subscription at the end of the month that is paid, or take that back. Raises Unreachable."""
    number = str(subscription.number)
    with asking() as client:
        found = client.v1.subscriptions.retrieve(number)
        if not is_ending and found.cancel_at is not None and not found.cancel_at_period_end:
            client.v1.subscriptions.update(number, {"cancel_at": ""})
        else:
            client.v1.subscriptions.update(number, {"cancel_at_period_end": is_ending})


def close_page(subscription: Subscription) -> None:
    """Close its checkout page, unless somebody has subscribed there, or it is closed. Raises Unreachable."""
    import stripe

    if subscription.session is None:
        return
    with asking() as client, suppress(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(subscription.session)


def subscription_in(event: "stripe.Event") -> Subscription | None:
    """The subscription that an event is about, if it is one of ours. Raises NoRecord if it was paid and is unknown here."""
    thing = event.data.object.to_dict()
    if event.type.startswith("checkout.session."):
        number, about = thing.get("subscription"), thing.get("metadata")
    elif event.type.startswith("customer.subscription."):
        number, about = thing.get("id"), thing.get("metadata")
    elif event.type.startswith("invoice."):
        # An endpoint of an API version before 2025-03-31 has them at the top.
        details = (thing.get("parent") or thing).get("subscription_details") or {}
        number, about = details.get("subscription") or thing.get("subscription"), details.get("metadata")
    else:
        return None
    try:
        pk = UUID((about or {}).get("subscription", ""))
    except ValueError:
        return None  # of another product that sells by the same account
    found = _with_number(pk, number)
    if found is None and event.type in PAID:
        raise NoRecord(_no_record(number))
    return found


def made_since(at: datetime) -> Iterator[Subscription | NoRecord]:
    """The subscriptions that were made at Stripe since then, known here or not. Raises Unreachable."""
    import stripe

    with asking() as client:
        try:
            made = client.v1.subscriptions.list(
                {"created": {"gte": int(at.timestamp())}, "status": "all", "limit": 100}
            )
        except stripe.PermissionError:
            return  # a key that may not read subscriptions has made none
        for one in made.auto_paging_iter():
            if pk := _named(one):
                if found := _with_number(pk, one.id):
                    yield found
                elif one.status not in NEVER_PAID:
                    yield NoRecord(_no_record(one.id))


def _with_number(pk: UUID, number: object) -> Subscription | None:
    """The row of a subscription at Stripe, if there is one."""
    if isinstance(number, str):
        # We may have died after Stripe made the page, and before we saved which. `state_of` checks that it is of this row.
        Subscription.objects.filter(pk=pk, number=None).update(number=number)
    return Subscription.objects.filter(pk=pk).first()


def _no_record(number: object) -> str:
    return f"subscription {number} was paid at Stripe, but there is no record of it; was a backup restored? Look it up at Stripe."


def _number(client: "stripe.StripeClient", subscription: Subscription) -> str | None:
    """The id of the subscription that its checkout page has made; None if nobody has paid there."""
    if subscription.session is None:
        return None
    made = _session(client, subscription.session).subscription
    return made if made is None or isinstance(made, str) else made.id


def _session(client: "stripe.StripeClient", session: str) -> "stripe.checkout.Session":
    return client.v1.checkout.sessions.retrieve(session)


def _named(found: "stripe.Subscription") -> UUID | None:
    """Our id of a subscription, as we noted it there."""
    try:
        return UUID(found.metadata.to_dict().get("subscription", ""))
    except ValueError:
        return None


def _as_invoice(invoice: "stripe.Invoice") -> Invoice:
    # Others are of a moment, such as what was left from before.
    period = max((line.period for line in invoice.lines.data), key=lambda one: one.end - one.start)
    return Invoice(
        number=str(invoice.id),
        starts_at=datetime.fromtimestamp(period.start, UTC),
        ends_at=datetime.fromtimestamp(period.end, UTC),
    )
