"""allauth adapters: who may sign in, and what a new user gets."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import signup_credits
from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up with a password: accounts are created by Google sign-in only."""
        return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Require the second factor if the user has one: otherwise a password alone could remove it or add another."""
        methods = super().get_reauthentication_methods(user)
        return [one for one in methods if one["id"] != "reauthenticate"] or methods


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse identities without a verified email address, and connecting a second one to an account."""
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            raise ImmediateHttpResponse(redirect("/"))
        if not any(address.verified for address in sociallogin.email_addresses):
            raise ImmediateHttpResponse(render(request, "accounts/unverified_email.html", status=403))
        if not sociallogin.is_existing:
            _take_over_prepared(sociallogin, request)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Form | None = None) -> Any:
        """Create the user and grant the sign-up credits in one transaction."""
        with transaction.atomic():
            user: User = super().save_user(request, sociallogin, form)
            _welcome(user, request)
        return user


def _take_over_prepared(sociallogin: SocialLogin, request: HttpRequest) -> None:
    """Connect a first sign-in to the account that an operator created for its verified address, if nobody has used that yet."""
    with transaction.atomic():
        addresses = [address.email for address in sociallogin.email_addresses if address.verified]
        users = {
            user
            for address in addresses
            # Compared here as well: databases take letters of other alphabets for the same.
            for user in User.objects.select_for_update(no_key=True).filter(email__iexact=address)
            if user.email.casefold() == address.casefold()
        }
        if len(users) == 1 and _is_unused(prepared := users.pop()):
            sociallogin.connect(request, prepared)
            _welcome(prepared, request)


def _is_unused(user: User) -> bool:
    return (
        user.is_active
        and not (user.is_staff or user.last_login or user.has_usable_password())
        and not SocialAccount.objects.filter(user=user).exists()
        # A program's account stays that of the program.
        and not user.api_keys.exists()
        and not user.videos.exists()
    )


def _welcome(user: User, request: HttpRequest) -> None:
    outcome = signup_credits.give(user, request)
    if outcome != signup_credits.Outcome.GIVEN and settings.SIGNUP_CREDITS:
        messages.info(request, no_free_credits_message(outcome))


def no_free_credits_message(outcome: signup_credits.Outcome) -> str:
    """The message for a user who got no free credits."""
    if outcome == signup_credits.Outcome.HAD:
        return _("You have already received your free credits. You can buy more or redeem a code.")
    again = date_format(timezone.localtime(signup_credits.next_day()), "DATETIME_FORMAT")
    if outcome == signup_credits.Outcome.NOT_HERE:
        text = _(
            "The free credits for your network have been claimed for today. Come back after %(again)s to claim yours, or buy credits or redeem a code."
        )
    else:
        text = _(
            "Today's free credits have all been claimed. Come back after %(again)s to claim yours, or buy credits or redeem a code."
        )
    return text % {"again": again}
