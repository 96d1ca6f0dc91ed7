"""The type of a request from a signed-in user."""

from django.http import HttpRequest

from accounts.models import User


class UserRequest(HttpRequest):
    """A request that LoginRequiredMiddleware has let through."""

    user: User
