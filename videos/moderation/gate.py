"""May this be made at all? Asked before anything is charged, by every door: page, API, batches, campaigns.

A door calls `clear` before its transaction, and gets its orders back with a clearance, which
`ordering.place` insists on. First the words that staff block, which needs nobody else; then the
moderation service, where there is a key for one. What it said is kept as a Verdict.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from videos.models import Upload, Verdict
from videos.moderation import blocked_terms, service
from videos.moderation.service import Question, Unavailable
from videos.order import Clearance, VideoOrder

log = logging.getLogger(__name__)

REUSED = timedelta(hours=1)  # a verdict on the same input of the same person
KEPT = timedelta(days=180)  # so long somebody may appeal

Outcome = Verdict.Outcome
PROMPT, NEGATIVE_PROMPT = "prompt", "negative_prompt"
PICTURE, LAST_FRAME = "input_reference", "last_frame"

NOT_NOW = gettext_lazy(
    "Prompts and pictures cannot be checked at this moment. Nothing was charged; send it again in a minute."
)


class NotCleared(Exception):
    """A door started an order without asking: a mistake of ours. Nothing is charged."""


class Refused(Exception):
    """An order may not be made. `number` is its place among those that were asked about, from 0."""

    def __init__(self, number: int, verdict: Verdict) -> None:
        super().__init__(verdict.pk)
        self.number, self.verdict = number, verdict

    @property
    def sentences(self) -> dict[str, str]:
        """For each input that was refused, what to tell who sent it."""
        about = {
            PROMPT: _("This prompt is not allowed on this site."),
            NEGATIVE_PROMPT: _("This negative prompt is not allowed on this site."),
            PICTURE: _("This picture is not allowed on this site."),
            LAST_FRAME: _("This last frame is not allowed on this site."),
        }
        return {name: sentence for name, sentence in about.items() if name in self.verdict.inputs}

    @property
    def appeal(self) -> str:
        """How to object, and the reference to name."""
        return _(
            "Nothing was charged. If you think that this is a mistake, write to %(whom)s and name %(reference)s."
        ) % {
            "whom": settings.SUPPORT_EMAIL or _("the staff of this site"),
            "reference": self.verdict.pk,
        }

    def __str__(self) -> str:
        return " ".join([*self.sentences.values(), self.appeal])


@dataclass(frozen=True)
class Subject:
    """What of an order is judged. Our own preset pictures are not."""

    prompt: str
    negative_prompt: str
    upload: Upload | None
    last_frame: Upload | None

    @classmethod
    def of(cls, order: VideoOrder) -> "Subject":
        negative_prompt = order.extras.get("negative_prompt", "")
        return cls(order.prompt, negative_prompt, order.upload, order.last_frame)

    @cached_property
    def digest(self) -> str:
        pictures = [picture.sha256 if picture else "" for picture in (self.upload, self.last_frame)]
        judged = [self.prompt, self.negative_prompt, *pictures]
        return hashlib.sha256(json.dumps(judged).encode()).hexdigest()

    def blocked(self) -> dict[str, str]:
        """The blocked term in each input that has one."""
        texts = {PROMPT: self.prompt, NEGATIVE_PROMPT: self.negative_prompt}
        return {name: term for name, text in texts.items() if (term := blocked_terms.found_in(text))}


def clear(user: User, orders: Sequence[VideoOrder]) -> list[VideoOrder]:
    """The same orders, each with its clearance.

    Raises Refused for the first that may not be made, and Unavailable while nobody can tell. Call it outside
    of any transaction: it may wait for the moderation service, and what it writes has to stay.
    """
    subjects = [Subject.of(order) for order in orders]
    blocked = {subject.digest: found for subject in subjects if (found := subject.blocked())}
    # With no word against it and nobody to ask, nothing is read or written.
    if (blocked or service.is_configured()) and not _came_before(user, orders):
        verdicts = _verdicts(user, {subject.digest: subject for subject in subjects}, blocked)
        for number, subject in enumerate(subjects):
            verdict = verdicts.get(subject.digest)
            if verdict and verdict.refuses:
                raise Refused(number, verdict)
    clearance = Clearance(user.pk, frozenset(subject.digest for subject in subjects))
    return [order.with_clearance(clearance) for order in orders]


def require_clearance(user: User, order: VideoOrder) -> None:
    """Raise NotCleared for what did not come through `clear`. Asks neither the service nor, mostly, the database.

    Without a clearance only what nobody would be asked about passes.
    """
    subject = Subject.of(order)
    if order.clearance is not None:
        is_clear = order.clearance.user_id == user.pk and subject.digest in order.clearance.digests
    else:
        is_clear = not service.is_configured() and not subject.blocked()
    if not is_clear:
        raise NotCleared("call moderation.gate.clear first")


def overrule(verdict: Verdict, staff: User) -> bool:
    """Let this input of this user pass from now on. True for one caller."""
    refused = Verdict.objects.filter(pk=verdict.pk, outcome=Outcome.REFUSED, overruled_at=None)
    return bool(refused.update(overruled_by=staff, overruled_at=timezone.now()))


def purge_expired() -> None:
    """Delete verdicts that nobody will ask about any more. Those that staff overruled go on to count."""
    Verdict.objects.filter(overruled_at=None, at__lt=timezone.now() - KEPT).delete()


def _came_before(user: User, orders: Sequence[VideoOrder]) -> bool:
    """Whether these are orders that were taken already, sent once more."""
    keys = {order.client_key for order in orders}
    return None not in keys and user.videos.filter(client_key__in=keys).count() == len(keys)


def _verdicts(
    user: User, subjects: dict[str, Subject], blocked: dict[str, dict[str, str]]
) -> dict[str, Verdict]:
    """The verdict on each digest, where there is one: known, by the list, or by the service."""
    found: dict[str, Verdict] = {}
    new: list[Verdict] = []
    unjudged: list[Subject] = []
    known = _known(user, subjects)
    for digest, subject in subjects.items():
        verdict = known.get(digest)
        if verdict and verdict.overruled_at:
            found[digest] = verdict
        elif terms := blocked.get(digest):
            if verdict is None or verdict.source != Verdict.LIST:
                verdict = _verdict(user, subject, terms, terms.values(), Verdict.LIST)
                new.append(verdict)
            found[digest] = verdict
        elif verdict and verdict.source != Verdict.LIST:
            found[digest] = verdict
        else:
            unjudged.append(subject)
    # Where one is refused all are, and the service need not see the others.
    if unjudged and service.is_configured() and not any(verdict.refuses for verdict in found.values()):
        new += _judged(user, unjudged)
    if new:
        # In a transaction of the caller's a refusal would be undone with it, and others would have waited.
        with transaction.atomic(durable=True):
            Verdict.objects.bulk_create(new)
    return found | {verdict.digest: verdict for verdict in new}


def _known(user: User, digests: Iterable[str]) -> dict[str, Verdict]:
    """What was said of these before and still counts: of each the last word, and above all that of staff."""
    counts = Q(at__gt=timezone.now() - REUSED) | Q(overruled_at__isnull=False)
    verdicts = user.verdicts.filter(counts, digest__in=digests).exclude(outcome=Outcome.UNASKED)
    in_turn = sorted(verdicts, key=lambda verdict: (verdict.overruled_at is not None, verdict.at))
    return {verdict.digest: verdict for verdict in in_turn}


def _judged(user: User, subjects: list[Subject]) -> list[Verdict]:
    """What the service says of each. Raises Unavailable, unless the settings say to go on without it."""
    try:
        pictures = _pictures(subjects)
        asked = [_questions(subject, pictures) for subject in subjects]
        answers = service.ask(question for questions in asked for question in questions)
    except Unavailable as error:
        log.error("Moderation gave no verdict: %s", error)
        if settings.MODERATION_FAIL_CLOSED:
            raise
        return [Verdict(user=user, digest=one.digest, outcome=Outcome.UNASKED) for one in subjects]
    verdicts = []
    for subject, questions in zip(subjects, asked, strict=True):
        refused: set[str] = set()
        categories: set[str] = set()
        for question, names in questions.items():
            answer = answers[question]
            if answer.is_flagged:
                # Where it does not say what it objects to, it may be any of them.
                refused |= {names[kind] for kind in answer.kinds if kind in names} or set(names.values())
                categories |= set(answer.categories)
        verdicts.append(_verdict(user, subject, refused, categories, answer.model))
    return verdicts


def _questions(subject: Subject, pictures: dict[Upload, bytes]) -> dict[Question, dict[str, str]]:
    """What is asked about an order, and which of its inputs is meant by the service's "text" and "image"."""
    questions = {Question(subject.prompt): {"text": PROMPT}}
    if subject.upload:
        together = Question(subject.prompt, pictures[subject.upload])
        questions = {together: {"text": PROMPT, "image": PICTURE}}
    if subject.negative_prompt.strip():
        questions.setdefault(Question(subject.negative_prompt), {"text": NEGATIVE_PROMPT})
    if subject.last_frame and subject.last_frame != subject.upload:
        # The service takes one picture a question.
        last = Question(subject.prompt, pictures[subject.last_frame])
        questions[last] = {"text": PROMPT, "image": LAST_FRAME}
    return questions


def _pictures(subjects: list[Subject]) -> dict[Upload, bytes]:
    """The pictures of all of them, each read once. Raises Unavailable where the storage has none to show."""
    pictures = {}
    try:
        for picture in {one for subject in subjects for one in (subject.upload, subject.last_frame) if one}:
            with picture.file.open("rb") as file:
                pictures[picture] = file.read()
    except OSError as error:
        raise Unavailable(f"the picture to judge cannot be read: {error!r}") from error
    return pictures


def _verdict(
    user: User, subject: Subject, refused: Iterable[str], categories: Iterable[str], source: str
) -> Verdict:
    """Not stored yet. What was refused is kept with it, for the appeal."""
    verdict = Verdict(user=user, digest=subject.digest, outcome=Outcome.ALLOWED, source=source)
    if refused:
        verdict.outcome = Outcome.REFUSED
        verdict.inputs, verdict.categories = sorted(refused), sorted(categories)
        verdict.prompt, verdict.negative_prompt = subject.prompt, subject.negative_prompt
        verdict.upload, verdict.last_frame = subject.upload, subject.last_frame
    return verdict
