"""Keys by which programs sign in. A key is shown once; what stays is its digest.

`av_live_`, 43 characters of chance (256 bits, so that the digest needs no salt and no slowness) and
six that are computed from them: a key that was mistyped, or made up, is refused without a look at
the database, and whoever scans public places for lost keys can tell one from other text.
"""

import base64
import hashlib
import re
import secrets
import string
import zlib
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import ApiKey, User

PREFIX = "av_live_"
ALPHABET = string.digits + string.ascii_letters
RANDOM, CHECK = 43, 6  # characters; 62 ** 43 is a little more than 2 ** 256
WELL_FORMED = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM + CHECK}}}")
SHOWN = len(PREFIX) + 6  # characters by which people recognise their key

MAX_KEYS = 20  # of one person, that work
LAST_USED_EXACT_TO = timedelta(minutes=1)
OLD_SECRET_LASTS = timedelta(hours=24)


# Asked with every request of every program, and Django would take longer to put it together than all else takes.
BY_DIGEST = """
    SELECT k.id, k.user_id, k.name, k.prefix, k.credits_a_day, k.allowed_models, k.expires_at, k.revoked_at,
        k.last_used_at, k.webhook_url, u.is_active AS owner_is_active, u.balance AS owner_balance
    FROM accounts_apikey AS k JOIN accounts_user AS u ON u.id = k.user_id
    WHERE k.digest = %s
"""


class KeyRefused(Exception):
    """There is no such key, or it works no more. The text is for whoever sent it."""


def create(
    user: User,
    name: str,
    *,
    credits_a_day: int | None = None,
    allowed_models: list[str] | None = None,
    expires_at: datetime | None = None,
    webhook_url: str = "",
) -> tuple[ApiKey, str]:
    """Make a key, and return it with its text, to be shown now: nobody can read it again.

    `credits_a_day` and `allowed_models` (slugs) bound what may be ordered with it; None: no bound.
    """
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    text = f"{PREFIX}{random}{_check(random)}"
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN],
        digest=_digest(text),
        credits_a_day=credits_a_day,
        allowed_models=allowed_models or [],
        expires_at=expires_at,
        webhook_url=webhook_url,
        webhook_secret=new_webhook_secret(),
    )
    return key, text


def find(text: str) -> ApiKey:
    """The key of this text, with its user. Raises KeyRefused, and says why to who holds a real one."""
    key = _known(text) if is_well_formed(text) else None
    if key is None:
        raise KeyRefused("Incorrect API key provided. You find your keys on your account page.")
    if key.revoked_at:
        raise KeyRefused("This API key was revoked.")
    if key.expires_at and key.expires_at <= timezone.now():
        raise KeyRefused("This API key has expired.")
    if not key.user.is_active:
        raise KeyRefused("This account is suspended.")
    _note_use(key)
    return key


def revoke(key: ApiKey) -> bool:
    """It works no more, from the next request on. True for one caller."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()))


def rotate_webhook_secret(key: ApiKey) -> str:
    """Give the key a new secret for webhooks and return it; for a day, they are signed with both."""
    secret, now = new_webhook_secret(), timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(
        webhook_secret=secret, old_webhook_secret=key.webhook_secret, old_secret_until=now + OLD_SECRET_LASTS
    )
    return secret


def new_webhook_secret() -> str:
    """In the form of Standard Webhooks: whsec_ and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def working(user: User) -> QuerySet[ApiKey]:
    """The keys of a person that are neither revoked nor expired."""
    now = timezone.now()
    return user.api_keys.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def is_well_formed(text: str) -> bool:
    """Whether this could be a key at all."""
    if not WELL_FORMED.fullmatch(text):
        return False
    return text[-CHECK:] == _check(text[len(PREFIX) : -CHECK])


def _known(text: str) -> ApiKey | None:
    for key in ApiKey.objects.raw(BY_DIGEST, [_digest(text)]):
        facts = [key.user_id, key.owner_is_active, key.owner_balance]  # type: ignore[attr-defined]
        key.user = User.from_db(key._state.db, ["id", "is_active", "balance"], facts)
        return key
    return None


def _check(random: str) -> str:
    number, letters = zlib.crc32(random.encode()), ""
    for _ in range(CHECK):
        number, rest = divmod(number, len(ALPHABET))
        letters = ALPHABET[rest] + letters
    return letters


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _note_use(key: ApiKey) -> None:
    """When it was used last, to the minute: a write for each request would cost more than the request."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > LAST_USED_EXACT_TO:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
