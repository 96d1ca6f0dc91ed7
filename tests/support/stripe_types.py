"""Whether what the stand-in for Stripe takes and answers is what the pinned SDK declares: names, types and known values."""

import builtins
import sys
import types
import typing
from functools import cache
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

import stripe
from stripe.params import (
    CustomerUpdateParams,
    InvoiceCreateParams,
    InvoiceFinalizeInvoiceParams,
    InvoiceItemCreateParams,
    InvoicePayParams,
    InvoiceVoidInvoiceParams,
    PaymentMethodDetachParams,
    RefundCreateParams,
    SubscriptionUpdateParams,
    billing_portal,
    checkout,
)

REQUESTS: dict[str, type] = {
    "/expire": checkout.SessionExpireParams,
    "/detach": PaymentMethodDetachParams,
    "/finalize": InvoiceFinalizeInvoiceParams,
    "/pay": InvoicePayParams,
    "/void": InvoiceVoidInvoiceParams,
    "/v1/subscriptions/": SubscriptionUpdateParams,
    "/v1/customers/": CustomerUpdateParams,
    "/v1/invoices": InvoiceCreateParams,
    "/v1/invoiceitems": InvoiceItemCreateParams,
    "/v1/checkout/sessions": checkout.SessionCreateParams,
    "/v1/billing_portal/sessions": billing_portal.SessionCreateParams,
    "/v1/refunds": RefundCreateParams,
}
OBJECTS: dict[str, type] = {
    "balance_transaction": stripe.BalanceTransaction,
    "billing_portal.session": stripe.billing_portal.Session,
    "charge": stripe.Charge,
    "customer": stripe.Customer,
    "checkout.session": stripe.checkout.Session,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoiceitem": stripe.InvoiceItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "subscription": stripe.Subscription,
    "refund": stripe.Refund,
}


def check_request(path: str, body: str) -> None:
    """Raise ValueError for a request that the SDK's types do not allow."""
    # Those with an id inside are known by their beginning or end.
    known = next(one for one in REQUESTS if path == one or _is_like(path, one))
    _check(_nested(body), REQUESTS[known], known)


def _is_like(path: str, known: str) -> bool:
    return path.startswith(known) if known.endswith("/") else known.count("/") == 1 and path.endswith(known)


def check_answer(thing: dict[str, Any]) -> None:
    """Raise ValueError for an object, or a list of them, that the SDK does not declare. Names with a leading _ are private."""
    if thing["object"] == "list":
        for one in thing["data"]:
            check_answer(one)
    else:
        _check(thing, OBJECTS[thing["object"]], thing["object"])


def _nested(body: str) -> dict[str, Any]:
    """a[b]=1&a[c][0]=2 → {"a": {"b": "1", "c": ["2"]}}"""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        *path, last = name.replace("]", "").split("[")
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return {name: _with_lists(value) for name, value in found.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    return list(inner.values()) if all(name.isdecimal() for name in inner) else inner


def _check(value: Any, hint: Any, where: str) -> None:
    """Raise ValueError if a JSON value, or one of a form, does not fit a type."""
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        _check_any(value, get_args(hint), where)
    elif origin in (typing.NotRequired, typing.Required):
        _check(value, get_args(hint)[0], where)
    elif origin is typing.Literal:
        _must(str(value) in map(str, get_args(hint)), value, hint, where)
    elif origin is list:
        _must(isinstance(value, list), value, hint, where)
        for number, one in enumerate(value):
            _check(one, get_args(hint)[0], f"{where}[{number}]")
    elif origin is stripe.ListObject:
        for number, one in enumerate(value["data"]):
            _check(one, get_args(hint)[0], f"{where}[{number}]")
    elif hint in (str, int, bool, type(None), float):
        is_of_form = where.startswith("/") and hint in (int, bool)
        fits = _is_of_form(value, hint) if is_of_form else type(value) is hint
        _must(fits, value, hint, where)
    elif isinstance(hint, type) and getattr(hint, "__annotations__", None):
        _must(isinstance(value, dict), value, hint, where)
        known = _fields(hint)
        for name, one in value.items():
            if not name.startswith("_"):
                _must(name in known, name, hint, where)
                _check(one, known[name], f"{where}.{name}")


def _check_any(value: Any, hints: tuple[Any, ...], where: str) -> None:
    problems = []
    if any(get_origin(hint) is typing.Literal for hint in hints):
        # The SDK adds `str` to the known values, for those that are yet to come.
        hints = tuple(hint for hint in hints if hint is not str)
    for hint in hints:
        try:
            return _check(value, hint, where)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError(max(problems, key=lambda problem: len(problem.partition(":")[0])))


def _is_of_form(value: Any, hint: type[int]) -> bool:
    return isinstance(value, str) and (value in ("true", "false") if hint is bool else value.isdecimal())


def _must(fits: bool, value: Any, hint: Any, where: str) -> None:
    if not fits:
        raise ValueError(f"{where}: {value!r} is not of {getattr(hint, '__name__', hint)}")


class _Names(dict[str, Any]):
    """What annotations of the SDK name: many of it are imported there for type checkers only."""

    def __missing__(self, name: str) -> Any:
        # Some are renamed there, such as Card to CardResource, beside a class of that name inside.
        return getattr(stripe, name.removesuffix("Resource"), Any)


@cache
def _fields(kind: type) -> dict[str, Any]:
    """The declared fields of a class of the SDK."""
    fields: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        # The type of an option of each request, which is not sent.
        names = _Names(
            {**vars(builtins), **vars(typing), **vars(sys.modules[base.__module__]), "StripeContext": str}
        )
        for name, hint in getattr(base, "__annotations__", {}).items():
            holder = type("Holder", (), {"__annotations__": {"it": hint}})
            fields[name] = typing.get_type_hints(holder, {}, names, include_extras=True)["it"]
    return fields
