"""Settings that templates may show."""

from django.conf import settings
from django.http import HttpRequest

from aivideo import __version__


def site(request: HttpRequest) -> dict[str, object]:
    return {
        "version": __version__,
        "use_mock_sora": settings.USE_MOCK_SORA,
        "demo_sign_in": settings.DEMO_SIGN_IN,
        "signup_credits": settings.SIGNUP_CREDITS,
        "google_sign_in": bool(settings.GOOGLE_CLIENT_ID),
    }
