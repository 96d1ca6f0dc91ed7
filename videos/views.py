"""The pages: what they show, and the verbs that their forms call."""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.decorators import login_not_required
from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.credits import InsufficientCredits
from accounts.models import User
from accounts.views import UserRequest
from videos import catalogue, generation, images, moderation, playback, prompt_help, prompt_templates
from videos.forms import MOST_VARIATIONS, StudioForm
from videos.models import MOST_PROMPT_CHARACTERS, Status, Upload, Video, VideoModel
from videos.presets import presets, samples
from videos.receipt import receipt
from videos.standing import Standing, on_card, standing, time_left

PAGE = 24
MORE = ("audio", "quality", "fps", "seed", "negative_prompt", "last", "last_file", "variations")


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def studio(request: HttpRequest) -> HttpResponse:
    """`/`: the form on the left, the stage on the right.

    `?video=` shows one, `?again=` fills the form from one, and `?template=` from a prompt template.
    """
    if request.method == "POST":
        return _generate(request)
    return _studio(request, _draft(request), _on_stage(request))


def _generate(request: HttpRequest) -> HttpResponse:
    user = request.user if request.user.is_authenticated else None
    form = StudioForm(request.POST, request.FILES, user=user)
    if user is None:
        # The session ended while the page was open, or never began.
        _keep_draft(request)
        form.is_valid()
        form.add_error(None, _("Sign in to generate. What you typed is kept, and no credits were used."))
        if request.FILES:
            form.add_error("file", _("Choose your picture again after signing in."))
        return _studio(request, form, None, status=401)

    if "top_up" in request.POST:
        form.is_valid()
        _keep_draft(request, image=form.cleaned_data.get("file"), last=form.cleaned_data.get("last_file"))
        return _lead_to(request, reverse("accounts:credits"))
    if not form.is_valid():
        return _studio(request, form, _running(user), status=422)
    try:
        [order] = moderation.cleared(user, [form.order()])
        video = generation.start_all(user, **order)[0]
    except moderation.Refused as refusal:
        form.add_refusal(refusal)
        return _studio(request, form, _running(user), status=422)
    except moderation.Unavailable as error:
        form.add_error(None, moderation.NOT_NOW)
        response = _studio(request, form, _running(user), status=503)
        response["Retry-After"] = str(round(error.after))
        return response
    except InsufficientCredits as error:
        form.add_error(
            None,
            _("This costs %(needed)d credits and you have %(available)d. Nothing was charged.")
            % {"needed": error.needed, "available": error.available},
        )
        return _studio(request, form, _running(user), status=402)

    user.refresh_from_db(fields=["balance"])
    url = f"{reverse('videos:studio')}?video={video.pk}"
    if not _is_htmx(request):
        return redirect(url)
    response = _studio(request, form, video, fresh_nonce=True)
    response["HX-Push-Url"] = url
    return response


def _keep_draft(request: HttpRequest, **pictures: Upload | None) -> None:
    """Keep what was typed until the studio is opened again; of pictures that were sent along, their uploads."""
    names = set(StudioForm.base_fields) - {"nonce", "file", "last_file"}
    draft = {name: request.POST.get(name, "")[:5000] for name in names}
    draft |= {name: f"upload:{upload.pk}" for name, upload in pictures.items() if upload}
    request.session["draft"] = draft


def _lead_to(request: HttpRequest, url: str) -> HttpResponse:
    """Off to another page, for browsers and for htmx, which would follow a redirect by itself and stay here."""
    return HttpResponse(headers={"HX-Redirect": url}) if _is_htmx(request) else redirect(url)


def _studio(
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
    models = list(catalogue.models(user))
    chosen = next((model for model in models if model.slug == values["model"]), models[0] if models else None)
    wants_more = _wants_more(form, values)
    if chosen:
        # What the model does by itself.
        values["quality"] = values["quality"] or next(iter(chosen.qualities), "")
        values["fps"] = values["fps"] or next(iter(chosen.frame_rates), "")
    context = {
        "form": form,
        "values": values,
        "offers": [_offer(model) for model in models],
        "model": chosen,
        "shapes": [_shape(size) for size in _ordered(model.sizes for model in models)],
        "lengths": sorted({length for model in models for length in model.lengths}),
        "qualities": _ordered(model.qualities for model in models),
        "frame_rates": sorted({rate for model in models for rate in model.frame_rates}),
        "takes": _ordered(model.takes for model in models),
        "counts": range(1, MOST_VARIATIONS + 1),
        "wants_more": wants_more,
        "presets": presets().values(),
        "uploads": uploads,
        "samples": samples(),
        "most_picture_bytes": images.LIMITS["megabytes"] * 1_000_000,
        "most_prompt_characters": chosen.longest_prompt if chosen else MOST_PROMPT_CHARACTERS,
        "record": chosen and catalogue.track_record(chosen),
        **_price(request, chosen, values),
        "recent": _tiles(_library(request.user)[:4], request.user) if request.user.is_authenticated else [],
        "prompt_templates": prompt_templates.TEMPLATES,
        "prompt_help": prompt_help.is_on() and request.user.is_authenticated,
        **(help or {}),
        "at_studio": True,
        **_stage_context(video, request.user),
    }
    return render(request, "videos/studio.html", context, status=status)


@require_safe
def card(request: UserRequest, pk: UUID) -> HttpResponse:
    """The fragment that a page asks for again while the video is running: `?as=tile` for the small one.

    204 while nothing has changed since the page got what it shows.
    """
    video = on_card(pk, request.user)
    if video is None:
        raise Http404
    current = standing(video, request.user.balance)
    if current.etag in parse_etags(request.headers.get("If-None-Match", "")):
        return _asking_again(HttpResponse(status=204), current)
    if not video.is_live:
        video = _own(request.user, pk)
        current = standing(video, request.user.balance)
    return _card(request, video, current)


def _card(
    request: UserRequest, video: Video, current: Standing, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    at_studio = request.GET.get("at") == "studio"
    context = {
        "user": request.user,
        "video": video,
        "standing": current,
        "time_left": time_left(video),
        "at_studio": at_studio,
        "refusal": refusal,
    }
    if at_studio and not video.is_live:
        asked = {"size": video.size, "seconds": video.seconds, **video.extras}
        context |= {"model": video.model, **_price(request, video.model, asked)}
    template = "videos/_tile.html" if request.GET.get("as") == "tile" else "videos/_card.html"
    # Without the request: what a whole page takes from it is of no use here, and costs time.
    return _asking_again(HttpResponse(render_to_string(template, context), status=status), current)


def _asking_again(response: HttpResponse, current: Standing) -> HttpResponse:
    """Say what the page shows by this answer, and when to ask for more, if there will be more."""
    response["ETag"] = current.etag
    if current.poll_ms:
        response["Retry-After"] = str(max(1, current.poll_ms // 1000))
    return response


@require_safe
def library(request: UserRequest) -> HttpResponse:
    """`/videos/`: newest first, PAGE at a time; `?before=<cursor>` goes on below a video."""
    videos = _library(request.user)
    if cursor := request.GET.get("before"):
        created, _at, pk = cursor.partition("_")
        try:
            # Naive times are taken as UTC; those at the edge of time have no UTC.
            at, last = datetime.fromisoformat(created).astimezone(UTC), UUID(pk)
        except (ValueError, OverflowError):
            raise Http404 from None
        videos = videos.before(at, last)
    page = list(videos[: PAGE + 1])
    more = page[PAGE - 1] if len(page) > PAGE else None
    context = {
        "tiles": _tiles(page[:PAGE], request.user),
        "next": f"{more.created_at.isoformat()}_{more.pk}" if more else None,
    }
    return render(
        request, "videos/_library_page.html" if _is_htmx(request) else "videos/library.html", context
    )


@require_safe
def video(request: UserRequest, pk: UUID) -> HttpResponse:
    """`/videos/<id>/`: the player, what to do with it, and its receipt."""
    video = _own(request.user, pk)
    context = {"receipt": receipt(video), **_stage_context(video, request.user)}
    return render(request, "videos/video.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: UserRequest, pk: UUID) -> HttpResponse:
    """Asks first, then cancels; the button on the stage asks nothing. 409 once it is at its provider."""
    video = _own(request.user, pk)
    if request.method == "POST" and not generation.cancel(video):
        video = _own(request.user, pk)  # as whoever was quicker left it
    refusal = ""
    if video.status not in (Status.QUEUED, Status.CANCELED):
        refusal = _(
            "It is already at the video service and cannot be stopped any more. If it fails, your credits return."
        )
        if not video.is_live:
            refusal = _("It has ended already.")
    status = 409 if refusal and request.method == "POST" else 200
    if request.method == "POST" and _is_htmx(request):
        request.user.refresh_from_db(fields=["balance"])
        return _card(request, video, standing(video, request.user.balance), refusal=refusal, status=status)
    if video.status == Status.CANCELED:
        return redirect(video)
    return render(request, "videos/cancel.html", {"video": video, "refusal": refusal}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: UUID) -> HttpResponse:
    """Asks first, then deletes. A running video cannot be deleted: 409."""
    video = _own(request.user, pk)
    if request.method != "POST":
        return render(request, "videos/delete.html", {"video": video})
    if not generation.delete(video):
        context = {"video": video, "error": _("This video is still being made. Delete it when it has ended.")}
        return render(request, "videos/delete.html", context, status=409)
    return redirect("videos:library")


@require_safe
def file(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """The MP4 by byte ranges, for its owner; `?download=1` as an attachment."""
    video = _own(request.user, pk)
    if not video.file:
        raise Http404
    name = f"aivideo-{video.created_at:%Y%m%d-%H%M%S}.mp4" if request.GET.get("download") else None
    return playback.serve(
        request,
        default_storage,
        str(video.file.name),
        etag=video.sha256,
        content_type="video/mp4",
        download_as=name,
    )


@require_safe
def poster(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """The still picture of a finished video, for its owner."""
    video = _own(request.user, pk)
    if not video.poster:
        raise Http404
    return playback.serve(
        request,
        default_storage,
        str(video.poster.name),
        etag=f"{video.sha256}-poster",
        content_type="image/webp",
    )


@require_safe
def upload(request: UserRequest, pk: UUID) -> HttpResponseBase:
    """A picture that the user uploaded, for the tile in the studio."""
    upload = get_object_or_404(request.user.uploads, pk=pk)
    return playback.serve(
        request, default_storage, str(upload.file.name), etag=upload.sha256, content_type="image/jpeg"
    )


def _own(user: User, pk: UUID) -> Video:
    return get_object_or_404(user.videos.kept().select_related("model"), pk=pk)


def _library(user: User) -> Any:
    return user.videos.kept().select_related("model").order_by("-created_at", "-id")


def _uploads(user: User, *chosen: str | None) -> list[Upload]:
    """The newest pictures of the user and, however old they are, the chosen ones."""
    uploads = list(user.uploads.all()[:3])
    for image in chosen:
        with suppress(ValueError):
            pk = UUID((image or "").removeprefix("upload:"))
            if pk not in [upload.pk for upload in uploads]:
                uploads += user.uploads.filter(pk=pk)
    return uploads


def _on_stage(request: HttpRequest) -> Video | None:
    """The video that `?video=` names, else the newest that is running, on whatever device it was started."""
    if not request.user.is_authenticated:
        return None
    if wanted := request.GET.get("video"):
        try:
            return _own(request.user, UUID(wanted))
        except ValueError:
            raise Http404 from None
    return _running(request.user)


def _running(user: User) -> Video | None:
    return _library(user).live().first()


def _draft(request: HttpRequest) -> StudioForm:
    """The form as it should stand: with a template, as a video had it, from before the sign-in, or untouched."""
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
            again = _own(request.user, UUID(wanted))
            return StudioForm(user=request.user, initial=StudioForm.defaults(request.user, again))
        except ValueError:
            raise Http404 from None
    typed = {name: value for name, value in request.session.pop("draft", {}).items() if value}
    return StudioForm(user=request.user, initial=StudioForm.defaults(request.user) | typed)


def _stage_context(video: Video | None, user: Any) -> dict[str, Any]:
    if video is None:
        return {"video": None}
    return {"video": video, "standing": standing(video, user.balance), "time_left": time_left(video)}


def _tiles(videos: Iterable[Video], user: User) -> list[tuple[Video, Standing]]:
    """What the tiles of these videos show."""
    return [(video, standing(video, user.balance)) for video in videos]


def _price(request: HttpRequest, model: VideoModel | None, asked: dict[str, Any]) -> dict[str, int]:
    """What is asked for costs, and the credits that the user lacks for it. The values may be anything typed."""
    if model is None:
        return {"price": 0, "missing": 0}
    extras = {"quality": asked.get("quality"), "audio": asked.get("audio") not in ("off", False)}
    if "audio" not in model.takes:
        del extras["audio"]
    price = model.price_of(str(asked["size"]), _number(asked["seconds"]), extras)
    price *= min(max(1, _number(asked.get("variations"))), MOST_VARIATIONS)
    balance = request.user.balance if request.user.is_authenticated else price
    return {"price": price, "missing": max(0, price - balance)}


def _number(typed: Any) -> int:
    """What is typed, as a number; 0 for what is none."""
    # Any longer is no length, and from some thousand digits on no number that Python reads.
    digits = str(typed)[:6]
    return int(digits) if digits.isdecimal() else 0


def _wants_more(form: StudioForm, values: dict[str, Any]) -> bool:
    """Whether the options that few people need are to be open: something stands in them, or is wrong there."""
    names = ("seed", "negative_prompt", "last")
    is_set = any(values[name] not in (None, "") for name in names) or _number(values["variations"]) > 1
    return is_set or values["audio"] == "off" or any(form[name].errors for name in MORE)


def _prices(model: VideoModel) -> dict[str, int]:
    """What each choice of this model costs, by size, length, quality and sound as the form has them."""
    if not model.prices.all():
        return {}
    sounds = ["on", "off"] if "audio" in model.takes else [""]
    return {
        f"{size} {seconds} {quality} {audio}": model.price_of(
            size, seconds, {"quality": quality, **({"audio": audio == "on"} if audio else {})}
        )
        for size in model.sizes
        for seconds in model.lengths
        for quality in model.qualities or [""]
        for audio in sounds
    }


def _offer(model: VideoModel) -> dict[str, Any]:
    """A model as the form shows it, with its record and the lines of its best wide or tall picture."""
    sides = [tuple(map(int, size.split("x"))) for size in model.sizes]
    return {
        "model": model,
        "record": catalogue.track_record(model),
        "lines": max([min(side) for side in sides if side[0] != side[1]] or map(min, sides)),
        "shortest": min(model.lengths),
        "longest": max(model.lengths),
        "prices": json.dumps(_prices(model)),
    }


def _shape(size: str) -> dict[str, Any]:
    width, height = map(int, size.split("x"))
    kind = "square" if width == height else "wide" if width > height else "tall"
    return {"size": size, "kind": kind, "width": width, "height": height}


def _is_htmx(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def _ordered(lists: Any) -> list[str]:
    """The different values of several lists, in the order of their first appearance."""
    return list(dict.fromkeys(value for values in lists for value in values))
