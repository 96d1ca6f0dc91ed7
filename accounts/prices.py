"""Prices as customers see them: in their currency where something is sold in it, and as their locale writes it.

What is kept and what staff see is `models.money`. Babel's data, from Unicode's CLDR, is read when the first price is shown.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.utils import translation
from django.utils.translation.trans_real import parse_accept_lang_header

from accounts.models import User, in_main_unit

if TYPE_CHECKING:
    from babel import Locale


def shown(amount: int, currency: str, locale: "Locale") -> str:
    """1250, "usd" → "$12.50" for en-US and "12,50 $" for de-DE."""
    from babel.numbers import format_currency

    text = format_currency(in_main_unit(amount, currency), currency.upper(), locale=locale)
    # CHF 12.50. Babel leaves out the rule of https://www.unicode.org/reports/tr35/tr35-numbers.html#Currencies
    return re.sub(r"(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])", "\xa0", text)


def locale_of(request: HttpRequest) -> "Locale":
    """What the browser prefers, with a region; or that of the page's language if it says nothing that is known."""
    from babel import Locale, UnknownLocaleError

    for name, _weight in parse_accept_lang_header(request.headers.get("Accept-Language", "").lower()):
        try:
            return _with_region(Locale.parse(name, sep="-"))
        except (UnknownLocaleError, ValueError):
            continue
    return _with_region(Locale.parse(translation.get_language() or "en", sep="-"))


def _with_region(locale: "Locale") -> "Locale":
    """de → de_DE, pt → pt_BR: where most who write it live."""
    from babel import Locale
    from babel.core import get_global, parse_locale

    if locale.territory:
        return locale
    likely = get_global("likely_subtags").get(str(locale))
    return Locale(locale.language, parse_locale(likely)[1], script=locale.script) if likely else locale


def currency_for(user: User, request: HttpRequest, sold: Iterable[str]) -> str:
    """In which of the currencies in which something is sold a user is shown prices; the first one by default, and "" if none is.

    What they have chosen comes first, then what they paid with last, since Stripe holds a customer to one currency while a plan
    runs, and then the money of the region that their browser names.
    """
    from babel.numbers import get_territory_currencies

    offered = list(dict.fromkeys(sold))
    if len(offered) < 2:
        return "".join(offered)
    paid = user.payments.exclude(paid_at=None).values_list("currency", flat=True).first()
    region = locale_of(request).territory
    local = [code.lower() for code in get_territory_currencies(region)] if region else []
    wanted = [request.session.get("currency"), paid, *local]
    return next((code for code in wanted if code in offered), offered[0])
