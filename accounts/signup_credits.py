"""The free credits of newcomers: once for each person, and never more in a day than staff allow.

Accounts at Google can be bought, so only the budget of the day bounds what free credits cost. What
stays of a person is a keyed hash of the Google identity and of the e-mail address, kept for ever and
for this purpose only: whoever deletes an account and comes back has had the credits.
"""

import enum
import ipaddress
from datetime import datetime, timedelta

from allauth.account.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import credits
from accounts.models import FreeCredits, FreeCreditTally, User, Welcome

# Of an address, what one household or one rented server has.
BLOCK = {4: 24, 6: 64}
DOTLESS = ("gmail.com", "googlemail.com")


class Outcome(enum.Enum):
    GIVEN = "given"
    HAD = "had before"
    NOT_TODAY = "the budget of the day is spent"
    NOT_HERE = "others of this network had them today"


class _RefusedError(Exception):
    pass


def give(user: User, request: HttpRequest) -> Outcome:
    """Give a user SIGNUP_CREDITS, unless this person had them, or too many had them today."""
    identities = {_hash(text) for text in _identities(user)}
    try:
        with transaction.atomic():
            if not settings.SIGNUP_CREDITS or is_welcomed(user):
                return Outcome.HAD
            # Two at once meet the constraint.
            Welcome.objects.bulk_create([Welcome(identity=identity) for identity in sorted(identities)])
            most = FreeCredits.objects.first() or FreeCredits()
            if not _count("site", settings.SIGNUP_CREDITS, most.credits_a_day):
                raise _RefusedError(Outcome.NOT_TODAY)
            block = _block_of(request)
            if block and not _count(_hash(block), 1, most.people_a_day_and_network):
                raise _RefusedError(Outcome.NOT_HERE)
            credits.grant_signup(user)
    except _RefusedError as refusal:
        return refusal.args[0]
    except IntegrityError:
        return Outcome.HAD
    return Outcome.GIVEN


def is_welcomed(user: User) -> bool:
    """Whether this very account got its free credits."""
    return user.credit_entries.filter(kind="grant", reference=f"signup:{user.pk}").exists()


def next_day() -> datetime:
    """When the budget begins anew: midnight UTC."""
    now = timezone.now()
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def purge_expired() -> None:
    """Delete the tallies of days that are over."""
    FreeCreditTally.objects.filter(day__lt=timezone.now().date() - timedelta(days=7)).delete()


def _count(what: str, amount: int, most: int) -> bool:
    """Add to a tally of today, unless it would then exceed `most`."""
    today = {"what": what, "day": timezone.now().date()}
    FreeCreditTally.objects.bulk_create([FreeCreditTally(**today)], ignore_conflicts=True)
    room = FreeCreditTally.objects.filter(**today, given__lte=most - amount)
    return bool(room.update(given=F("given") + amount))


def _identities(user: User) -> list[str]:
    """What tells a person: the accounts they sign in with, and where their mail arrives."""
    accounts = [f"{one.provider}:{one.uid}" for one in SocialAccount.objects.filter(user=user)]
    return [*accounts, f"mail:{_mailbox(user.email)}"] if user.email else accounts


def _mailbox(address: str) -> str:
    """The address without what a provider ignores in it, so that aliases are one."""
    name, _, domain = address.lower().rpartition("@")
    name = name.partition("+")[0]
    return f"{name.replace('.', '')}@gmail.com" if domain in DOTLESS else f"{name}@{domain}"


def _block_of(request: HttpRequest) -> str:
    """The network a request comes from; "" for addresses that are no public ones, such as a proxy's."""
    try:
        address = ipaddress.ip_address(get_adapter().get_client_ip(request))
    except (ValueError, PermissionDenied):
        return ""
    mapped = getattr(address, "ipv4_mapped", None) or address
    if not mapped.is_global:
        return ""
    return str(ipaddress.ip_network((mapped, BLOCK[mapped.version]), strict=False))


def _hash(text: str) -> str:
    return salted_hmac("accounts.welcome", text, algorithm="sha256").hexdigest()
