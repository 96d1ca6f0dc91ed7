"""`/`, the studio: the form on the left, the stage on the right, and the order that the form places."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import credits
from accounts.credits import InsufficientCredits
from accounts.models import User
from videos.catalogue import availability, routing, shapes, track_record
from videos.generation import ordering
from videos.media import images
from videos.media.presets import presets, samples
from videos.models import MAX_PROMPT_CHARACTERS, Upload, Video
from videos.moderation import gate
from videos.order import NotNow, PriceRose
from videos.pages import form_options, htmx, library
from videos.pages import video as video_page
from videos.pages.studio_form import MAX_VARIATIONS, StudioForm
from videos.prompts import assistant
from videos.prompts import templates as prompt_templates

# The fields under "More options".
MORE = ("audio", "quality", "fps", "seed", "negative_prompt", "last", "last_file", "variations")

NOT_KEPT = ("nonce", "file", "last_file", "seen_price")  # not saved with a draft


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def studio(request: HttpRequest) -> HttpResponse:
    """`/`: the form on the left, the stage on the right.

    `?video=` shows a video, `?again=` fills the form from a video, and `?template=` from a prompt template.
    """
    if request.method == "POST":
        return _generate(request)
    return page(request, _draft(request), _on_stage(request))


def _generate(request: HttpRequest) -> HttpResponse:
    user = request.user if request.user.is_authenticated else None
    form = StudioForm(request.POST, request.FILES, user=user)
    if user is None:
        # The session expired while the page was open, or the user never signed in.
        keep_draft(request)
        form.is_valid()
        form.add_error(None, _("Sign in to generate. Your input is kept, and no credits were used."))
        if request.FILES:
            form.add_error("file", _("Choose your picture again after signing in."))
        return page(request, form, None, status=401)

    if "top_up" in request.POST:
        form.is_valid()
        keep_draft(request, image=form.cleaned_data.get("file"), last=form.cleaned_data.get("last_file"))
        request.session["needed"] = form.cleaned_data.get("seen_price") or 0
        return htmx.lead_to(request, reverse("accounts:credits"))
    if not form.is_valid():
        return page(request, form, _running(user), status=422)
    try:
        [order] = gate.clear(user, [form.order()])
        video = ordering.place_all(user, order, form.count)[0]
    except gate.Refused as refusal:
        form.add_refusal(refusal)
        return page(request, form, _running(user), status=422)
    except gate.Unavailable as error:
        form.add_error(None, gate.NOT_NOW)
        response = page(request, form, _running(user), status=503)
        response["Retry-After"] = str(round(error.after))
        return response
    except NotNow as error:
        form.add_error(None, _("%(reason)s Nothing was charged.") % {"reason": error})
        response = page(request, form, _running(user), status=error.status)
        response["Retry-After"] = str(round(error.after))
        return response
    except PriceRose as error:
        form.add_error(None, str(error))
        return page(request, form, _running(user), status=409)
    except InsufficientCredits as error:
        form.add_error(
            None,
            _("This costs %(needed)d credits and you have %(available)d. Nothing was charged.")
            % {"needed": error.needed, "available": error.available},
        )
        return page(request, form, _running(user), status=402)

    credits.read_balance(user)
    url = f"{reverse('videos:studio')}?video={video.pk}"
    if not htmx.is_htmx(request):
        return redirect(url)
    response = page(request, form, video, fresh_nonce=True)
    response["HX-Push-Url"] = url
    return response


def keep_draft(request: HttpRequest, **pictures: Upload | None) -> None:
    """Save the form as a draft in the session until the studio is opened again; pictures as their uploads."""
    fields = {name: field for name, field in StudioForm.base_fields.items() if name not in NOT_KEPT}
    typed = {name: field.widget.value_from_datadict(request.POST, {}, name) for name, field in fields.items()}
    draft = {name: (value or "")[:5000] for name, value in typed.items()}
    draft |= {name: f"upload:{upload.pk}" for name, upload in pictures.items() if upload}
    request.session["draft"] = draft


def page(
    request: HttpRequest,
    form: StudioForm,
    video: Video | None,
    *,
    status: int = 200,
    fresh_nonce: bool = False,
    help: dict[str, str] | None = None,
) -> HttpResponse:
    values: dict[str, Any] = {
        name: form[name].value() for name in form.fields if name not in ("file", "last_file")
    }
    if fresh_nonce:
        values["nonce"] = uuid4()
    uploads = []
    if request.user.is_authenticated:
        for name, field in (("image", "file"), ("last", "last_file")):
            if form.is_bound and (kept := form.cleaned_data.get(field)):
                values[name] = f"upload:{kept.pk}"
        uploads = _uploads(request.user, values["image"], values["last"])
    user = request.user if request.user.is_authenticated else None
    models = list(availability.models(user))
    chosen = next((model for model in models if model.slug == values["model"]), models[0] if models else None)
    wants_more = _wants_more(form, values)
    offers = [form_options.offer(model) for model in models]
    offer = next((offer for offer in offers if offer["model"] == chosen), None)
    values["size"] = ""
    if chosen:
        shape = (values["aspect_ratio"], values["resolution"])
        values["size"] = shapes.table(chosen.sizes).get(shape, "")
        # The model's defaults.
        values["quality"] = values["quality"] or next(iter(chosen.qualities), "")
        values["fps"] = values["fps"] or next(iter(chosen.frame_rates), "")
    context = {
        "form": form,
        "values": values,
        "offers": offers,
        "chosen_offer": offer,
        "model": chosen,
        **form_options.sizes(models),
        "pixels": values["size"].replace("x", "×"),
        **form_options.lengths(offers, offer, values["seconds"]),
        "qualities": form_options.ordered(model.qualities for model in models),
        "frame_rates": sorted({rate for model in models for rate in model.frame_rates}),
        "takes": form_options.ordered(model.takes for model in models),
        "counts": range(1, MAX_VARIATIONS + 1),
        "wants_more": wants_more,
        "presets": presets().values(),
        "uploads": uploads,
        "samples": samples(),
        "max_picture_bytes": images.LIMITS["megabytes"] * 1_000_000,
        "max_prompt_characters": chosen.longest_prompt if chosen else MAX_PROMPT_CHARACTERS,
        "record": chosen and track_record.track_record(chosen),
        "wait": _minutes(routing.expected_wait(chosen, user).expected) if chosen else 0,
        **form_options.price(request.user, chosen, values),
        "recent": library.tiles(library.library_of(request.user)[:4], request.user)
        if request.user.is_authenticated
        else [],
        "prompt_templates": prompt_templates.TEMPLATES,
        "prompt_help": assistant.is_configured() and request.user.is_authenticated,
        **(help or {}),
        "at_studio": True,
        **video_page.stage_context(video, request.user),
    }
    return render(request, "videos/studio/studio.html", context, status=status)


def _minutes(seconds: float) -> int:
    """Whole minutes; 0 for what is not worth a word."""
    return round(seconds / 60)


def _on_stage(request: HttpRequest) -> Video | None:
    """The video named by `?video=`, else the newest running one, whatever device it was started on."""
    if not request.user.is_authenticated:
        return None
    if wanted := request.GET.get("video"):
        try:
            return video_page.own(request.user, UUID(wanted))
        except ValueError:
            raise Http404 from None
    return _running(request.user)


def _running(user: User) -> Video | None:
    return library.library_of(user).live().first()


def _draft(request: HttpRequest) -> StudioForm:
    """The form to show: from a template, from a video, from the draft saved before sign-in, or with defaults."""
    if name := request.GET.get("template"):
        if name not in prompt_templates.BY_NAME:
            raise Http404
        prompt = prompt_templates.BY_NAME[name].prompt
        user = request.user if request.user.is_authenticated else None
        return StudioForm(user=user, initial=StudioForm.defaults(user) | {"prompt": prompt})
    if not request.user.is_authenticated:
        return StudioForm(user=None, initial=StudioForm.defaults(None))
    if wanted := request.GET.get("again") or request.GET.get("video"):
        try:
            again = video_page.own(request.user, UUID(wanted))
            return StudioForm(user=request.user, initial=StudioForm.defaults(request.user, again))
        except ValueError:
            raise Http404 from None
    request.session.pop("needed", None)
    typed = {name: value for name, value in request.session.pop("draft", {}).items() if value}
    return StudioForm(user=request.user, initial=StudioForm.defaults(request.user) | typed)


def _uploads(user: User, *chosen: str | None) -> list[Upload]:
    """The user's newest pictures, plus the selected ones however old they are."""
    uploads = list(user.uploads.all()[:3])
    for image in chosen:
        with suppress(ValueError):
            pk = UUID((image or "").removeprefix("upload:"))
            if pk not in [upload.pk for upload in uploads]:
                uploads += user.uploads.filter(pk=pk)
    return uploads


def _wants_more(form: StudioForm, values: Mapping[str, object]) -> bool:
    """Whether to open "More options": one of them has a value or an error."""
    names = ("seed", "negative_prompt", "last")
    is_set = (
        any(values[name] not in (None, "") for name in names) or form_options.number(values["variations"]) > 1
    )
    return is_set or values["audio"] == "off" or any(form[name].errors for name in MORE)
