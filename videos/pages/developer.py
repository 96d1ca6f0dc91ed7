"""The developer pages: API keys, their limits, and webhooks."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import api_keys
from accounts.models import ApiKey
from accounts.requests import UserRequest
from videos import code_samples
from videos.catalogue import availability
from videos.pages.developer_forms import LIFETIMES, KeyForm, RepeatForm, WebhookForm
from videos.webhooks import events, outbox

DELIVERIES = 50  # shown per key


@require_http_methods(["GET", "HEAD", "POST"])
def account(request: UserRequest) -> HttpResponse:
    """`/account/`: profile and API keys. A POST creates a key and shows it once."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    new_key, status = "", 200
    if request.method == "POST" and form.is_valid():
        if api_keys.working(request.user).count() < api_keys.MAX_KEYS:
            row, new_key = api_keys.create(request.user, form.cleaned_data["name"], **form.limits())
            form, status = KeyForm(), 201
        else:
            form.add_error(
                None,
                _("You already have %(max)d active keys. Revoke one first.") % {"max": api_keys.MAX_KEYS},
            )
    if form.is_bound:
        status = 422
    models, site = list(availability.models()), request.build_absolute_uri("/").rstrip("/")
    context = {
        "form": form,
        "new_key": new_key,
        "keys": api_keys.working(request.user),
        "ended": request.user.api_keys.exclude(pk__in=api_keys.working(request.user))[:10],
        "models": models,
        "lifetimes": LIFETIMES,
        "site": site,
    }
    if new_key:
        usable = row.allowed_models or [model.slug for model in models]
        context["first_video"] = code_samples.first_video(site, new_key, usable)
    return render(request, "videos/developer/account.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def key(request: UserRequest, pk: int) -> HttpResponse:
    """`/account/keys/<n>/`: one key, its webhook, and recent deliveries. A POST sets the webhook."""
    row = get_object_or_404(request.user.api_keys, pk=pk)
    form = _webhook_form(row, request.POST if request.method == "POST" else None)
    if form.is_valid():
        form.apply_to(row)
        messages.success(request, _("Saved. Events for new videos are sent to this URL."))
        return redirect("videos:key", row.pk)
    return _key_page(request, row, form, RepeatForm(initial={"repeat_window": row.repeat_window}))


@require_POST
def repeats(request: UserRequest, pk: int) -> HttpResponse:
    """Set the repeat window of a key."""
    row = get_object_or_404(request.user.api_keys, pk=pk)
    form = RepeatForm(request.POST)
    if not form.is_valid():
        return _key_page(request, row, _webhook_form(row), form)
    row.repeat_window = form.cleaned_data["repeat_window"] or 0
    row.save(update_fields=["repeat_window"])
    if row.repeat_window:
        messages.success(request, _("Saved. Identical requests are now recognized as repeats."))
    else:
        messages.success(request, _("Saved. Identical requests are separate orders."))
    return redirect("videos:key", row.pk)


def _webhook_form(row: ApiKey, data: QueryDict | None = None) -> WebhookForm:
    initial = {"url": row.webhook_url, "webhook_form": row.webhook_form, "events": events.chosen(row)}
    return WebhookForm(data, initial=initial)


def _key_page(request: UserRequest, row: ApiKey, form: WebhookForm, repeat_form: RepeatForm) -> HttpResponse:
    context = {
        "key": row,
        "form": form,
        "webhook_forms": ApiKey.WebhookForm.choices,
        "is_plain": row.webhook_form == ApiKey.WebhookForm.PLAIN,
        "events": events.EVENTS.items(),
        "repeat_form": repeat_form,
        "works": api_keys.working(request.user).filter(pk=row.pk).exists(),
        "deliveries": row.deliveries.all()[:DELIVERIES],
    }
    is_refused = form.is_bound or repeat_form.is_bound
    return render(request, "videos/developer/key.html", context, status=422 if is_refused else 200)


@require_POST
def revoke(request: UserRequest, pk: int) -> HttpResponse:
    """Revoke a key. Its videos are kept."""
    row = get_object_or_404(request.user.api_keys, pk=pk)
    api_keys.revoke(row)
    messages.success(request, _("The key “%(name)s” has been revoked.") % {"name": row.name})
    return redirect("videos:account")


@require_POST
def rotate(request: UserRequest, pk: int) -> HttpResponse:
    """Replace the webhook secret of a key."""
    row = get_object_or_404(request.user.api_keys, pk=pk)
    api_keys.rotate_webhook_secret(row)
    if row.webhook_form == ApiKey.WebhookForm.PLAIN:
        message = _("Secret rotated. Events are signed with the new secret from now on.")
    else:
        message = _("Secret rotated. For 24 hours, events are signed with both the old and the new secret.")
    messages.success(request, message)
    return redirect("videos:key", pk)


@require_POST
def ping(request: UserRequest, pk: int) -> HttpResponse:
    """Send a test event."""
    row = get_object_or_404(request.user.api_keys, pk=pk)
    if not row.webhook_url:
        messages.error(request, _("Save a webhook URL first."))
        return redirect("videos:key", pk)
    try:
        outbox.ping(row)
    except outbox.NotNow as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Test event queued. Reload the page to see the result."))
    return redirect("videos:key", pk)


@require_POST
def replay(request: UserRequest, pk: UUID) -> HttpResponse:
    """Resend an event."""
    mine = ApiKey.objects.filter(user=request.user)
    delivery = get_object_or_404(outbox.Delivery, pk=pk, api_key__in=mine)
    try:
        outbox.replay(delivery)
    except outbox.NotNow as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Event queued for redelivery."))
    return redirect("videos:key", delivery.api_key_id)
