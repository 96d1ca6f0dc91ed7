"""API keys. A key is shown once; only its digest is stored.

A key is `av_live_`, 43 random characters (256 bits, so a plain SHA-256 without salt is enough) and a checksum
of six characters: a mistyped or invented key is rejected without a database query, and secret scanners can
recognize a key.
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

from accounts import credits, fast_sql
from accounts.models import ApiKey, User

PREFIX = "av_live_"
ALPHABET = string.digits + string.ascii_letters
RANDOM, CHECK = 43, 6  # characters; 62 ** 43 is a little more than 2 ** 256
WELL_FORMED = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM + CHECK}}}")
SHOWN = len(PREFIX) + 6  # leading characters by which people recognize their key

MAX_KEYS = 20  # active keys per user
LAST_USED_EXACT_TO = timedelta(minutes=1)
OLD_SECRET_LASTS = timedelta(hours=24)
MAX_REPEAT_WINDOW = timedelta(hours=1)


# Runs for every API request. Composing it in the ORM would take longer than everything else together.
BY_DIGEST = """
    SELECT k.id, k.user_id, k.name, k.prefix, k.credits_a_day, k.allowed_models, k.expires_at, k.revoked_at,
        k.last_used_at, k.webhook_url, k.max_credits, k.repeat_window, u.is_active AS owner_is_active,
        u.balance AS owner_balance, u.lapsing AS owner_expiring, u.credits_a_day AS owner_credits_a_day,
        u.staff_credits_a_day AS owner_staff_credits_a_day
    FROM accounts_apikey AS k JOIN accounts_user AS u ON u.id = k.user_id
    WHERE k.digest = %s
"""


OF_OWNER = ("is_active", "balance", "expiring", "credits_a_day", "staff_credits_a_day")


class KeyRefused(Exception):
    """The key is unknown, revoked or expired, or its owner is suspended. The text is for the client."""


def create(
    user: User,
    name: str,
    *,
    credits_a_day: int | None = None,
    max_credits: int | None = None,
    allowed_models: list[str] | None = None,
    expires_at: datetime | None = None,
    webhook_url: str = "",
) -> tuple[ApiKey, str]:
    """Create a key and return it with its text, which can be shown only now.

    `credits_a_day`, `max_credits` (for as long as it lives) and `allowed_models` (slugs) limit what it may order;
    None: no limit.
    """
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    text = f"{PREFIX}{random}{_check(random)}"
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN],
        digest=_digest(text),
        credits_a_day=credits_a_day,
        max_credits=max_credits,
        allowed_models=allowed_models or [],
        expires_at=expires_at,
        webhook_url=webhook_url,
        webhook_secret=new_webhook_secret(),
    )
    return key, text


def find(text: str) -> ApiKey:
    """The key with this text, and its user. Raises KeyRefused; only for an existing key does that name the reason."""
    key = _known(text) if is_well_formed(text) else None
    if key is None:
        raise KeyRefused("Incorrect API key provided. You can find your API keys on your account page.")
    if key.revoked_at:
        raise KeyRefused("This API key has been revoked.")
    if key.expires_at and key.expires_at <= timezone.now():
        raise KeyRefused("This API key has expired.")
    if not key.user.is_active:
        raise KeyRefused("This account is suspended.")
    _note_use(key)
    return key


def revoke(key: ApiKey) -> bool:
    """Revoke the key, effective with the next request. True for exactly one caller."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()))


def rotate_webhook_secret(key: ApiKey) -> str:
    """Replace the key's webhook secret and return the new one. For a day, webhooks are signed with both."""
    secret, now = new_webhook_secret(), timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(
        webhook_secret=secret, old_webhook_secret=key.webhook_secret, old_secret_until=now + OLD_SECRET_LASTS
    )
    return secret


def new_webhook_secret() -> str:
    """A Standard Webhooks secret: whsec_ followed by 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def working(user: User) -> QuerySet[ApiKey]:
    """The user's keys that are neither revoked nor expired."""
    now = timezone.now()
    return user.api_keys.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def is_well_formed(text: str) -> bool:
    """Whether the text has the format of a key and a correct checksum."""
    if not WELL_FORMED.fullmatch(text):
        return False
    return text[-CHECK:] == _check(text[len(PREFIX) : -CHECK])


def _known(text: str) -> ApiKey | None:
    key = fast_sql.first(ApiKey, BY_DIGEST, [_digest(text)])
    if key is not None:
        facts = [key.user_id, *(getattr(key, f"owner_{name}") for name in OF_OWNER)]
        key.user = User.from_db(key._state.db, ["id", *OF_OWNER], facts)
        credits.leave_out_expired(key.user)
    return key


def _check(random: str) -> str:
    number, letters = zlib.crc32(random.encode()), ""
    for _ in range(CHECK):
        number, rest = divmod(number, len(ALPHABET))
        letters = ALPHABET[rest] + letters
    return letters


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _note_use(key: ApiKey) -> None:
    """Record the last use to the minute: a write for each request would cost more than the request itself."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > LAST_USED_EXACT_TO:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
