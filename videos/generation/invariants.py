"""What must hold of videos and their credits, as queries that find what does not. See `accounts/invariants.py`."""

from collections.abc import Iterator

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from accounts.invariants import Check, as_uuid, found, uuid_text
from accounts.models import CreditEntry
from videos.models import Status, Video

Kind = CreditEntry.Kind
REFUNDED = f"(video.status IN ('{Status.FAILED}', '{Status.CANCELED}') OR video.is_free)"


def violations() -> Iterator[str]:
    """A sentence for each video without its entries, and each entry without its video.

    An entry is looked up by its video's key. Whether each video has its entries is looked up only if there are too few, since
    a video can have only one of a kind.
    """
    yield from found([_entries_of_no_video(), _refunds_of_no_reason()])
    charged = Q(credits__gt=0)
    if _credits(Kind.CHARGE) != -_prices(charged):
        yield from found([_videos_without(Kind.CHARGE, "was not charged its", "credits > 0")])
    unsuccessful = Q(status__in=[Status.FAILED, Status.CANCELED]) | Q(is_free=True)
    if _credits(Kind.REFUND) != _prices(charged & unsuccessful):
        yield from found(
            [_videos_without(Kind.REFUND, "did not get back its", f"credits > 0 AND {REFUNDED}")]
        )


def _credits(kind: str) -> int:
    return int(CreditEntry.objects.filter(kind=kind).aggregate(n=Coalesce(Sum("amount"), 0))["n"])


def _prices(of: Q) -> int:
    return int(Video.objects.filter(of).aggregate(n=Coalesce(Sum("credits"), 0))["n"])


def _entries_of_no_video() -> Check:
    return Check(
        "entry {} of user {} says {} of {} credits for {}, which is no such video of theirs",
        f"""
        SELECT entry.id, entry.user_id, entry.kind, entry.amount, entry.reference FROM accounts_creditentry entry
        LEFT JOIN videos_video video ON video.id = {as_uuid("SUBSTR(entry.reference, 7)")}
        WHERE entry.kind IN ('charge', 'refund') AND (
            video.id IS NULL OR entry.reference NOT LIKE 'video:%' OR video.user_id <> entry.user_id
            OR video.credits <> ABS(entry.amount))
        """,
    )


def _refunds_of_no_reason() -> Check:
    return Check(
        "video {} is {}, but its credits returned",
        f"""
        SELECT {uuid_text("video.id")}, video.status FROM accounts_creditentry entry
        JOIN videos_video video ON video.id = {as_uuid("SUBSTR(entry.reference, 7)")}
        WHERE entry.kind = 'refund' AND entry.reference LIKE 'video:%' AND NOT {REFUNDED}
        """,
    )


def _videos_without(kind: str, problem: str, condition: str) -> Check:
    return Check(
        f"video {{}} is {{}} and {problem} {{}} credits",
        f"""
        SELECT {uuid_text("video.id")}, video.status, video.credits FROM videos_video video
        WHERE {condition} AND NOT EXISTS (
            SELECT 1 FROM accounts_creditentry entry
            WHERE entry.kind = '{kind}' AND entry.reference = 'video:' || {uuid_text("video.id")})
        """,
    )
