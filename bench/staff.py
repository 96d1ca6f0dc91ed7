"""Admin pages and checks on a large site: a million videos and three million ledger entries."""

import resource
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection
from django.db.models import F, Sum
from django.test import Client

from accounts import staff_grants
from accounts.models import CreditEntry, StaffGrant, User
from aivideo import ledger_check, ledger_seals
from aivideo.staff import daily_totals
from bench import measure, rows
from bench.report import line, say

VIDEOS = 1_000_000
PAGES = {
    "dashboard": "/admin/?days=30",
    "money console": "/admin/money/",
    "list of videos": "/admin/videos/video/",
    "list of entries": "/admin/accounts/creditentry/",
}


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    count, rounds = (100, 1) if tiny else (VIDEOS, 5)
    owner, *others = rows.people(100)
    began = time.monotonic()
    rows.finished(count, owner, others)
    _more_entries(2 * count, [owner, *others])
    entries = CreditEntry.objects.count()
    say(f"{count:,} videos and {entries:,} entries were made in {time.monotonic() - began:.0f} s")

    seconds = _time(daily_totals.close)
    yield line("close_days", seconds, "s", n=entries, against="every entry, once", videos=count)

    settings.STAFF_SECOND_FACTOR = False  # this client has none
    boss = User.objects.create(username="boss", is_staff=True, is_superuser=True)
    client = Client(headers={"cookie": rows.cookie(boss)})

    def opened(path: str) -> Callable[[], float]:
        return lambda: 1000 * _time(lambda: _get(client, path))

    for path in PAGES.values():
        _get(client, path)
    contestants = {name: opened(path) for name, path in PAGES.items()}
    contestants["one read"] = lambda: 1000 * _time(lambda: User.objects.get(pk=boss.pk))
    found = measure.alternate(rounds, contestants)
    ms = {name: median(times) for name, times in found.items()}
    yield line(
        "dashboard",
        ms["dashboard"],
        "ms",
        ratio=measure.ratio(found["dashboard"], found["one read"]),
        against="reading one row by its primary key",
        n=count,
        target="< 1,000 ms with 1,000,000 videos and 3,000,000 entries",
        met=max(found["dashboard"]) < 1000,
        entries=entries,
        others={name: round(times, 1) for name, times in ms.items()},
    )

    before = _memory()
    sealed = _time(ledger_seals.seal)
    seconds = _time(rows.verify)
    plain = _time(lambda: CreditEntry.objects.aggregate(n=Sum("amount")))
    yield line(
        "check_ledger",
        seconds,
        "s",
        ratio=seconds / plain,
        against="the sum of all entries, in one statement",
        n=entries,
        target="< 10 s per million entries",
        met=seconds * 1_000_000 / entries < 10,
        sealed_in_s=round(sealed, 1),
        grew_mib=round(_memory() - before, 1),
        violations=len(ledger_check.violations()[1]) if tiny else 0,
    )


def _more_entries(count: int, people: list[User]) -> None:
    """Grants of one credit each, spread over time like the videos."""
    table = CreditEntry._meta.db_table
    staff_grants.grant(people[0], 1, giver=None, reason="bench", form=uuid4())
    first, grant = CreditEntry.objects.order_by("pk").last(), StaffGrant.objects.get(user=people[0], amount=1)
    assert first is not None
    ids = f"{people[0].pk} + n %% {len(people)}"
    rows.copy(
        first,
        count - 1,
        id=f"(SELECT MAX(id) FROM {table}) + n",
        user_id=ids,
        reference="'bench-grant:' || n",
        created_at=rows.earlier("created_at"),
    )
    rows.copy(grant, count - 1, id=rows.NEW_ID, reference="'bench-grant:' || n", user_id=ids)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))"
            )
            cursor.execute("VACUUM ANALYZE")
    share = CreditEntry.objects.filter(reference__startswith="bench-grant:").order_by().values_list("user")
    for user, total in share.annotate(n=Sum("amount")):
        User.objects.filter(pk=user).update(balance=F("balance") + total)


def _get(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, answer


def _time(function: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _memory() -> float:
    """This process's peak memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
