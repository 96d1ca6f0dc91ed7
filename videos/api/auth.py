"""Authentication by API key. A session of the site gives no access to the API."""

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.security import HttpBearer

from accounts import api_keys
from accounts.models import ApiKey, User
from videos.api import throttling
from videos.api.errors import ApiError

WITHOUT_A_KEY = 60  # requests per minute from one IP address


class KeyedRequest(HttpRequest):
    """A request that `ApiKeyAuth` has authenticated."""

    auth: ApiKey
    user: User


class ApiKeyAuth(HttpBearer):
    """`Authorization: Bearer av_live_…`"""

    openapi_description = "An API key from the account page, such as av_live_…"

    def __call__(self, request: HttpRequest) -> ApiKey:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise _refused(
                request, "You did not provide an API key. Send it as 'Authorization: Bearer <key>'."
            )
        return key_of(request, text.strip())

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey:
        return key_of(request, token)


def key_of(request: HttpRequest, text: str) -> ApiKey:
    """Authenticate the request with this key. Raises ApiError 401 or 429."""
    try:
        key = api_keys.find(text)
    except api_keys.KeyRefused as refusal:
        raise _refused(request, str(refusal)) from refusal
    throttling.take(request, f"key:{key.pk}", settings.API_REQUESTS_A_MINUTE)
    request.user = key.user
    return key


def _refused(request: HttpRequest, message: str) -> ApiError:
    try:
        address = get_adapter().get_client_ip(request)
    except PermissionDenied:
        address = "unknown"
    throttling.take(request, f"address:{address}", WITHOUT_A_KEY)
    return ApiError(401, message, code="invalid_api_key")
