"""Saved cards, and invoices that are charged to them while nobody is there, as the part of the stand-in for Stripe that top-ups use."""

import secrets
import time
from typing import TYPE_CHECKING, Any

from tests.support.stripe_billing import wrong

if TYPE_CHECKING:
    from tests.support.stripe_server import FakeStripe

ADDRESS = {
    "country": "DE",
    "postal_code": "10115",
    "city": "Berlin",
    "line1": "",
    "line2": None,
    "state": None,
}


class Cards:
    """What `stripe` knows of saved cards. Its methods are what people and banks do there."""

    def __init__(self, stripe: "FakeStripe") -> None:
        self.stripe = stripe
        self.intents: dict[str, dict[str, Any]] = {}
        self.addresses: dict[str, dict[str, str]] = {}  # by customer
        self.refusal: dict[str, Any] | None = None  # what the bank says to each charge
        self.is_slow = False  # it takes an invoice, and says nothing about the money yet
        self.tax = 0  # on each invoice

    # --- Its API

    def new_page(self, session: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        """A checkout page on which nothing is bought."""
        assert asked["allowed_payment_method_types[0]"] == "card"
        return session | {"setup_intent": None, "amount_total": None, "amount_subtotal": None}

    def expanded(self, session: dict[str, Any]) -> dict[str, Any]:
        intent = self.intents.get(session["setup_intent"])
        return session | {"setup_intent": intent}

    def post(self, path: str, asked: dict[str, str]) -> dict[str, Any] | None:
        """The answer to a request about invoices or customers; None for others."""
        match path.removeprefix("/v1/").split("/"):
            case ["invoices"]:
                return self._new_invoice(asked)
            case ["invoiceitems"]:
                return self._new_item(asked)
            case ["customers", name]:
                self.addresses[name] = {
                    key[8:-1]: value for key, value in asked.items() if key.startswith("address[")
                }
                return {"id": name, "object": "customer", "livemode": self.stripe.livemode}
            case ["payment_methods", name, "detach"]:
                return self._detach(name)
            case ["invoices", name, "finalize"]:
                return self._finalize(self.stripe.billing.invoices[name])
            case ["invoices", name, "pay"]:
                return self._pay(self.stripe.billing.invoices[name], asked)
            case ["invoices", name, "void"]:
                return self._void(self.stripe.billing.invoices[name])
        return None

    def _detach(self, name: str) -> dict[str, Any]:
        [intent] = [one for one in self.intents.values() if one["payment_method"]["id"] == name]
        intent["_customer"] = None
        return dict(intent["payment_method"])

    def _new_invoice(self, asked: dict[str, str]) -> dict[str, Any]:
        if asked["customer"] not in self.stripe.customers:
            return wrong(f"No such customer: '{asked['customer']}'", param="customer")
        number = f"in_{secrets.token_hex(12)}"
        metadata = {key[9:-1]: value for key, value in asked.items() if key.startswith("metadata[")}
        invoice: dict[str, Any] = {
            "id": number,
            "object": "invoice",
            "livemode": self.stripe.livemode,
            "status": "draft",
            "auto_advance": asked["auto_advance"] == "true",
            "customer": asked["customer"],
            "currency": asked["currency"],
            "created": int(time.time()),
            "metadata": metadata,
            "subtotal": 0,
            "total": 0,
            "total_taxes": [],
            "total_discount_amounts": [],
            "amount_paid": 0,
            "hosted_invoice_url": None,
            "payments": {"object": "list", "data": []},
            "parent": None,
        }
        self.stripe.billing.invoices[number] = invoice
        return invoice

    def _new_item(self, asked: dict[str, str]) -> dict[str, Any]:
        invoice = self.stripe.billing.invoices[asked["invoice"]]
        if invoice["status"] != "draft" or asked["currency"] != invoice["currency"]:
            return wrong("You can only add items to draft invoices of the same currency")
        invoice["subtotal"] += int(asked["amount"])
        invoice["total"] = invoice["subtotal"] + self.tax
        invoice["total_taxes"] = [
            {"amount": self.tax, "tax_behavior": "exclusive", "type": "tax_rate_details"}
        ]
        return {"id": f"ii_{secrets.token_hex(8)}", "object": "invoiceitem", "amount": int(asked["amount"])}

    def _finalize(self, invoice: dict[str, Any]) -> dict[str, Any]:
        if invoice["status"] != "draft":
            return wrong("This invoice is already finalized")
        invoice["status"] = "open"
        invoice["hosted_invoice_url"] = f"https://invoice.stripe.com/i/{invoice['id']}"
        return invoice

    def _pay(self, invoice: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        if invoice["status"] != "open":
            return wrong(f"Invoice is {invoice['status']}")
        owners = {one["payment_method"]["id"]: one["_customer"] for one in self.intents.values()}
        if owners.get(asked["payment_method"]) != invoice["customer"]:
            return wrong("The payment method does not belong to the customer", param="payment_method")
        if self.refusal:
            return self.refusal
        if not self.is_slow:
            self.stripe.billing.pay(invoice)
        return invoice

    def _void(self, invoice: dict[str, Any]) -> dict[str, Any]:
        if invoice["status"] != "open":
            return wrong(f"Invoice is {invoice['status']}")
        invoice["status"] = "void"
        return invoice

    # --- What happens there

    def save(self, session: dict[str, Any]) -> dict[str, Any]:
        """The user enters a card. Its session."""
        self.stripe.complete(session)
        card = {
            "id": f"pm_{secrets.token_hex(12)}",
            "object": "payment_method",
            "type": "card",
            "card": {"brand": "visa", "last4": "4242"},
            "billing_details": {"address": ADDRESS},
        }
        intent = {
            "id": f"seti_{secrets.token_hex(12)}",
            "object": "setup_intent",
            "livemode": self.stripe.livemode,
            "status": "succeeded",
            "payment_method": card,
            "_customer": session["customer"],
        }
        self.intents[str(intent["id"])] = intent
        session["setup_intent"] = intent["id"]
        return session

    def decline(self, code: str = "card_declined") -> None:
        """The bank says no from now on."""
        self.refusal = {
            "error": {"message": "Your card was declined.", "type": "card_error", "code": code},
            "_status": 402,
        }

    @property
    def drafts_and_open(self) -> list[dict[str, Any]]:
        """Invoices that somebody could still pay."""
        return [one for one in self.stripe.billing.invoices.values() if one["status"] in ("draft", "open")]
