"""Error pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was sent from a page older than the current session, from another site, or without cookies."""
    return error_page(
        request,
        403,
        _("This page is out of date"),
        _(
            "You signed in or out after you opened it. Nothing was sent and no credits were used. Go back, reload the page and try again."
        ),
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django could not parse the request."""
    return error_page(
        request,
        400,
        _("Bad request"),
        _(
            "We could not read this request. Nothing was sent and no credits were used. Go back, reload the page and try again."
        ),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The user lacks the permission."""
    return error_page(request, 403, _("Not allowed"), _("You do not have permission to do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The same page whether something does not exist or belongs to another user."""
    return error_page(
        request, 404, _("Not found"), _("This page does not exist, or it belongs to somebody else.")
    )


def too_large(request: HttpRequest) -> HttpResponse:
    """The request body is larger than any form allows."""
    return error_page(
        request,
        413,
        _("File too large"),
        _(
            "A picture may have at most 10 MB. Nothing was saved and no credits were used. Go back and choose a smaller one."
        ),
    )


def too_many(request: HttpRequest) -> HttpResponse:
    """allauth's rate limit on signing in and on confirming one's identity."""
    text = _("You have tried too often in a short time. Wait a few minutes, then try again.")
    return error_page(request, 429, _("Too many attempts"), text)


def busy(request: HttpRequest) -> HttpResponse:
    """Another session has locked a row that this request needs, for longer than a request may wait."""
    text = _(
        "Another change to your account is still under way. Nothing was changed and no credits were used. Go back and try again in a moment."
    )
    response = error_page(request, 503, _("Please try again"), text)
    response["Retry-After"] = "5"
    return response


def error_page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """A page with a heading and a sentence. In answer to an htmx request it replaces the whole main part."""
    response = render(request, "error.html", {"title": title, "text": text}, status=status)
    # Whichever fragment htmx asked for, the user has to see this.
    response["HX-Retarget"] = response["HX-Reselect"] = "main"
    response["HX-Reswap"] = "outerHTML"
    return response
