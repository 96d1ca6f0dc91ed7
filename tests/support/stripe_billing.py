"""Subscriptions and their invoices, as the part of the stand-in for Stripe that plans use."""

import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.stripe_server import FakeStripe

MONTH = 30 * 24 * 3600  # seconds


class Billing:
    """What `stripe` knows of subscriptions. Its methods are what people, cards and time do there."""

    def __init__(self, stripe: "FakeStripe") -> None:
        self.stripe = stripe
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.invoices: dict[str, dict[str, Any]] = {}

    # --- Its API

    def get(self, kind: str, name: str, query: dict[str, str]) -> dict[str, Any] | None:
        """A subscription, an invoice, or the invoices of a subscription, a customer or all, newest first."""
        if kind == "subscriptions":
            return self.subscriptions.get(name)
        if name == "subscriptions":
            made = [
                one for one in self.subscriptions.values() if one["created"] >= int(query["created[gte]"])
            ]
            assert query["status"] == "all"
            return {"object": "list", "data": made, "has_more": False, "url": "/v1/subscriptions"}
        if kind == "invoices":
            return self.invoices.get(name)
        if name == "invoices":
            return self._page_of_invoices(query)
        return None

    def _page_of_invoices(self, query: dict[str, str]) -> dict[str, Any]:
        found = [
            invoice
            for invoice in reversed(self.invoices.values())
            if _is_of(invoice, query.get("subscription"))
            and query.get("customer") in (None, invoice["customer"])
            and invoice["status"] == query["status"]
        ]
        if last := query.get("starting_after"):
            found = found[[invoice["id"] for invoice in found].index(last) + 1 :]
        limit = self.stripe.page
        return {
            "object": "list",
            "data": found[:limit],
            "has_more": len(found) > limit,
            "url": "/v1/invoices",
        }

    def change(self, name: str, asked: dict[str, str]) -> dict[str, Any]:
        subscription = self.subscriptions[name]
        if subscription["status"] == "canceled":
            return wrong("A canceled subscription can only update its cancellation_details and metadata.")
        if "cancel_at" in asked:
            subscription["cancel_at"] = None
        else:
            subscription["cancel_at_period_end"] = asked["cancel_at_period_end"] == "true"
        return subscription

    def cancel_in_portal(self, subscription: dict[str, Any]) -> None:
        """The customer cancels in the portal, which sets a time in place of the flag."""
        subscription["cancel_at"] = subscription["items"]["data"][0]["current_period_end"]

    # --- What happens there

    def subscribe(self, subscription: Any) -> dict[str, Any]:
        """Somebody pays the first month of a plan."""
        session = self.stripe.session_of(subscription)
        self.stripe.complete(session)
        session["payment_status"] = "paid"
        item = {
            "id": f"si_{secrets.token_hex(8)}",
            "object": "subscription_item",
            "current_period_start": int(time.time()) - MONTH,
            "current_period_end": int(time.time()),
        }
        made = {
            "id": f"sub_{secrets.token_hex(12)}",
            "object": "subscription",
            "created": int(time.time()),
            "livemode": self.stripe.livemode,
            "status": "active",
            "customer": session["customer"],
            "cancel_at_period_end": False,
            "cancel_at": None,
            "metadata": session["_subscription_metadata"],
            "items": {"object": "list", "data": [item]},
            "_price": (session["amount_subtotal"], session["currency"]),
        }
        session["subscription"] = made["id"]
        self.subscriptions[str(made["id"])] = made
        self.renew(made)
        return made

    def renew(
        self,
        subscription: dict[str, Any],
        *,
        is_paid: bool = True,
        is_draft: bool = False,
        tax: int = 0,
        amount: int | None = None,
    ) -> dict[str, Any]:
        """A month is over, and the next is paid (`amount` instead of the price), or the card is declined. The invoice.

        As `is_draft` it waits an hour before anything is charged.
        """
        [item] = subscription["items"]["data"]
        item["current_period_start"] = item["current_period_end"]
        item["current_period_end"] += MONTH
        price, currency = subscription["_price"]
        price = price if amount is None else amount
        number = f"in_{secrets.token_hex(12)}"
        about = {"subscription": subscription["id"], "metadata": subscription["metadata"]}
        period = {"start": item["current_period_start"], "end": item["current_period_end"]}
        line = {"id": f"il_{secrets.token_hex(8)}", "object": "line_item", "period": period}
        invoice: dict[str, Any] = {
            "id": number,
            "object": "invoice",
            "livemode": self.stripe.livemode,
            "status": "open",
            "customer": subscription["customer"],
            "currency": currency,
            "metadata": {},
            "subtotal": price,
            "total": price + tax,
            "total_taxes": [{"amount": tax, "tax_behavior": "exclusive", "type": "tax_rate_details"}],
            "total_discount_amounts": [],
            "amount_paid": 0,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/{number}",
            "lines": {"object": "list", "data": [line]},
            "payments": {"object": "list", "data": []},
            "parent": {"type": "subscription_details", "subscription_details": about},
        }
        self.invoices[number] = invoice
        if is_draft:
            invoice["status"] = "draft"
            return invoice
        subscription["status"] = "past_due"
        if is_paid:
            self.pay(invoice)
        return invoice

    def pay(self, invoice: dict[str, Any]) -> None:
        """The card works, perhaps at last."""
        intent = self.stripe.charge(invoice["total"], invoice["currency"], {})
        invoice["status"], invoice["amount_paid"] = "paid", invoice["total"]
        paid = {"id": f"inpay_{secrets.token_hex(8)}", "object": "invoice_payment", "status": "paid"}
        invoice["payments"]["data"].append(
            paid | {"payment": {"type": "payment_intent", "payment_intent": intent}}
        )
        if invoice["parent"]:
            self.subscriptions[invoice["parent"]["subscription_details"]["subscription"]]["status"] = "active"

    def end(self, subscription: dict[str, Any]) -> None:
        """It was canceled, and its month is over; or nobody paid for too long."""
        subscription["status"] = "canceled"


def _is_of(invoice: dict[str, Any], subscription: str | None) -> bool:
    if subscription is None:
        return True
    return bool(
        invoice["parent"] and invoice["parent"]["subscription_details"]["subscription"] == subscription
    )


def wrong(message: str, **more: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}
