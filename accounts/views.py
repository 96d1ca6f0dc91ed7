"""Account pages: sign-in and credits."""

import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

from allauth.account.forms import LoginForm
from allauth.account.views import LoginView
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import Sum
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import get_resolver, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import (
    packs,
    payments,
    plans,
    prices,
    redeem_codes,
    signup_credits,
    statement,
    stripe_gateway,
    stripe_plans,
)
from accounts.credits import read_balance
from accounts.models import CreditEntry, CreditPack, LowBalance, Payment, Plan, Subscription, User
from accounts.redeem_codes import CodeRefused
from accounts.requests import UserRequest
from accounts.sign_in import no_free_credits_message

log = logging.getLogger(__name__)

ASK_AGAIN = 3  # seconds
DIGITS = 9  # of a daily limit


class SignIn(LoginView):
    """`/accounts/login/`: Google or demo sign-in for everyone, and a password form for staff coming from the admin."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        target = context.get("redirect_field_value") or ""
        is_from_admin = target.startswith(reverse("admin:index"))
        return context | {"asks_for_password": is_from_admin or context["form"].is_bound}

    def form_invalid(self, form: LoginForm) -> HttpResponse:
        if form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
            return get_resolver().resolve_error_handler(429)(self.request)
        return super().form_invalid(form)


sign_in = SignIn.as_view()


@require_safe
def credits(request: UserRequest) -> HttpResponse:
    """`/credits/`: the balance, expiring credits, all transactions, and the ways to get more credits."""
    return _credits(request)


@require_safe
def statement_csv(request: UserRequest) -> StreamingHttpResponse:
    """`/credits/statement.csv`: the filtered statement as a CSV file."""
    lines = statement.as_csv(request.user, request.GET.get("kind", ""))
    name = f"credits-{timezone.localdate():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@require_POST
def redeem(request: UserRequest) -> HttpResponse:
    """`/credits/redeem/`: redeem a code."""
    code = request.POST.get("code", "")[:200]
    if not code.strip():
        return _credits(request, code, _("Enter a code."), status=422)
    try:
        amount = redeem_codes.redeem(request.user, code)
    except CodeRefused as refusal:
        status = 429 if refusal.reason == CodeRefused.TOO_MANY else 422
        return _credits(request, code, _refusal_message(refusal), status=status)
    return _after_adding(request, amount)


@require_POST
def claim(request: UserRequest) -> HttpResponse:
    """`/credits/welcome/`: claim the free credits that were not available at sign-up."""
    outcome = signup_credits.give(request.user, request)
    if outcome == signup_credits.Outcome.GIVEN:
        return _after_adding(request, settings.SIGNUP_CREDITS)
    messages.info(request, no_free_credits_message(outcome))
    return redirect("accounts:credits")


@require_POST
def buy(request: UserRequest) -> HttpResponse:
    """`/credits/buy/`: order a credit pack and redirect to the checkout page."""
    if not settings.TOP_UPS:
        raise Http404
    try:
        pack = CreditPack.objects.filter(is_sold=True, pk=int(request.POST.get("pack", ""))).first()
    except (ValueError, OverflowError):
        pack = None
    if pack is None:
        return _credits(
            request, problem=_("This pack is no longer available. Choose another one."), status=422
        )
    if settings.TEST_CHECKOUT:
        payment = payments.order(request.user, pack, Payment.Processor.TEST)
        return redirect("accounts:test_checkout", payment.pk)
    try:
        before = payments.open_order(request.user, pack)
        if before and (url := stripe_gateway.open_page(before)):
            return redirect(url)
        payment = payments.order(request.user, pack, Payment.Processor.STRIPE)
        return redirect(stripe_gateway.checkout_url(payment))
    except stripe_gateway.Unreachable:
        log.exception("No checkout page for user %s", request.user.pk)
        problem = _("The payment page is unavailable. Nothing was charged. Please try again in a minute.")
        return _credits(request, problem=problem, status=503)


@require_POST
def limit(request: UserRequest) -> HttpResponse:
    """`/credits/limit/`: set how many credits one may spend in a day, or with an empty field no limit."""
    text = request.POST.get("limit", "").strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        problem = _("Enter a whole number of credits, or nothing for no limit.")
        return _credits(request, limit=text[:20], limit_problem=problem, status=422)
    request.user.credits_a_day = int(text) if text else None
    request.user.save(update_fields=["credits_a_day"])
    messages.success(
        request, _("Your daily limit is set.") if text else _("You have no daily limit any more.")
    )
    return redirect("accounts:credits")


@require_POST
def portal(request: UserRequest) -> HttpResponse:
    """`/credits/portal/`: redirect to the page at Stripe where a buyer finds invoices and saved cards."""
    customer = _customer(request.user) if stripe_gateway.is_configured() else None
    if customer is None:
        raise Http404
    try:
        return redirect(stripe_gateway.portal_url(customer))
    except stripe_gateway.Unreachable:
        log.exception("No customer portal for user %s", request.user.pk)
        problem = _("Invoices and cards are unavailable at the moment. Please try again in a minute.")
        return _credits(request, problem=problem, status=503)


@require_safe
def paid(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/credits/paid/<uuid>/`: the return URL of the checkout page, whether the user paid or not.

    Stripe is asked while the payment is open, and at most once every ASK_AGAIN seconds.
    """
    payment = get_object_or_404(request.user.payments, pk=pk, processor=Payment.Processor.STRIPE)
    if payment.status == Payment.Status.CREATED and cache.add(f"asked-about:{pk}", True, ASK_AGAIN):
        try:
            payment = payments.settle(payment, stripe_gateway.truth_of)
        except (stripe_gateway.Unreachable, stripe_gateway.NotOurs):
            log.exception("payment %s could not be settled", payment.pk)
    if payment.status == Payment.Status.PAID:
        return _after_adding(request, payment.credits)
    elif payment.status == Payment.Status.CREATED:
        messages.info(
            request,
            _("We have not received a payment yet. If you paid, your credits will be added automatically."),
        )
    elif payment.status == Payment.Status.EXPIRED:
        messages.info(
            request, _("This payment was not completed, and nothing was charged. You can buy again.")
        )
    elif payment.status == Payment.Status.HELD:
        messages.warning(
            request, _("We received your payment, but it needs a manual review. We are looking into it.")
        )
    return redirect("accounts:credits")


@require_POST
def subscribe(request: UserRequest) -> HttpResponse:
    """`/credits/subscribe/`: order a plan and redirect to the checkout page."""
    if not stripe_gateway.is_configured():
        raise Http404
    try:
        plan = Plan.objects.filter(is_sold=True, pk=int(request.POST.get("plan", ""))).first()
    except (ValueError, OverflowError):
        plan = None
    if plan is None:
        return _credits(
            request, problem=_("This plan is no longer available. Choose another one."), status=422
        )
    try:
        before = plans.open_order(request.user, plan)
        url = stripe_plans.open_page(before) if before else None
        for other in plans.unpaid(request.user):
            if other == before and url:
                continue
            # It may have been paid; and a page that is left open in another tab could still be.
            stripe_plans.close_page(other)
            plans.settle(other, stripe_plans.state_of, stripe_gateway.truth_of)
        if plans.unpaid(request.user).exclude(number=None):
            problem = _("The first payment of your plan is still being processed. Please come back later.")
            return _credits(request, problem=problem, status=409)
        if plans.of_user(request.user):
            return _credits(
                request, problem=_("You have a plan. Cancel it before you choose another one."), status=409
            )
        return redirect(url or stripe_plans.checkout_url(plans.order(request.user, plan)))
    except (stripe_gateway.Unreachable, stripe_gateway.NotOurs):
        log.exception("No checkout page for user %s", request.user.pk)
        problem = _("The payment page is unavailable. Nothing was charged. Please try again in a minute.")
        return _credits(request, problem=problem, status=503)


@require_safe
def subscribed(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/credits/subscribed/<uuid>/`: the return URL of the checkout page of a plan, whether the user paid or not."""
    subscription = get_object_or_404(request.user.subscriptions, pk=pk)
    if subscription.status == Subscription.Status.CREATED and cache.add(f"asked-about:{pk}", True, ASK_AGAIN):
        try:
            subscription = plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
        except (stripe_gateway.Unreachable, stripe_gateway.NotOurs):
            log.exception("subscription %s could not be settled", subscription.pk)
    month = subscription.months.select_related("payment").first()
    if month and month.payment.status == Payment.Status.PAID:
        return _after_adding(request, subscription.credits)
    if month and month.payment.status == Payment.Status.HELD:
        messages.warning(
            request, _("We received your payment, but it needs a manual review. We are looking into it.")
        )
    else:
        messages.info(
            request,
            _("We have not received a payment yet. If you paid, your credits will be added automatically."),
        )
    return redirect("accounts:credits")


@require_POST
def change_plan(request: UserRequest) -> HttpResponse:
    """`/credits/plan/`: cancel one's plan at the end of the month, or with `keep` take that back."""
    subscription = next(
        (one for one in plans.of_user(request.user) if str(one.pk) == request.POST.get("plan")), None
    )
    if subscription is None:
        return _credits(request, problem=_("You do not have this plan any more."), status=409)
    keeps = "keep" in request.POST
    try:
        stripe_plans.cancel(subscription, is_ending=not keeps)
    except stripe_gateway.Unreachable:
        log.exception("The plan of user %s was not changed", request.user.pk)
        with suppress(stripe_gateway.Unreachable, stripe_gateway.NotOurs):
            plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
        if subscription not in plans.of_user(request.user):
            return _credits(request, problem=_("You do not have this plan any more."), status=409)
        problem = _("Your plan could not be changed at the moment. Please try again in a minute.")
        return _credits(request, problem=problem, status=503)
    with suppress(stripe_gateway.Unreachable, stripe_gateway.NotOurs):  # a webhook tells it, too
        plans.settle(subscription, stripe_plans.state_of, stripe_gateway.truth_of)
    if keeps:
        messages.success(request, _("Your plan goes on."))
    elif subscription.status == Subscription.Status.OVERDUE:
        messages.success(
            request, _("Your plan is canceled. The month that is not paid yet may still be charged.")
        )
    else:
        messages.success(request, _("Your plan is canceled. No further month will be charged."))
    return redirect("accounts:credits")


@require_http_methods(["GET", "HEAD", "POST"])
def test_checkout(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/credits/test-checkout/<uuid>/`: a checkout without real payment. Demo mode only."""
    if not settings.TEST_CHECKOUT:
        raise Http404
    payment = get_object_or_404(request.user.payments, pk=pk, processor=Payment.Processor.TEST)
    if request.method != "POST":
        return render(request, "accounts/test_checkout.html", {"payment": payment})
    truth = payments.Truth(is_paid=True, amount=payment.price, currency=payment.currency)
    payment = payments.settle(payment, lambda _payment: truth)
    return _after_adding(request, payment.credits)


def _credits(
    request: UserRequest,
    code: str = "",
    refusal: str = "",
    problem: str = "",
    limit: str | None = None,
    limit_problem: str = "",
    status: int = 200,
) -> HttpResponse:
    kind = request.GET.get("kind", "")
    size = request.GET.get("size", "")
    lines_a_page = int(size) if size in map(str, statement.SIZES) else statement.SIZES[1]
    page = statement.Pages(statement.entries(request.user, kind), lines_a_page).get_page(
        request.GET.get("page")
    )
    is_filtered = kind in CreditEntry.Kind.values
    running = request.user.videos.live().filter(is_free=False)
    currencies = _currencies()
    if request.GET.get("currency") in currencies:
        request.session["currency"] = request.GET["currency"]
    currency = prices.currency_for(request.user, request, currencies)
    context = {
        "page": page,
        "lines": statement.lines(request.user, list(page), has_gaps=is_filtered),
        "is_filtered": is_filtered,
        "size": lines_a_page,
        "sizes": statement.SIZES,
        "kind": kind,
        "kinds": CreditEntry.Kind.choices,
        "free_credits": 0 if signup_credits.is_welcomed(request.user) else settings.SIGNUP_CREDITS,
        "held": running.aggregate(credits=Sum("credits"))["credits"] or 0,
        "video_credits": settings.VIDEO_CREDITS,
        "lots": request.user.lots.filter(left__gt=0, expires_at__gt=timezone.now()).order_by("expires_at"),
        "test_checkout": settings.TEST_CHECKOUT,
        "currency": currency,
        "currencies": currencies,
        "plans": Plan.objects.filter(is_sold=True, currency=currency)
        if stripe_gateway.is_configured()
        else (),
        "subscriptions": plans.of_user(request.user),
        "has_portal": stripe_gateway.is_configured() and _customer(request.user) is not None,
        "packs": packs.offers(currency, _missing(request)) if settings.TOP_UPS else (),
        "missing": _missing(request),
        "is_making": _is_making(request),
        "problem": problem,
        "code": code,
        "refusal": refusal,
        "watch": LowBalance.objects.filter(user=request.user).exclude(status=LowBalance.Status.OFF).first(),
        "has_taxes": settings.STRIPE_TAX,
        "limit": request.user.credits_a_day if limit is None else limit,
        "limit_problem": limit_problem,
    }
    return render(request, "accounts/credits.html", context, status=status)


def _currencies() -> list[str]:
    """In which something is sold, in the order of staff."""
    kinds = [CreditPack] * settings.TOP_UPS + [Plan] * stripe_gateway.is_configured()
    sold = [one.currency for kind in kinds for one in kind.objects.filter(is_sold=True)]
    return list(dict.fromkeys(sold))


def _customer(user: User) -> str | None:
    """Whose invoices and cards a user may see: those of their plan, or of what they bought last."""
    customers = (one.customer for one in plans.of_user(user) if one.customer)
    return next(customers, None) or payments.customer_of(user)


def _after_adding(request: UserRequest, amount: int) -> HttpResponse:
    """Back to the video that was to be made, if the credits are enough for it now."""
    messages.success(request, _added_message(amount))
    read_balance(request.user)
    return redirect("accounts:credits" if _missing(request) or not _is_making(request) else "videos:studio")


def _is_making(request: UserRequest) -> bool:
    """Whether the user came from the studio with a video that cost more than they had."""
    return "needed" in request.session


def _missing(request: UserRequest) -> int:
    """The credits that this video still needs."""
    return max(0, int(request.session.get("needed", 0)) - request.user.balance)


def _added_message(amount: int) -> str:
    return ngettext("%(n)d credit added.", "%(n)d credits added.", amount) % {"n": amount}


def _refusal_message(refusal: CodeRefused) -> str:
    if refusal.reason == CodeRefused.USED:
        return _("This code has already been redeemed. Each code can be used once.")
    if refusal.reason == CodeRefused.EXPIRED:
        assert refusal.batch is not None
        day = date_format(timezone.localtime(refusal.batch.redeem_until), "DATE_FORMAT")
        return _("This code expired on %(day)s.") % {"day": day}
    if refusal.reason == CodeRefused.TOO_MANY:
        return _("Too many invalid codes. Try again in an hour.")
    return _("Invalid code. Check each letter and digit; dashes and capitalization do not matter.")
