"""Orders: charge, row, event and wake-up message, compared with the same statements in raw SQL."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, connections

from accounts.models import User
from bench import measure, rows
from bench.report import line, say
from videos.catalogue import availability
from videos.generation import ordering
from videos.models import VideoModel
from videos.moderation import blocked_terms
from videos.order import VideoOrder

PROCESSES = 8
ACCOUNTS = 1000


def run(tiny: bool) -> Iterator[dict[str, Any]]:
    users = rows.people(ACCOUNTS)
    transcript = Transcript.of_a_click(users[0])
    seconds, rounds = (0.3, 1) if tiny else (1.5, 7)
    accounts = {
        "spend_hot_account": ("one account", [users[0].pk]),
        "spend_1000_accounts": (f"{ACCOUNTS} accounts", [user.pk for user in users]),
    }
    connections.close_all()  # a connection does not survive a fork
    results = {}
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("fork")) as pool:
        for name, (label, pks) in accounts.items():
            say(f"{PROCESSES} processes click on {label}: {rounds} rounds of {seconds} s each way")
            _at_once(pool, seconds / 2, _start, pks)  # warm-up
            results[name] = measure.alternate(
                rounds,
                {
                    "start": partial(_at_once, pool, seconds, _start, pks),
                    "raw": partial(_at_once, pool, seconds, transcript.replay, pks),
                },
            )
    rows.verify()

    for name, (label, _pks) in accounts.items():
        ratio = measure.ratio(results[name]["start"], results[name]["raw"])
        is_hot = name == "spend_hot_account"
        yield line(
            name,
            median(results[name]["start"]),
            "clicks/s",
            ratio=ratio,
            against=f"the same {len(transcript.statements)} statements in raw SQL, in the same transaction",
            n=round(sum(results[name]["start"]) * seconds),
            target="ratio >= 0.5" if is_hot else "",
            met=ratio >= 0.5,
            raw=median(results[name]["raw"]),
            accounts=label,
            processes=PROCESSES,
        )


@dataclass(frozen=True)
class Transcript:
    """The statements of one order, with their parameters, and how many of them precede the transaction."""

    statements: list[tuple[str, tuple[Any, ...]]]
    before: int
    user_id: int
    video_id: UUID
    client_key: str

    @classmethod
    def of_a_click(cls, user: User) -> "Transcript":
        statements: list[tuple[str, tuple[Any, ...]]] = []
        before = 0

        def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            nonlocal before
            if not sql.startswith("BEGIN"):
                before += not connection.in_atomic_block
                statements.append((sql, tuple(params or ())))
            return execute(sql, params, many, context)

        client_key = str(uuid4())
        model = _model()
        blocked_terms.found_in("")  # fills a cache that is refreshed four times a minute, not with each order
        with connection.execute_wrapper(note):
            video = _click(user, model, client_key)
        return cls(statements, before, user.pk, video.pk, client_key)

    def replay(self, user: User, _model: VideoModel) -> None:
        """Repeat the order as a new one: with another video id, key and user."""
        video_id = uuid4()
        fresh = {
            self.user_id: user.pk,
            self.client_key: str(uuid4()),
            self.video_id: video_id,
            self.video_id.hex: video_id.hex,
            f"video:{self.video_id}": f"video:{video_id}",
        }
        connection.ensure_connection()
        raw: Any = connection.connection
        cursor = raw.cursor()

        def execute(statements: list[tuple[str, tuple[Any, ...]]]) -> None:
            for sql, params in statements:
                if rows.SQLITE:
                    sql = sql.replace("%s", "?")
                cursor.execute(sql, [fresh.get(value, value) for value in params])
                if cursor.description:
                    cursor.fetchall()

        execute(self.statements[: self.before])
        cursor.execute("BEGIN IMMEDIATE" if rows.SQLITE else "BEGIN")
        execute(self.statements[self.before :])
        cursor.execute("COMMIT")


def _start(user: User, model: VideoModel) -> None:
    _click(user, model, str(uuid4()))


def _click(user: User, model: VideoModel, client_key: str) -> Any:
    order = VideoOrder(
        model=model,
        prompt=rows.PROMPT,
        size=model.sizes[0],
        seconds=model.lengths[0],
        client_key=client_key,
    )
    return ordering.place(user, order)


def _model() -> VideoModel:
    model = availability.models().first()
    assert model is not None
    return model


def _at_once(
    pool: ProcessPoolExecutor, seconds: float, click: Callable[[User, VideoModel], None], pks: list[int]
) -> float:
    """Orders per second of all processes together, each on its share of the accounts."""
    begin = time.time() + 0.3  # by then, each process has its task
    parts = [pks[number::PROCESSES] or pks for number in range(PROCESSES)]
    rates = [pool.submit(_keep_clicking, click, part, begin, seconds) for part in parts]
    return sum(future.result() for future in rates)


def _keep_clicking(
    click: Callable[[User, VideoModel], None], pks: list[int], begin: float, seconds: float
) -> float:
    """Orders per second. Makes at least one, and the last one counts with all its time."""
    users = cycle(User.objects.filter(pk__in=pks))
    model = _model()
    time.sleep(max(0.0, begin - time.time()))
    started, clicks = time.monotonic(), 0
    while (taken := time.monotonic() - started) < seconds or not clicks:
        click(next(users), model)
        clicks += 1
    return clicks / taken
