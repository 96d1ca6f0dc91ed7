"""The demo user, who signs in without a password: only with DEBUG and without Google sign-in."""

from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

DEMO_USER: dict[str, Any] = {
    "id": 1,
    "email": "demo@example.com",
    "email_verified": True,
    "username": "demo",
    "first_name": "Demo",
}


@login_not_required
@require_POST
def demo_sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as the demo user, through allauth's dummy provider. Exists only in demo mode."""
    if not settings.DEMO_SIGN_IN:
        raise Http404
    login = get_adapter().get_provider(request, "dummy").sociallogin_from_response(request, DEMO_USER)
    login.state = {"process": "login"}
    next_url = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(next_url, {request.get_host()}, require_https=request.is_secure()):
        login.state["next"] = next_url
    return complete_social_login(request, login)
