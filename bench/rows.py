"""Create users and videos in bulk, with their ledger entries, so that all invariants hold."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Model
from django.test import Client
from django.utils import timezone

from accounts import fast_sql, staff_grants
from accounts.models import CreditEntry, User
from aivideo import ledger_check
from videos.catalogue import availability, routing
from videos.models import Status, Video, VideoEvent

PROMPT = "A red kite over the sea"  # the same for all, so that the simulator paints it once
PLENTY = 10**9  # credits
SQLITE = connection.vendor == "sqlite"
NEW_ID = "lower(hex(randomblob(16)))" if SQLITE else "gen_random_uuid()"


def people(count: int) -> list[User]:
    """New users with plenty of credits and consecutive ids."""
    with transaction.atomic():
        # High ids, so that they are not confused with other numbers in a statement.
        start = 1_000_003
        users = User.objects.bulk_create(
            User(id=start + n, username=f"person-{n}", email=f"person-{n}@example.com") for n in range(count)
        )
        for user in users:
            staff_grants.grant(user, PLENTY, giver=None, reason="bench", form=uuid4())
    return users


def cookie(user: User) -> str:
    """The Cookie header of a signed-in session."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def orders(
    users: Sequence[User], count: int, *, each: Callable[[int], dict[str, Any]] | None = None, **fields: Any
) -> list[Video]:
    """`count` charged videos, spread over the users. `fields` override those of a queued video, `each` by number."""
    model = availability.models().first()
    assert model is not None
    offer = routing.best(model, users[0])
    values = {"model": model, "channel": offer.channel, "provider_model": offer.provider_model}
    price = model.price_of(model.sizes[0], model.lengths[0])
    values |= {
        "credits": price,
        "prompt": PROMPT,
        "size": model.sizes[0],
        "seconds": model.lengths[0],
        **fields,
    }
    with transaction.atomic():
        videos = Video.objects.bulk_create(
            (Video(user=users[n % len(users)], **values | (each(n) if each else {})) for n in range(count)),
            batch_size=500,
        )
        VideoEvent.objects.bulk_create(
            (VideoEvent(video=video, went_to=video.status) for video in videos), batch_size=500
        )
        CreditEntry.objects.bulk_create(
            (
                CreditEntry(user_id=v.user_id, amount=-v.credits, kind="charge", reference=v.reference)
                for v in videos
            ),
            batch_size=500,
        )
        for n, user in enumerate(users[:count]):
            share = len(range(n, count, len(users)))
            User.objects.filter(pk=user.pk).update(balance=F("balance") - share * price)
    return videos


def finished(count: int, owner: User, others: Sequence[User]) -> None:
    """`count` finished videos with their events and charges, a thousand per day; every tenth is the owner's."""
    now = timezone.now()
    facts: dict[str, Any] = {
        "bytes": 1_000_000,
        "sha256": "0" * 64,
        "width": 1280,
        "height": 720,
        "duration": 4.0,
    }
    facts |= {"status": Status.COMPLETED, "progress": 100, "ref": "bench-0", "file": "videos/0.mp4"}
    facts |= {
        "next_attempt_at": None,
        "created_at": now,
        "accepted_at": now,
        "ended_at": now + timedelta(seconds=12),
    }
    first = orders([owner], 1, poster="posters/0.webp", **facts)[0]
    _hurry()
    user = f"CASE WHEN n %% 10 = 0 THEN {owner.pk} ELSE {others[0].pk} + n %% {len(others)} END"
    copy(
        first,
        count - 1,
        id=NEW_ID,
        user_id=user,
        ref="'bench-' || n",
        file="'videos/' || n || '.mp4'",
        poster="'posters/' || n || '.webp'",
        **{name: earlier(name) for name in ("created_at", "accepted_at", "ended_at")},
    )
    with connection.cursor() as cursor:
        video, entry, event = (f'"{m._meta.db_table}"' for m in (Video, CreditEntry, VideoEvent))
        copies = f"FROM {video} WHERE ref LIKE 'bench-%%' AND id <> %s"
        pk = fast_sql.raw_key(Video, first.pk)
        dashed = "id::text"
        if SQLITE:
            pieces = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
            dashed = " || '-' || ".join(f"substr(id, {start}, {length})" for start, length in pieces)
        cursor.execute(
            f"INSERT INTO {entry} (user_id, amount, kind, reference, note, created_at)"
            f" SELECT user_id, -credits, 'charge', 'video:' || {dashed}, '', created_at {copies}",
            [pk],
        )
        path = [Status.QUEUED, Status.SUBMITTING, Status.IN_PROGRESS, Status.SAVING, Status.COMPLETED]
        for came_from, went_to in zip(["", *path], path, strict=False):
            cursor.execute(
                f"INSERT INTO {event} (video_id, at, came_from, went_to, why)"
                f" SELECT id, created_at, %s, %s, '' {copies}",
                [came_from, went_to, pk],
            )
        cursor.execute(
            f'UPDATE "{User._meta.db_table}" SET balance ='
            f' (SELECT SUM(amount) FROM {entry} WHERE user_id = "{User._meta.db_table}".id)'
        )
        if not SQLITE:
            cursor.execute("VACUUM ANALYZE")  # as autovacuum would have done over time
    connection.close()


def verify() -> None:
    """Raise AssertionError if an invariant does not hold."""
    if wrong := ledger_check.violations()[1]:
        raise AssertionError("\n".join(wrong))


def copy(template: Model, count: int, **columns: str) -> None:
    """Insert `count` more rows like `template`. `columns` has SQL for those that differ, with n as a counter."""
    meta = template._meta
    pk = meta.pk
    assert pk is not None
    names = [str(field.column) for field in meta.concrete_fields]
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(columns.get(name, f'"{name}"') for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{meta.db_table}" ({quoted})'
            f" WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
            f' SELECT {values} FROM numbers, "{meta.db_table}" WHERE "{pk.column}" = %s',
            [fast_sql.raw_key(type(template), template.pk)],
        )


def earlier(column: str) -> str:
    if SQLITE:
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {column}, (-86 * n) || ' seconds')"
    return f"{column} - n * interval '86 seconds'"


def _hurry() -> None:
    """Turn off durability: this data is thrown away anyway."""
    with connection.cursor() as cursor:
        if SQLITE:
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.execute("PRAGMA cache_size=-1000000")
        else:
            cursor.execute("SET synchronous_commit=off")
