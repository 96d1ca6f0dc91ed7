"""`/credits/low/`: the form in which one says what is to happen when one's credits run low, and the way back from Stripe."""

import logging
from contextlib import suppress
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from accounts import low_balance, plans, prices, stripe_gateway, stripe_top_ups
from accounts.models import CreditPack, LowBalance, User
from accounts.requests import UserRequest

log = logging.getLogger(__name__)

Status = LowBalance.Status
MOST = 10**9 - 1  # credits


class LowBalanceForm(forms.Form):
    """`do` is off, email or buy."""

    do = forms.ChoiceField(choices=[(one, one) for one in (Status.OFF, Status.EMAIL, Status.BUY)])
    below = forms.IntegerField(
        min_value=1,
        max_value=MOST,
        error_messages={"required": gettext_lazy("Below how many credits?")},
    )
    pack = forms.CharField(required=False)
    a_month = forms.IntegerField(min_value=1, max_value=30, required=False)

    def __init__(self, packs: list[CreditPack], *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.packs = packs  # that may be chosen

    def clean_pack(self) -> CreditPack | None:
        shown = self.cleaned_data["pack"]
        if not shown or not self.packs or self.cleaned_data.get("do") != Status.BUY:
            return None
        for pack in self.packs:
            if pack.as_shown == shown:
                return pack
        raise forms.ValidationError(
            _("This pack is no longer available, or has changed. Choose another one.")
        )

    def clean(self) -> None:
        values = self.cleaned_data
        pack = values.get("pack")
        if values.get("do") != Status.BUY or self.errors:
            return
        if not self.packs:
            self.add_error("do", _("Credits cannot be bought automatically here."))
        elif pack is None:
            self.add_error("pack", _("Choose a pack."))
        elif values["below"] > pack.credits:
            # Otherwise one purchase would not be enough, and the next would follow at once.
            self.add_error("below", _("Not more than the pack has: %(n)d credits.") % {"n": pack.credits})
        if not values.get("a_month"):
            self.add_error("a_month", _("How many times a month, at most?"))


@require_http_methods(["GET", "HEAD", "POST"])
def low(request: UserRequest) -> HttpResponse:
    """`/credits/low/`: what is to happen when one's balance is low."""
    before = LowBalance.objects.select_related("pack").filter(user=request.user).first()
    packs = _packs(request.user) if can_buy() else []
    if request.method != "POST":
        return _page(request, LowBalanceForm(packs, initial=_initial(before)), before)
    if request.POST.get("do") == Status.OFF:
        low_balance.switch_off(request.user)
        if before and before.card:
            with suppress(stripe_gateway.Unreachable):  # we do not know it any more
                stripe_top_ups.forget_card(before.card)
        messages.success(request, _("Nothing happens any more when your credits run low."))
        return redirect("accounts:credits")
    form = LowBalanceForm(packs, request.POST)
    if not form.is_valid():
        return _page(request, form, before, status=422)
    wanted = form.cleaned_data
    if wanted["do"] == Status.EMAIL:
        low_balance.email(request.user, wanted["below"])
        messages.success(request, _("We will email you when your credits run low."))
        return redirect("accounts:credits")
    after = low_balance.buy(request.user, wanted["below"], wanted["pack"], wanted["a_month"])
    if after.status == Status.BUY:
        return _is_on(request)
    try:
        return redirect(stripe_top_ups.card_url(after, before.session if before else None))
    except stripe_gateway.Unreachable:
        log.exception("No page to save a card for user %s", request.user.pk)
        form.add_error(
            None, _("The page for your card is unavailable at the moment. Please try again in a minute.")
        )
        return _page(request, form, after, status=503)


@require_safe
def card_saved(request: UserRequest) -> HttpResponse:
    """`/credits/card/`: the return URL of the page where a card is saved, whether the user did so or not."""
    watch = LowBalance.objects.filter(user=request.user).first()
    try:
        if watch and low_balance.take_card(watch, stripe_top_ups.card_of):
            return _is_on(request)
    except (stripe_gateway.Unreachable, stripe_gateway.NotOurs):
        log.exception("The card of user %s could not be looked up", request.user.pk)
    messages.info(request, _("No card was saved yet, so no credits are bought automatically."))
    return redirect("accounts:low")


def can_buy() -> bool:
    """Whether this site takes payments without its customers there."""
    return settings.TOP_UPS and stripe_gateway.is_configured()


def _packs(user: User) -> list[CreditPack]:
    """The packs that can be bought automatically. Stripe takes no other currency from a customer than that of their plan."""
    packs = CreditPack.objects.filter(is_sold=True)
    for subscription in plans.of_user(user):
        packs = packs.filter(currency=subscription.currency)
    return list(packs)


def _is_on(request: UserRequest) -> HttpResponse:
    messages.success(request, _("Credits are bought with your saved card when they run low."))
    return redirect("accounts:credits")


def _initial(before: LowBalance | None) -> dict[str, object]:
    if before is None:
        return {"do": Status.EMAIL, "below": 5 * settings.VIDEO_CREDITS or 50, "a_month": 3}
    do = before.status if before.status in (Status.OFF, Status.EMAIL) else Status.BUY
    pack = before.pack and before.pack.as_shown
    return {"do": do, "below": before.below, "pack": pack, "a_month": before.a_month}


def _page(
    request: UserRequest, form: LowBalanceForm, before: LowBalance | None, status: int = 200
) -> HttpResponse:
    currency = prices.currency_for(request.user, request, [pack.currency for pack in form.packs])
    packs = sorted(form.packs, key=lambda pack: pack.currency != currency)
    context = {"form": form, "watch": before, "packs": packs, "has_taxes": settings.STRIPE_TAX}
    return render(request, "accounts/low_balance.html", context, status=status)
