"""What a request is once its person is signed in."""

from django.http import HttpRequest

from accounts.models import User


class UserRequest(HttpRequest):
    """A request that LoginRequiredMiddleware has let through."""

    user: User
