"""`{% price pack.price pack.currency %}`: a price as the visitor's locale writes it."""

from typing import Any

from django import template

from accounts import prices

register = template.Library()


@register.simple_tag(takes_context=True)
def price(context: dict[str, Any], amount: int, currency: str) -> str:
    """An amount in the smallest unit of its currency."""
    return prices.shown(amount, currency, prices.locale_of(context["request"]))
