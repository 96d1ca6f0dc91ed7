from django.conf import settings
from django.core.checks import Error, register


@register()
def demo_sign_in_needs_debug(**kwargs: object) -> list[Error]:
    """allauth's dummy provider lets anybody sign in as anybody, so it must not be installed in production."""
    if not settings.DEBUG and "allauth.socialaccount.providers.dummy" in settings.INSTALLED_APPS:
        return [
            Error(
                "The demo sign-in is installed while DEBUG is off: anybody could sign in as anybody.",
                hint="Remove allauth.socialaccount.providers.dummy from INSTALLED_APPS.",
                id="accounts.E001",
            )
        ]
    return []
