"""The batch pages: ordering a list of prompts or a campaign, and its progress."""

import hashlib
from typing import Any
from uuid import UUID, uuid4

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import parse_etags
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.credits import InsufficientCredits
from accounts.requests import UserRequest
from videos import serializers
from videos.catalogue import availability, shapes
from videos.generation import batches
from videos.media import zip_stream
from videos.models import Batch, Status
from videos.moderation import gate
from videos.order import NotNow, PriceRose, VideoOrder, check_price
from videos.pages import form_options
from videos.pages.batch_forms import CampaignForm, PromptsForm
from videos.pages.studio_form import OrderForm, StudioForm
from videos.status.progress import progress_of

POLL_SECONDS = 2


FORMS: dict[str, type[OrderForm]] = {Batch.Kind.BATCH: PromptsForm, Batch.Kind.CAMPAIGN: CampaignForm}


@require_http_methods(["GET", "HEAD", "POST"])
def order(request: UserRequest) -> HttpResponse:
    """`/videos/batch/`: shows the total price, then starts the batch. `?kind=campaign` for the other form."""
    kind = request.GET.get("kind", Batch.Kind.BATCH)
    if kind not in FORMS:
        raise Http404
    if request.method != "POST":
        styles = {f"style_{name}": about.style for name, about in batches.PLATFORMS.items()}
        initial = StudioForm.defaults(request.user) | styles | {"platforms": list(batches.PLATFORMS)}
        return _page(request, kind, FORMS[kind](initial=initial, user=request.user))
    form = FORMS[kind](request.POST, request.FILES, user=request.user)
    if not form.is_valid():
        return _page(request, kind, form, status=422)
    orders = form.orders()  # type: ignore[attr-defined]
    if request.POST.get("step") == "check":
        return _page(request, kind, form, orders)
    pk = form.cleaned_data["nonce"]
    if before := request.user.batches.filter(pk=pk).first():
        return redirect(before)  # a second click: the batch exists already
    if Batch.objects.filter(pk=pk).exists():
        form.add_error(None, _("This form was used before. Check it, and start again."))
        return _page(request, kind, form, orders, status=409, nonce=uuid4())
    try:
        check_price(batches.price(orders), form.cleaned_data["seen_price"])
        batch = batches.place(request.user, gate.clear(request.user, orders), kind=kind, pk=pk)
    except (gate.Refused, batches.ItemRefused) as refusal:
        form.add_error(None, _("Video %(n)d: %(reason)s") % {"n": refusal.number + 1, "reason": refusal})
        return _page(request, kind, form, status=422)
    except gate.Unavailable as error:
        form.add_error(None, gate.NOT_NOW)
        response = _page(request, kind, form, orders, status=503)
        response["Retry-After"] = str(round(error.after))
        return response
    except NotNow as error:
        form.add_error(None, _("%(reason)s Nothing was charged.") % {"reason": error})
        response = _page(request, kind, form, orders, status=error.status)
        response["Retry-After"] = str(round(error.after))
        return response
    except PriceRose as error:
        form.add_error(None, str(error))
        return _page(request, kind, form, orders, status=409)
    except InsufficientCredits as lack:
        form.add_error(
            None,
            _(
                "These videos cost %(needed)d credits in total and you have %(available)d. Nothing was charged."
            )
            % {"needed": lack.needed, "available": lack.available},
        )
        return _page(request, kind, form, orders, status=402)
    return redirect(batch)


def _page(
    request: UserRequest,
    kind: str,
    form: OrderForm,
    orders: list[VideoOrder] | None = None,
    status: int = 200,
    nonce: UUID | None = None,
) -> HttpResponse:
    values = {name: form[name].value() for name in form.fields if name != "file"}
    if form.is_bound and isinstance(form, PromptsForm) and form.cleaned_data.get("file"):
        # A browser does not send a file again, so put its prompts into the text field.
        values["prompts"] = "\n".join(form.cleaned_data["found"])
    models = list(availability.models(request.user))
    made = [shape for model in models for shape in shapes.table(model.sizes)]
    price = batches.price(orders) if orders else 0
    context = {
        "kind": kind,
        "form": form,
        "values": values | {"nonce": nonce or values["nonce"] or uuid4()},
        "models": models,
        "ratios": shapes.ratios(made),
        "resolutions": shapes.resolutions(made),
        "lengths": sorted({length for model in models for length in form_options.usual_lengths(model)}),
        "any_length": form_options.other_lengths(models),
        "platforms": [
            (name, about, values.get(f"style_{name}"), name in (values.get("platforms") or []))
            for name, about in batches.PLATFORMS.items()
        ],
        "orders": orders,
        "price": price,
        "missing": max(0, price - request.user.balance),
        "recent": request.user.batches.all()[:5],
    }
    return render(request, "videos/batches/new.html", context, status=status)


@require_safe
def batch(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/videos/batches/<uuid>/`: overall progress and the videos. The page polls until the batch has ended.

    Answers 204 if nothing has changed since the last response.
    """
    found = get_object_or_404(request.user.batches, pk=pk)
    videos = list(found.videos.select_related("model").order_by("position"))
    kept = [video for video in videos if video.deleted_at is None]
    tiles = [(video, progress_of(video, request.user.balance)) for video in kept]
    shown = repr((found.ended_at, [progress.tag for _video, progress in tiles]))
    tag = hashlib.blake2b(shown.encode(), digest_size=12).hexdigest()
    if f'W/"{tag}"' in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponse(status=204)
    context = {
        "batch": found,
        "progress": serializers.batch_progress(found, videos),
        "tiles": tiles,
        "tag": tag,
        "waiting": sum(video.status == Status.QUEUED for video in videos),
        "poll_seconds": POLL_SECONDS,
    }
    response = render(request, "videos/batches/batch.html", context)
    if not found.ended_at:
        response["Retry-After"] = str(POLL_SECONDS)
    return response


@require_POST
def cancel(request: UserRequest, pk: UUID) -> HttpResponse:
    """Cancel the videos that have not been submitted to their provider yet."""
    found = get_object_or_404(request.user.batches, pk=pk)
    batches.cancel(found)
    return redirect(found)


@require_safe
def zipped(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """`/videos/batches/<uuid>/zip/`: all completed videos as one streamed ZIP file."""
    found = get_object_or_404(request.user.batches, pk=pk)  # type: ignore[union-attr]
    ready = found.videos.filter(status=Status.COMPLETED, deleted_at=None).order_by("position")
    files = [(_name(video), str(video.file.name)) for video in ready]
    if not files:
        raise Http404
    headers = {"Content-Disposition": f'attachment; filename="aivideo-{found.created_at:%Y%m%d-%H%M%S}.zip"'}
    return StreamingHttpResponse(zip_stream.zipped(files), content_type="application/zip", headers=headers)


def _name(video: Any) -> str:
    words = video.metadata.get("platform") or slugify(video.prompt)[:40].strip("-")
    return f"{video.position + 1:03}-{words or 'video'}.mp4"
