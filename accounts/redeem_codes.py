"""Redeem codes: credits that somebody hands out as a word of 16 letters and digits.

The database keeps a digest of each, so that nobody who reads it can redeem one. The digest needs no
salt and no slowness: a code is 80 random bits.
"""

import hashlib
import re
import secrets
from contextlib import suppress
from datetime import timedelta

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from accounts import credits
from accounts.models import CodeBatch, RedeemCode, User

# Without I, L, O and U: what people read as another character, is that character.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
READ_AS = str.maketrans("ILO", "110")
LENGTH = 16
MAX_WRONG, WRONG_FOR = 10, 3600  # wrong codes of one user in so many seconds


class CodeRefused(Exception):
    """Nothing was given. `reason` is one of REASONS; `batch` is known unless the code is not."""

    UNKNOWN, USED, OVER, TOO_MANY = REASONS = ("unknown", "used", "over", "too_many")

    def __init__(self, reason: str, batch: CodeBatch | None = None) -> None:
        super().__init__(reason)
        self.reason, self.batch = reason, batch


def create(batch: CodeBatch, count: int) -> list[str]:
    """Make `count` codes of a saved batch and return them, to be shown now: nobody can read them again."""
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(count)]
    RedeemCode.objects.bulk_create(
        [RedeemCode(batch=batch, digest=_digest(code)) for code in codes], batch_size=500
    )
    return [spaced(code) for code in codes]


def redeem(user: User, text: str) -> int:
    """Give the credits of a code to whoever types it first, and return how many. Raises CodeRefused.

    Case, spaces and dashes do not matter. Who typed too many wrong ones has to wait.
    """
    wrong = f"wrong-codes:{user.pk}"
    if (cache.get_or_set(wrong, 0, WRONG_FOR) or 0) >= MAX_WRONG:
        raise CodeRefused(CodeRefused.TOO_MANY)
    code = RedeemCode.objects.select_related("batch").filter(digest=_digest(text)).first()
    if code is None:
        with suppress(ValueError):  # the hour is over in this very moment
            cache.incr(wrong)
        raise CodeRefused(CodeRefused.UNKNOWN)
    batch, now = code.batch, timezone.now()
    if code.redeemed_at:
        raise CodeRefused(CodeRefused.USED, batch)
    if batch.redeem_until and now >= batch.redeem_until:
        raise CodeRefused(CodeRefused.OVER, batch)
    with transaction.atomic():
        mine = RedeemCode.objects.filter(pk=code.pk, redeemed_at=None)
        if not mine.update(redeemed_by=user, redeemed_at=now):
            raise CodeRefused(CodeRefused.USED, batch)
        expires_at = now + timedelta(days=batch.lasts_days) if batch.lasts_days else None
        credits.grant(
            user, batch.credits, reference=f"code:{code.pk}", note=batch.name, expires_at=expires_at
        )
    return batch.credits


def spaced(code: str) -> str:
    """As it is easy to read and to type: ABCD-EFGH-JKMN-PQRS."""
    return "-".join(code[start : start + 4] for start in range(0, LENGTH, 4))


def _digest(text: str) -> str:
    code = re.sub(r"[\s\-–—_.]", "", text).upper().translate(READ_AS)
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
