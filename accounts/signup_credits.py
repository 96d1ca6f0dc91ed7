"""Sign-up credits: once per person, within a daily budget that staff set.

Google accounts can be bought, so only the daily budget limits what free credits cost. We store a keyed hash
of the Google identity and of the email address, permanently and for this purpose only, so that nobody gets
the credits again by deleting the account and signing up again.
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
from django.utils.crypto import salted_hmac

from accounts import credits, utc_days
from accounts.models import FreeCredits, FreeCreditTally, User, Welcome

# Prefix length of the network that one household or rented server has, by IP version.
BLOCK = {4: 24, 6: 64}
DOTLESS = ("gmail.com", "googlemail.com")


class Outcome(enum.Enum):
    GIVEN = "given"
    HAD = "had before"
    NOT_TODAY = "the daily budget is used up"
    NOT_HERE = "the daily limit of this network is reached"


def give(user: User, request: HttpRequest) -> Outcome:
    """Grant SIGNUP_CREDITS, unless this person has had them or a daily limit is reached."""
    identities = {_hash(text) for text in _identities(user)}
    try:
        with transaction.atomic():
            if not settings.SIGNUP_CREDITS or is_welcomed(user) or _was_welcomed_under_a_former_key(user):
                return Outcome.HAD
            # The unique constraint stops concurrent requests.
            Welcome.objects.bulk_create([Welcome(identity=identity) for identity in sorted(identities)])
            most = FreeCredits.objects.first() or FreeCredits()
            if not _count("site", settings.SIGNUP_CREDITS, most.credits_a_day):
                transaction.set_rollback(True)
                return Outcome.NOT_TODAY
            block = _block_of(request)
            if block and not _count(_hash(block), 1, most.people_a_day_and_network):
                transaction.set_rollback(True)
                return Outcome.NOT_HERE
            credits.grant_signup(user)
    except IntegrityError:
        return Outcome.HAD
    return Outcome.GIVEN


def is_welcomed(user: User) -> bool:
    """Whether this account has received its sign-up credits."""
    return user.credit_entries.filter(kind="grant", reference=f"signup:{user.pk}").exists()


def next_day() -> datetime:
    """When the daily budget starts again: midnight UTC."""
    return utc_days.start_of(utc_days.today() + timedelta(days=1))


def purge_expired() -> None:
    """Delete the tallies of past days."""
    FreeCreditTally.objects.filter(day__lt=utc_days.today() - timedelta(days=7)).delete()


def _count(what: str, amount: int, most: int) -> bool:
    """Add to one of today's tallies, unless that would exceed `most`."""
    today = {"what": what, "day": utc_days.today()}
    FreeCreditTally.objects.bulk_create([FreeCreditTally(**today)], ignore_conflicts=True)
    room = FreeCreditTally.objects.filter(**today, given__lte=most - amount)
    return bool(room.update(given=F("given") + amount))


def _identities(user: User) -> list[str]:
    """What identifies a person: the accounts they sign in with, and their mailbox."""
    accounts = [f"{one.provider}:{one.uid}" for one in SocialAccount.objects.filter(user=user)]
    return [*accounts, f"mail:{_mailbox(user.email)}"] if user.email else accounts


def _mailbox(address: str) -> str:
    """The address without the parts that mail providers ignore, so that all aliases are the same."""
    name, _, domain = address.lower().rpartition("@")
    name = name.partition("+")[0]
    return f"{name.replace('.', '')}@gmail.com" if domain in DOTLESS else f"{name}@{domain}"


def _was_welcomed_under_a_former_key(user: User) -> bool:
    known = [_hash(text, secret) for secret in settings.SECRET_KEY_FALLBACKS for text in _identities(user)]
    return Welcome.objects.filter(identity__in=known).exists() if known else False


def _block_of(request: HttpRequest) -> str:
    """The network that a request comes from; "" if its address is not public, such as a proxy's."""
    try:
        address = ipaddress.ip_address(get_adapter().get_client_ip(request))
    except (ValueError, PermissionDenied):
        return ""
    mapped = getattr(address, "ipv4_mapped", None) or address
    if not mapped.is_global:
        return ""
    return str(ipaddress.ip_network((mapped, BLOCK[mapped.version]), strict=False))


def _hash(text: str, secret: str | None = None) -> str:
    return salted_hmac("accounts.welcome", text, secret, algorithm="sha256").hexdigest()
