"""Invariants of credits and videos, as queries that find violations."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, Replace, Substr

from accounts.models import CreditEntry, Lot, User
from videos.models import Status, Video

MAX_SHOWN = 20  # per kind of violation


def violations() -> tuple[dict[str, int], list[str]]:
    """The number of rows checked, by kind, and one sentence per violation."""
    counts = {
        "users": User.objects.count(),
        "credit entries": CreditEntry.objects.count(),
        "videos": Video.objects.count(),
        "videos unfinished": Video.objects.live().count(),
    }
    return counts, [*_balances(), *_charges(), *_refunds(), *_strays()]


def _balances() -> Iterator[str]:
    """Balance minus debt equals the sum of the ledger entries; expiring credits equal what is left in the lots."""
    totals = User.objects.annotate(total=Coalesce(Sum("credit_entries__amount"), 0))
    for user in totals.exclude(balance=F("total") + F("debt"))[:MAX_SHOWN]:
        yield (
            f"user {user.pk} has {user.balance} credits and owes {user.debt},"
            f" but the entries add up to {user.total}"
        )
    left = (
        Lot.objects.filter(user=OuterRef("pk")).order_by().values("user").annotate(n=Sum("left")).values("n")
    )
    lots = User.objects.annotate(left=Coalesce(Subquery(left), 0))
    for owner in lots.exclude(expiring=F("left"))[:MAX_SHOWN]:
        yield f"of user {owner.pk} {owner.expiring} credits expire, but {owner.left} are left in the lots"


def _charges() -> Iterator[str]:
    """Every video was charged its price. (A database constraint prevents charging twice.)"""
    charged = _entries(CreditEntry.Kind.CHARGE).filter(amount=-OuterRef("credits"))
    for video in _videos().filter(~Exists(charged), credits__gt=0)[:MAX_SHOWN]:
        yield f"video {video.pk} was not charged its {video.credits} credits"


def _refunds() -> Iterator[str]:
    """A video is refunded in full if and only if it failed, was canceled or was delivered free."""
    refunds = _entries(CreditEntry.Kind.REFUND)
    unsuccessful = Q(status__in=[Status.FAILED, Status.CANCELED])
    in_full = refunds.filter(amount=OuterRef("credits"))
    for video in _videos().filter(unsuccessful, ~Exists(in_full), credits__gt=0)[:MAX_SHOWN]:
        yield f"video {video.pk} is {video.status}, but its {video.credits} credits did not return"
    for video in _videos().filter(~unsuccessful, Exists(refunds), is_free=False)[:MAX_SHOWN]:
        yield f"video {video.pk} is {video.status}, but its credits returned"
    for video in _videos().filter(~unsuccessful, ~Exists(refunds), is_free=True, credits__gt=0)[:MAX_SHOWN]:
        yield f"video {video.pk} counts as delivered free, but its credits did not return"


def _strays() -> Iterator[str]:
    """Entries whose video does not exist. Counting first is cheap and nearly always sufficient."""
    of_videos = CreditEntry.objects.filter(reference__startswith="video:")
    videos = _videos().filter(name=OuterRef("reference"))
    charges = of_videos.aggregate(n=Count("pk", filter=Q(kind=CreditEntry.Kind.CHARGE)))["n"]
    if charges == Video.objects.filter(credits__gt=0).count():
        return
    for entry in of_videos.filter(~Exists(videos))[:MAX_SHOWN]:
        yield f"entry {entry.pk} ({entry}) belongs to no video"


def _entries(kind: str) -> QuerySet[CreditEntry]:
    return CreditEntry.objects.filter(kind=kind, reference=OuterRef("name"), user=OuterRef("user"))


def _videos() -> QuerySet[Any]:
    """Videos annotated with `name`, Video.reference in SQL. SQLite stores a UUID as 32 hex digits without dashes."""
    digits = Replace(Cast("pk", TextField()), Value("-"), Value(""))
    parts = [Substr(digits, start, length) for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
    dashed = [piece for part in parts for piece in (Value("-"), part)][1:]
    return Video.objects.annotate(name=Concat(Value("video:"), *dashed))
