"""What must hold after every fault run, beyond `check_ledger`: files, users' clicks, and the providers' records."""

import hashlib
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.db.models import Sum
from PIL import Image

from accounts.models import CreditEntry, User
from aivideo.ledger_check import violations
from videos.media import inspection
from videos.models import Status, Video
from videos.worker import dispatcher

MARK = re.compile(r"\[sim:mark-([^\]]+)\]")
# A video that failed with one of these codes may have left a job at the provider that was not matched in time.
GIVEN_UP = ("timed_out", "not_started", "unconfirmed")


@dataclass(frozen=True)
class Journal:
    """A simulator's record of accepted jobs. `can_tell`: it honors keys or has a list, so nothing may be bought twice."""

    path: Path
    can_tell: bool = True
    mark: str = ""  # only jobs with this text in their prompt are checked, if the simulator has others, too


@dataclass
class Clicks:
    """What users saw. `accepted`: the video in the response, by the click's mark; `refused`: marks that were rejected."""

    accepted: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)  # ids whose cancellation succeeded
    deleted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    counts: dict[str, int]
    violations: list[str]


def main(folder: Path, journals: dict[str, str], patience: float) -> None:
    """Wait until all videos have ended, then check. Reads `clicks.json` in `folder`, writes `verdict.json`."""
    began = time.monotonic()
    while _is_work_left() and time.monotonic() - began < patience:
        connection.close()
        time.sleep(0.5)
    drained = time.monotonic() - began
    clicks = Clicks(**json.loads((folder / "clicks.json").read_text()))
    books = [Journal(Path(path), can_tell=name != "blind") for name, path in journals.items()]
    verdict = asdict(judge(books, clicks)) | {"drained": round(drained, 1)}
    (folder / "verdict.json").write_text(json.dumps(verdict))


def _is_work_left() -> bool:
    try:
        return dispatcher.is_work_left()
    except OperationalError:  # PostgreSQL recovers from its last crash
        return True


def judge(journals: Sequence[Journal], clicks: Clicks | None = None) -> Verdict:
    """Check everything in this process's database and storage. Call it while nothing is running."""
    counts, found = violations()
    books = [(journal, _jobs(journal)) for journal in journals]
    found += [
        *_unfinished(),
        *_totals(),
        *_files(),
        *_jobs_have_owners(books),
        *_bought_once(books),
        *_bought_at_one_place(books),
        *(_clicks(clicks) if clicks else ()),
    ]
    states = Counter(Video.objects.values_list("status", flat=True))
    jobs = sum(len(jobs) for _journal, jobs in books)
    bought = {
        "jobs": jobs,
        "jobs nobody got": _orphans(books),
        "jobs given away": Video.objects.given_away().count(),
    }
    return Verdict({**counts, **states, **bought}, found)


def _unfinished() -> Iterator[str]:
    for video in Video.objects.live():
        yield f"{video.pk} is still {video.status} after {video.attempts} tries, due {video.next_attempt_at}"


def _totals() -> Iterator[str]:
    """Recompute balances, and check that credits granted = credits held + credits spent on videos."""
    entries = list(CreditEntry.objects.values_list("user_id", "amount", "kind", "reference"))
    for user in User.objects.all():
        total = sum(amount for owner, amount, *_ in entries if owner == user.pk)
        if user.balance != total or user.balance < 0:
            yield f"{user} has a balance of {user.balance} credits, but the entries add up to {total}"
    for (kind, reference), count in Counter((kind, ref) for _u, _a, kind, ref in entries).items():
        if count > 1:
            yield f"{count} entries of kind {kind} for {reference}"
    refunded = {ref for _user, _amount, kind, ref in entries if kind == "refund"}
    given = sum(amount for _user, amount, kind, _ref in entries if kind not in ("charge", "refund"))
    spent = sum(video.credits for video in Video.objects.all() if video.reference not in refunded)
    held = User.objects.aggregate(sum=Sum("balance"))["sum"] or 0
    if given != held + spent:
        yield f"{given} credits were granted, but {held} are held and {spent} were spent on videos"


def _files() -> Iterator[str]:
    """A completed video is playable: the stored bytes match the row, and a player can read them."""
    probed: dict[str, inspection.Probe | None] = {}
    for video in Video.objects.filter(status=Status.COMPLETED, deleted_at=None):
        try:
            with default_storage.open(str(video.file.name)) as file:
                data = file.read()
            with default_storage.open(str(video.poster.name)) as file:
                Image.open(file).load()
        except (OSError, ValueError) as error:
            yield f"{video.pk} is completed, but its file or poster is missing: {error!r}"
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        if (len(data), sha256) != (video.bytes, video.sha256):
            yield f"{video.pk}: the stored file differs from the recorded one ({len(data)} of {video.bytes} bytes)"
            continue
        if sha256 not in probed:
            probed[sha256] = _probe(Path(default_storage.path(str(video.file.name))))
        facts = probed[sha256]
        recorded = (video.width, video.height, video.duration)
        if facts is None or (facts.width, facts.height, facts.seconds) != recorded:
            yield f"{video.pk}: a player reads {facts}, the row says {recorded}"
        elif abs(facts.seconds - video.seconds) > 0.5:
            yield f"{video.pk}: {facts.seconds} s were delivered for {video.seconds} s"
    for video in Video.objects.exclude(status=Status.COMPLETED).exclude(file=""):
        yield f"{video.pk} is {video.status} and has a file"


def _probe(path: Path) -> inspection.Probe | None:
    try:
        return inspection.look(path)[0]
    except inspection.NotAVideo:
        return None


def _clicks(clicks: Clicks) -> Iterator[str]:
    """An accepted click has exactly the video in its response, a refused one has none, and no click has two."""
    by_mark: dict[str, list[Video]] = {}
    for video in Video.objects.all():
        if match := MARK.search(video.prompt):
            by_mark.setdefault(match[1], []).append(video)
    for mark, videos in by_mark.items():
        if len(videos) > 1:
            yield f"click {mark} created {len(videos)} videos"
        if mark in clicks.refused:
            yield f"click {mark} was refused, but created {videos[0].pk}"
    ids = {str(pk) for pk in Video.objects.values_list("pk", flat=True)}
    for mark, pk in clicks.accepted.items():
        found = [str(video.pk) for video in by_mark.get(mark, [])]
        if pk not in ids or (found and found != [pk]):
            yield f"click {mark} was answered with {pk}, but the database has {found}"
    for video in Video.objects.filter(pk__in=clicks.canceled).exclude(status=Status.CANCELED):
        yield f"{video.pk} was canceled according to the response, but is {video.status}"
    for video in Video.objects.filter(pk__in=clicks.deleted):
        if video.deleted_at is None or video.prompt or video.file:
            yield f"{video.pk} was deleted according to the response, but still exists"


def _bought_once(books: list[tuple[Journal, list[dict[str, Any]]]]) -> Iterator[str]:
    for journal, jobs in books:
        bought = Counter(job["submit_key"] or job["prompt"] for job in jobs)
        for key, count in bought.items():
            if count > 1 and journal.can_tell:
                yield f"{count} jobs were bought at {journal.path.parent.name} for {key}"


def _bought_at_one_place(books: list[tuple[Journal, list[dict[str, Any]]]]) -> Iterator[str]:
    """However a video was rerouted, only one channel accepted it."""
    places: dict[str, set[str]] = {}
    for journal, jobs in books:
        for job in jobs:
            places.setdefault(job["submit_key"], set()).add(journal.path.parent.name)
    for key, names in places.items():
        if key and len(names) > 1:
            yield f"{key} was bought at {' and '.join(sorted(names))}"


def _jobs_have_owners(books: list[tuple[Journal, list[dict[str, Any]]]]) -> Iterator[str]:
    """Every job that a provider accepted belongs to a row: by its ref, or by the key of a video that was given up."""
    refs = dict(Video.objects.exclude(ref=None).values_list("ref", "pk"))
    rows = {
        pk.hex: (status, code) for pk, status, code in Video.objects.values_list("pk", "status", "error_code")
    }
    for journal, jobs in books:
        for job in jobs:
            key = job["submit_key"]
            if key not in rows:
                yield f"job {job['id'][:20]} at {journal.path.parent.name} belongs to no video"
            elif job["id"] in refs and refs[job["id"]].hex != key:
                yield f"job {job['id'][:20]} was made for {key}, but assigned to {refs[job['id']]}"
            elif job["id"] not in refs and rows[key][1] not in GIVEN_UP:
                yield f"job {job['id'][:20]} is assigned to no video, and its video {key} is {rows[key][0]}"


def _orphans(books: list[tuple[Journal, list[dict[str, Any]]]]) -> int:
    refs = set(Video.objects.exclude(ref=None).values_list("ref", flat=True))
    return sum(job["id"] not in refs for _journal, jobs in books for job in jobs)


def _jobs(journal: Journal) -> list[dict[str, Any]]:
    query = "SELECT id, prompt, submit_key FROM jobs WHERE instr(prompt, ?) ORDER BY number"
    with sqlite3.connect(f"file:{journal.path}?mode=ro", uri=True) as book:
        book.row_factory = sqlite3.Row
        return [dict(row) for row in book.execute(query, [journal.mark])]
