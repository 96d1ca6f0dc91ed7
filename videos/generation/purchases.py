"""What was bought at the providers, beside what was sold here: `manage.py check_purchases`, and every night.

All credits may be right while the operator pays for videos that nobody paid for. So purchases are counted, too: those that our
rows name by the provider's id and, where the provider has a list, those in the list.
"""

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from videos.catalogue import connections
from videos.models import BLOCKED, FAILED_THERE, Channel, Offer, Status, Video
from videos.providers.base import ListedJob, Unavailable

WINDOW = timedelta(days=2)
# What is younger may still be on its way into our rows: a request takes a minute, and a lost reply is looked for longer.
SETTLING = timedelta(minutes=10)
MAX_NAMED = 100  # of each kind
LONGEST_LIST = 60  # seconds for the list of one provider, so that none keeps the others from being checked


@dataclass
class Purchases:
    """One channel's jobs that were accepted since some time. `cost` and `given_away_cost` are in US dollars.

    `blocked` are those of the `failed` that the provider blocked, and `blocked_cost` is what it charges for them.
    `given_away` counts by reason what was bought and not paid for: an error code, or `free` for a video that was delivered
    and refunded. `unknown` jobs are named by no row, and `missing` ones are of running videos, but not in the provider's
    list; `unknown_refs` are the provider's ids of the former, and `missing_ids` our ids of the latter, up to MAX_NAMED
    each. `doubt` is why the list may lack jobs, or why there is none.
    """

    channel: str
    paid: int = 0
    failed: int = 0
    blocked: int = 0
    given_away: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    missing: int = 0
    unknown_refs: list[str] = field(default_factory=list)
    missing_ids: list[str] = field(default_factory=list)
    cost: Decimal = Decimal(0)
    blocked_cost: Decimal = Decimal(0)
    given_away_cost: Decimal = Decimal(0)
    doubt: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something was bought that nobody knows, or sold that was not bought."""
        return bool(self.discrepancies)

    @property
    def discrepancies(self) -> int:
        return self.unknown + self.missing

    def as_json(self) -> dict[str, Any]:
        return {
            name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()
        }


def check(window: timedelta = WINDOW, settling: timedelta = SETTLING) -> list[Purchases]:
    """Compare all channels that are in use, or were in this window. Asks their providers for their lists."""
    now = timezone.now()
    found = [
        _of_channel(channel, now - window, now - settling) for channel in Channel.objects.order_by("slug")
    ]
    return [one for one in found if one is not None]


def _of_channel(channel: Channel, since: datetime, settled: datetime) -> Purchases | None:
    """None for a channel that has made nothing since then and is not available."""
    purchases = Purchases(channel.slug)
    bought = Video.objects.filter(channel=channel, accepted_at__gte=since, ref__isnull=False).order_by()
    if not connections.is_available(channel) and not bought.exists():
        return None
    is_failed = Q(status=Status.FAILED, is_free=False, error_code__in=FAILED_THERE)
    totals = bought.aggregate(
        n=Count("pk"),
        cost=Sum("cost"),
        failed=Count("pk", filter=is_failed),
        blocked=Count("pk", filter=is_failed & Q(error_code=BLOCKED)),
    )
    reasons = bought.given_away().values_list("error_code").annotate(n=Count("pk"), cost=Sum("cost"))
    for code, count, cost in reasons:
        purchases.given_away[code or "free"] = count
        purchases.given_away_cost += cost or 0
    purchases.failed, purchases.blocked = totals["failed"], totals["blocked"]
    purchases.paid = totals["n"] - purchases.failed - sum(purchases.given_away.values())
    purchases.cost = totals["cost"] or Decimal(0)
    failed = bought.filter(status=Status.FAILED, cost=None)
    estimated = _estimated_cost(failed.exclude(error_code__in=FAILED_THERE))
    purchases.given_away_cost += estimated
    purchases.cost += estimated
    if channel.charges_for_blocked:
        purchases.blocked_cost = _estimated_cost(failed.filter(error_code=BLOCKED))
        purchases.cost += purchases.blocked_cost
    _compare_with_list(purchases, channel, since, settled)
    return purchases


def _estimated_cost(videos: QuerySet[Video]) -> Decimal:
    """What these videos cost by the catalog, for jobs whose end the provider did not report with a price."""
    total = Decimal(0)
    kinds = videos.values_list("model", "channel", "seconds").annotate(n=Count("pk"))
    for model, channel, seconds, count in kinds:
        offer = Offer.objects.filter(model=model, channel=channel).first()
        total += ((offer.cost_of(seconds) if offer else None) or 0) * count
    return total


def _compare_with_list(purchases: Purchases, channel: Channel, since: datetime, settled: datetime) -> None:
    try:
        jobs, purchases.doubt = asyncio.run(_listed(channel, since))
    except Unavailable as error:
        purchases.doubt = str(error)
        return
    begin, end = since.timestamp(), settled.timestamp()
    refs = [job.ref for job in jobs if job.created_at is None or begin <= job.created_at < end]
    known: set[str | None] = set()
    for start in range(0, len(refs), 1000):
        named = Video.objects.filter(channel=channel, ref__in=refs[start : start + 1000])
        known |= set(named.values_list("ref", flat=True))
    unknown = [ref for ref in refs if ref not in known]
    purchases.unknown, purchases.unknown_refs = len(unknown), unknown[:MAX_NAMED]
    if purchases.doubt:
        return
    shown = {job.ref for job in jobs}
    running = Video.objects.filter(
        channel=channel, status=Status.IN_PROGRESS, accepted_at__range=(since, settled)
    )
    missing = [video.public_id for video in running.only("ref") if video.ref not in shown]
    purchases.missing, purchases.missing_ids = len(missing), missing[:MAX_NAMED]


async def _listed(channel: Channel, since: datetime) -> tuple[list[ListedJob], str]:
    try:
        async with asyncio.timeout(LONGEST_LIST), connections.provider_for(channel) as provider:
            return await provider.jobs(since)
    except TimeoutError:
        return [], f"not read within {LONGEST_LIST} seconds"
