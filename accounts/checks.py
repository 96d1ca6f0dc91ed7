from django.conf import settings
from django.core.checks import Error, register


@register()
def demo_sign_in_needs_debug(**kwargs: object) -> list[Error]:
    """allauth's dummy provider signs anybody in as anybody: it may never be loaded in production."""
    if not settings.DEBUG and "allauth.socialaccount.providers.dummy" in settings.INSTALLED_APPS:
        return [
            Error(
                "The demo sign-in is installed although DEBUG is off: anybody could sign in as anybody.",
                hint="Remove allauth.socialaccount.providers.dummy from INSTALLED_APPS.",
                id="accounts.E001",
            )
        ]
    return []
