"""The part of Stripe that top-ups use, over HTTP: it keeps what it is told and signs webhooks as Stripe does.

The fields are those of API version 2026-10-28.endive, as far as anybody here reads them.
"""

import hmac
import json
import re
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.http_server import Handler, LocalServer
from tests.support.stripe_billing import Billing
from tests.support.stripe_cards import Cards
from tests.support.stripe_types import check_answer, check_request

KEY, SECRET = "sk_test_of_the_tests", "whsec_of_the_tests"
VERSION = "2026-10-28.endive"
FEE, DISPUTE_FEE = 103, 1500  # of each payment and each dispute, in cents


class FakeStripe(LocalServer):
    """`with FakeStripe() as stripe:` listens at `stripe.url`. Its methods are what people and banks do there."""

    def __init__(self) -> None:
        self.reset()
        stripe = self

        class StripeHandler(Handler):
            def do_GET(self) -> None:
                self.answer(*stripe.get(self.path))

            def do_POST(self) -> None:
                self.answer(*stripe.post(self.path, self.body().decode(), self.headers["Idempotency-Key"]))

            def answer(self, status: int, thing: dict[str, Any]) -> None:
                if self.headers["Authorization"] != f"Bearer {KEY}":
                    status, thing = 401, problem("Invalid API Key provided")
                if stripe.is_down:
                    status, thing = 503, problem("Service unavailable", "api_error")
                if status == 200 and not stripe.is_newer:
                    check_answer(thing)
                self.reply(status, json.dumps(thing).encode(), Stripe_Should_Retry="false")

        super().__init__(StripeHandler)

    def reset(self) -> None:
        """Nothing has happened yet."""
        self.sessions: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.transactions: dict[str, dict[str, Any]] = {}
        self.answers: dict[
            str, tuple[str, int, str]
        ] = {}  # by Idempotency-Key: the body it came with, and the answer
        self.billing = Billing(self)
        self.cards = Cards(self)
        self.asked: list[str] = []
        self.customers: dict[str, str | None] = {}  # their addresses
        self.is_down = False
        self.is_newer = False  # it may say what the SDK does not know yet
        self.livemode = False
        self.is_restricted = False  # our key may not read the balance
        self.page = 100  # how many of a list it sends at once
        # The currency of our account there, unless a payment's own; and what one smallest unit of a payment is worth in it.
        self.account_currency, self.rate = "", 1.0

    # --- Its API

    def post(self, path: str, body: str, key: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"POST {path}")
        makers = {
            "/v1/checkout/sessions": self._new_session,
            "/v1/billing_portal/sessions": self._new_portal,
            "/v1/refunds": self._new_refund,
        }
        if path.endswith("/expire"):
            makers[path] = lambda _asked: self._expire(path.split("/")[-2])
        kind, _, name = path.removeprefix("/v1/").partition("/")
        if kind == "subscriptions" and name in self.billing.subscriptions:
            makers[path] = lambda asked: self.billing.change(name, asked)
        if kind in ("invoices", "invoiceitems", "customers", "payment_methods"):
            makers[path] = lambda asked: self.cards.post(path, asked) or problem(f"Unknown: {path}")
        if path not in makers:
            return 404, problem(f"Unrecognized request URL (POST: {path})")
        check_request(path, body)
        if key in self.answers:
            first, status, answer = self.answers[key]
            if first != body:
                return 400, problem("Keys for idempotent requests can only be used with the same parameters")
            return status, json.loads(answer)
        made = makers[path](dict(parse_qsl(body, keep_blank_values=True)))
        status = made.get("_status", 400) if "error" in made else 200
        if key and status != 400:
            self.answers[key] = (body, status, json.dumps(made))
        return status, made

    def _expire(self, name: str) -> dict[str, Any]:
        session = self.sessions[name]
        if session["status"] != "open":
            return problem('Only Checkout Sessions with a status in ["open"] can be expired')
        session["status"] = "expired"
        return session

    def _new_portal(self, asked: dict[str, str]) -> dict[str, Any]:
        if asked["customer"] not in self.customers:
            return problem(f"No such customer: '{asked['customer']}'", param="customer")
        name = f"bps_{secrets.token_hex(12)}"
        return {
            "id": name,
            "object": "billing_portal.session",
            "customer": asked["customer"],
            "livemode": self.livemode,
            "return_url": asked["return_url"],
            "url": f"https://billing.stripe.com/p/session/{name}",
        }

    def _new_refund(self, asked: dict[str, str]) -> dict[str, Any]:
        charge = self.intents[asked["payment_intent"]]["latest_charge"]
        amount = int(asked["amount"])
        if amount > charge["amount"] - charge["amount_refunded"]:
            return problem("Refund amount is greater than unrefunded amount on charge")
        return self.refund_charge(charge, amount)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"GET {path}")
        url = urlsplit(path)
        query = dict(parse_qsl(url.query))
        kind, _, name = url.path.removeprefix("/v1/").rpartition("/")
        if kind == "checkout/sessions" and name in self.sessions:
            session = dict(self.sessions[name])
            expanded = query.get("expand[0]", "")
            if expanded.startswith("setup_intent"):
                return 200, self.cards.expanded(session)
            if "balance_transaction" in expanded and self.is_restricted:
                return 403, NOT_PERMITTED
            if "invoice" in query.values() and session["invoice"]:
                url = f"https://invoice.stripe.com/i/{session['invoice']}"
                session["invoice"] = {"id": session["invoice"], "hosted_invoice_url": url}
            if expanded.startswith("payment_intent") and session["payment_intent"]:
                session["payment_intent"] = dict(self.intents[session["payment_intent"]])
                charge = session["payment_intent"]["latest_charge"]
                if "balance_transaction" in expanded:
                    session["payment_intent"]["latest_charge"] = self._with_moves(charge)
            return 200, session
        if kind == "payment_intents" and name in self.intents:
            intent = dict(self.intents[name])
            expanded = query.get("expand[0]", "")
            if "balance_transaction" in expanded and self.is_restricted:
                return 403, NOT_PERMITTED
            if "balance_transaction" in expanded:
                return 200, intent | {"latest_charge": self._with_moves(intent["latest_charge"])}
            if expanded:
                return 200, intent
            return 200, {**intent, "latest_charge": intent["latest_charge"]["id"]}
        if found := self.billing.get(kind, name, query):
            return 200, found
        if url.path == "/v1/checkout/sessions":
            return 200, self._page_of_sessions(query)
        if url.path == "/v1/balance_transactions":
            return (403, NOT_PERMITTED) if self.is_restricted else (200, self._page_of_transactions(query))
        if url.path == "/v1/refunds":
            found = [one for one in self.refunds.values() if one["payment_intent"] == query["payment_intent"]]
            if "expand[0]" in query:
                found = [self._with_moves(one) for one in found]
            return 200, {"object": "list", "data": found, "has_more": False, "url": "/v1/refunds"}
        if url.path == "/v1/disputes":
            found = [
                one for one in self.disputes.values() if one["payment_intent"] == query["payment_intent"]
            ]
            return 200, {"object": "list", "data": found, "has_more": False, "url": "/v1/disputes"}
        return 404, problem(f"No such object: {name!r}")

    def _with_moves(self, thing: dict[str, Any]) -> dict[str, Any]:
        """A charge or refund with its balance transactions in place of their ids."""
        names = [name for name in ("balance_transaction", "failure_balance_transaction") if name in thing]
        return thing | {name: self.transactions.get(thing[name]) for name in names}

    def _page_of_transactions(self, query: dict[str, str]) -> dict[str, Any]:
        """Newest first, each with what it is about."""
        things = [intent["latest_charge"] for intent in self.intents.values()]
        about = {one["id"]: one for one in (*things, *self.refunds.values(), *self.disputes.values())}
        since = int(query.get("created[gte]", 0))
        found = [move for move in reversed(self.transactions.values()) if move["created"] >= since]
        if last := query.get("starting_after"):
            found = found[[move["id"] for move in found].index(last) + 1 :]
        data = [move | {"source": about.get(move["source"], move["source"])} for move in found[: self.page]]
        url = "/v1/balance_transactions"
        return {"object": "list", "data": data, "has_more": len(found) > self.page, "url": url}

    def _page_of_sessions(self, query: dict[str, str]) -> dict[str, Any]:
        """Newest first, as Stripe lists them."""
        found = [
            session
            for session in reversed(self.sessions.values())
            if query.get("payment_intent") in (None, session["payment_intent"])
            and query.get("status") in (None, session["status"])
            and session["created"] >= int(query.get("created[gte]", 0))
        ]
        if last := query.get("starting_after"):
            found = found[[session["id"] for session in found].index(last) + 1 :]
        limit = min(int(query.get("limit", 10)), self.page)
        url = "/v1/checkout/sessions"
        return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": url}

    def _new_session(self, asked: dict[str, str]) -> dict[str, Any]:
        if asked.get("customer", "") not in {"", *self.customers}:
            return problem(f"No such customer: '{asked['customer']}'", param="customer")
        name = f"cs_test_{secrets.token_hex(12)}"
        price, is_card = "line_items[0][price_data]", asked["mode"] == "setup"
        total = 0 if is_card else int(asked[f"{price}[unit_amount]"]) * int(asked["line_items[0][quantity]"])
        session = {
            "id": name,
            "object": "checkout.session",
            "livemode": self.livemode,
            "mode": asked["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "client_reference_id": asked["client_reference_id"],
            "customer_email": asked.get("customer_email"),
            "customer": asked.get("customer"),
            "customer_details": None,
            "_receipt_email": asked.get("payment_intent_data[receipt_email]"),
            "currency": asked.get(f"{price}[currency]"),
            "amount_subtotal": total,
            "amount_total": total,
            "total_details": {"amount_tax": 0, "amount_discount": 0, "amount_shipping": 0},
            "automatic_tax": {"enabled": asked.get("automatic_tax[enabled]") == "true"},
            "allow_promotion_codes": asked.get("allow_promotion_codes") == "true",
            "invoice_creation": {"enabled": asked.get("invoice_creation[enabled]") == "true"},
            "invoice": None,
            "metadata": _metadata(asked, "metadata"),
            "created": int(time.time()),
            "payment_intent": None,
            "subscription": None,
            "success_url": asked["success_url"],
            "cancel_url": asked["cancel_url"],
            "url": f"https://checkout.stripe.com/c/pay/{name}",
        }
        if is_card:
            session = self.cards.new_page(session, asked)
        self.sessions[name] = session
        session["_metadata"] = _metadata(asked, "payment_intent_data[metadata]")
        session["_subscription_metadata"] = _metadata(asked, "subscription_data[metadata]")
        return session

    # --- What happens there

    def session_of(self, payment: Any) -> dict[str, Any]:
        (session,) = (one for one in self.sessions.values() if one["client_reference_id"] == str(payment.pk))
        return session

    def pay(
        self,
        payment: Any,
        amount: int | None = None,
        currency: str | None = None,
        *,
        tax: int = 0,
        discount: int = 0,
        later: bool = False,
    ) -> None:
        """Somebody pays `amount` (what is asked by default), with so much tax on top, and so much off by a promotion code.

        `later` for methods whose money takes days.
        """
        session = self.session_of(payment)
        if amount is not None:
            session["amount_subtotal"] = amount
        session["total_details"] |= {"amount_tax": tax, "amount_discount": discount}
        session["amount_total"] = session["amount_subtotal"] + tax - discount
        session["currency"] = currency or session["currency"]
        self.complete(session)
        if session["invoice_creation"]["enabled"]:
            session["invoice"] = f"in_{secrets.token_hex(12)}"
        if session["amount_total"] == 0:
            session["payment_status"] = "no_payment_required"
            return
        session["payment_intent"] = self.charge(
            session["amount_total"], session["currency"], session["_metadata"], later=later
        )
        session["payment_status"] = "unpaid" if later else "paid"

    def complete(self, session: dict[str, Any]) -> None:
        """The buyer has filled in a checkout page."""
        if session["customer"] is None:
            session["customer"] = f"cus_{secrets.token_hex(8)}"
            self.customers[session["customer"]] = session["customer_email"]
        session["customer_details"] = {"email": self.customers[session["customer"]]}
        session["status"] = "complete"

    def charge(self, amount: int, currency: str, metadata: dict[str, str], *, later: bool = False) -> str:
        """Charge somebody's card. The id of the payment intent."""
        charge = {
            "id": f"ch_{secrets.token_hex(12)}",
            "object": "charge",
            "amount": amount,
            "currency": currency,
            "amount_refunded": 0,
            "receipt_url": "https://pay.stripe.com/receipts/of-the-tests",
        }
        charge["balance_transaction"] = None
        if not later:
            self.book(charge)
        intent = {
            "id": f"pi_{secrets.token_hex(12)}",
            "object": "payment_intent",
            "livemode": self.livemode,
            "status": "processing" if later else "succeeded",
            "metadata": metadata,
            "latest_charge": charge,
        }
        charge["payment_intent"] = intent["id"]
        self.intents[str(intent["id"])] = intent
        return str(intent["id"])

    def money_arrives(self, payment: Any) -> None:
        self.session_of(payment)["payment_status"] = "paid"
        self.book(self.charge_of(payment))

    def book(self, charge: dict[str, Any]) -> None:
        """The money of a charge is there."""
        arrived = self.balance_transaction("charge", charge["id"], charge["amount"], charge["currency"], FEE)
        charge["balance_transaction"] = arrived["id"]

    def money_fails(self, payment: Any) -> None:
        self.intents[self.session_of(payment)["payment_intent"]]["status"] = "requires_payment_method"

    def expire(self, payment: Any) -> None:
        """Nobody paid within a day."""
        self.session_of(payment)["status"] = "expired"

    def charge_of(self, payment: Any) -> dict[str, Any]:
        intent = payment.intent if payment.session is None else self.session_of(payment)["payment_intent"]
        return self.intents[intent]["latest_charge"]

    def refund(self, payment: Any, amount: int | None = None) -> dict[str, Any]:
        """Staff give back `amount`, all by default."""
        charge = self.charge_of(payment)
        return self.refund_charge(charge, charge["amount"] if amount is None else amount)

    def refund_charge(self, charge: dict[str, Any], amount: int) -> dict[str, Any]:
        charge["amount_refunded"] += amount
        refund: dict[str, Any] = {
            "id": f"re_{secrets.token_hex(12)}",
            "object": "refund",
            "amount": amount,
            "currency": charge["currency"],
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "status": "succeeded",
        }
        move = self.balance_transaction("refund", refund["id"], -amount, charge["currency"])
        refund["balance_transaction"] = move["id"]
        self.refunds[refund["id"]] = refund
        return refund

    def fail_refund(self, refund: dict[str, Any]) -> None:
        """The bank of the customer sends the money back."""
        refund["status"] = "failed"
        move = self.balance_transaction("refund_failure", refund["id"], refund["amount"], refund["currency"])
        refund["failure_balance_transaction"] = move["id"]
        charge = self.intents[refund["payment_intent"]]["latest_charge"]
        charge["amount_refunded"] -= refund["amount"]

    def dispute(
        self,
        payment: Any,
        amount: int | None = None,
        status: str = "needs_response",
        currency: str | None = None,
    ) -> dict[str, Any]:
        charge = self.charge_of(payment)
        dispute: dict[str, Any] = {
            "id": f"dp_{secrets.token_hex(12)}",
            "object": "dispute",
            "amount": charge["amount"] if amount is None else amount,
            "currency": currency or charge["currency"],
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "status": status,
            "balance_transactions": [],
        }
        if not status.startswith("warning_"):
            self.withdraw(dispute)
        if status == "won":
            self.reinstate(dispute)
        self.disputes[dispute["id"]] = dispute
        return dispute

    def win(self, dispute: dict[str, Any]) -> None:
        """The bank decides for us, and the money comes back."""
        dispute["status"] = "won"
        self.reinstate(dispute)

    def withdraw(self, dispute: dict[str, Any]) -> None:
        move = self.balance_transaction(
            "dispute", dispute["id"], -dispute["amount"], dispute["currency"], DISPUTE_FEE
        )
        dispute["balance_transactions"].append(move)

    def reinstate(self, dispute: dict[str, Any]) -> None:
        move = self.balance_transaction(
            "dispute_reversal", dispute["id"], dispute["amount"], dispute["currency"]
        )
        dispute["balance_transactions"].append(move)

    def balance_transaction(
        self, category: str, source: str, amount: int, currency: str, fee: int = 0
    ) -> dict[str, Any]:
        """What becomes of so much money in our account there, in its own currency."""
        own = self.account_currency or currency
        settled = amount if currency == own else round(amount * self.rate)
        move = {
            "id": f"txn_{secrets.token_hex(12)}",
            "object": "balance_transaction",
            "reporting_category": category,
            "source": source,
            "amount": settled,
            "fee": fee,
            "net": settled - fee,
            "currency": own,
            "created": int(time.time()),
        }
        self.transactions[move["id"]] = move
        return move

    # --- What it tells

    def event(self, kind: str, thing: dict[str, Any], **more: Any) -> bytes:
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "api_version": VERSION,
            "created": int(time.time()),
            "livemode": self.livemode,
            "type": kind,
            "data": {"object": thing},
            **more,
        }
        if not self.is_newer:
            check_answer(event)
        return json.dumps(event).encode()


def _metadata(asked: dict[str, str], name: str) -> dict[str, str]:
    matches = {key: re.fullmatch(re.escape(name) + r"\[(.*)\]", key) for key in asked}
    return {match[1]: asked[key] for key, match in matches.items() if match}


def sign(body: bytes, at: float | None = None, secret: str = SECRET, scheme: str = "v1") -> str:
    """The Stripe-Signature header of a body."""
    sent_at = int(time.time() if at is None else at)
    signature = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, "sha256").hexdigest()
    return f"t={sent_at},{scheme}={signature}"


def problem(message: str, kind: str = "invalid_request_error", **more: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, **more}}


NOT_PERMITTED = problem("The provided key does not have the required permissions")
