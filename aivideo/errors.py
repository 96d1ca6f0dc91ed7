"""Pages for what goes wrong outside a form."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form from a page that is older than the present session, from another site, or without cookies."""
    return error_page(
        request,
        403,
        _("This page was out of date"),
        _(
            "You signed in or out since it was opened. Nothing was sent and no credits were used. Go back, reload the page and try again."
        ),
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django could not read the request."""
    return error_page(
        request,
        400,
        _("That could not be read"),
        _("Nothing was sent and no credits were used. Go back, reload the page and try again."),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The person may not do this."""
    return error_page(request, 403, _("Not allowed"), _("This is not open to you."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The same for what is not there and for what is somebody else's."""
    return error_page(
        request, 404, _("Not found"), _("There is nothing here, or it belongs to somebody else.")
    )


def too_large(request: HttpRequest) -> HttpResponse:
    """A request body beyond every limit."""
    return error_page(
        request,
        413,
        _("That was too large"),
        _(
            "The most we take is a 10 MB picture. Nothing was saved and no credits were used. Go back and choose a smaller one."
        ),
    )


def too_many(request: HttpRequest) -> HttpResponse:
    """allauth's limit on tries to sign in or to confirm it is really you."""
    text = _("These were too many tries in a short time. Wait a few minutes, then try again.")
    return error_page(request, 429, _("Too many tries"), text)


def error_page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """A page with a heading and a sentence, also in place of a part of a page that htmx waits for."""
    response = render(request, "error.html", {"title": title, "text": text}, status=status)
    # Whatever part of a page was waiting for an answer: this one is for the person, so it gets the page.
    response["HX-Retarget"] = response["HX-Reselect"] = "main"
    response["HX-Reswap"] = "outerHTML"
    return response
