"""Redeem codes: 16 letters and digits that can be exchanged for credits.

The database stores only a digest of each, so reading it does not allow redeeming. The digest needs no salt
and no slow hash: a code has 80 random bits.
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

# Without I, L, O, and U; lookalikes that users type are read as the digit.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
READ_AS = str.maketrans("ILO", "110")
LENGTH = 16
MAX_WRONG, WRONG_FOR = 10, 3600  # invalid codes per user; seconds


class CodeRefused(Exception):
    """No credits were granted. `reason` is one of REASONS; `batch` is set unless the code is unknown."""

    UNKNOWN, USED, EXPIRED, TOO_MANY = REASONS = ("unknown", "used", "expired", "too_many")

    def __init__(self, reason: str, batch: CodeBatch | None = None) -> None:
        super().__init__(reason)
        self.reason, self.batch = reason, batch


def create(batch: CodeBatch, count: int) -> list[str]:
    """Create `count` codes for a saved batch and return them. They cannot be read again later."""
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(count)]
    RedeemCode.objects.bulk_create(
        [RedeemCode(batch=batch, digest=_digest(code)) for code in codes], batch_size=500
    )
    return [spaced(code) for code in codes]


def redeem(user: User, text: str) -> int:
    """Grant the credits of a code to the first user who redeems it, and return how many. Raises CodeRefused.

    Case, spaces, and dashes do not matter. After too many invalid codes, the user has to wait.
    """
    wrong = f"wrong-codes:{user.pk}"
    if (cache.get_or_set(wrong, 0, WRONG_FOR) or 0) >= MAX_WRONG:
        raise CodeRefused(CodeRefused.TOO_MANY)
    code = RedeemCode.objects.select_related("batch").filter(digest=_digest(text)).first()
    if code is None:
        with suppress(ValueError):  # the counter expired at this very moment
            cache.incr(wrong)
        raise CodeRefused(CodeRefused.UNKNOWN)
    batch, now = code.batch, timezone.now()
    if code.redeemed_at:
        raise CodeRefused(CodeRefused.USED, batch)
    if batch.redeem_until and now >= batch.redeem_until:
        raise CodeRefused(CodeRefused.EXPIRED, batch)
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
    """Grouped for readability: ABCD-EFGH-JKMN-PQRS."""
    return "-".join(code[start : start + 4] for start in range(0, LENGTH, 4))


def _digest(text: str) -> str:
    code = re.sub(r"[\s\-–—_.]", "", text).upper().translate(READ_AS)
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
