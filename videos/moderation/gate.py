"""Moderation of orders, before anything is charged, for every entry point: pages, API, batches, campaigns.

A caller passes its orders to `clear` before its transaction and gets them back with a clearance, which
`ordering.place` requires. The terms that staff have blocked are checked first, then the moderation
service is asked, if it is configured. Each result is stored as a Verdict.
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

REUSED = timedelta(hours=1)  # how long a verdict counts for the same input of the same user
KEPT = timedelta(days=180)  # how long a user may appeal

Outcome = Verdict.Outcome
PROMPT, NEGATIVE_PROMPT = "prompt", "negative_prompt"
PICTURE, LAST_FRAME = "input_reference", "last_frame"

NOT_NOW = gettext_lazy(
    "Prompts and pictures cannot be checked right now. Nothing was charged; try again in a minute."
)


class NotCleared(Exception):
    """An order was placed without a clearance, which is a bug. Nothing is charged."""


class Refused(Exception):
    """An order may not be made. `number` is its index among the orders passed to `clear`, from 0."""

    def __init__(self, number: int, verdict: Verdict) -> None:
        super().__init__(verdict.pk)
        self.number, self.verdict = number, verdict

    @property
    def sentences(self) -> dict[str, str]:
        """A sentence for the user for each refused input."""
        sentences = {
            PROMPT: _("This prompt is not allowed on this site."),
            NEGATIVE_PROMPT: _("This negative prompt is not allowed on this site."),
            PICTURE: _("This picture is not allowed on this site."),
            LAST_FRAME: _("This last frame is not allowed on this site."),
        }
        return {name: sentence for name, sentence in sentences.items() if name in self.verdict.inputs}

    @property
    def appeal(self) -> str:
        """How to appeal, with the reference to quote."""
        return _(
            "Nothing was charged. If you think this is a mistake, contact %(contact)s and include the reference %(reference)s."
        ) % {
            "contact": settings.SUPPORT_EMAIL or _("the staff of this site"),
            "reference": self.verdict.pk,
        }

    def __str__(self) -> str:
        return " ".join([*self.sentences.values(), self.appeal])


@dataclass(frozen=True)
class Subject:
    """The parts of an order that are moderated. Our own preset pictures are not."""

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
        parts = [self.prompt, self.negative_prompt, *pictures]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def blocked(self) -> dict[str, str]:
        """The blocked term found in each input, by input; inputs without one are left out."""
        texts = {PROMPT: self.prompt, NEGATIVE_PROMPT: self.negative_prompt}
        return {name: term for name, text in texts.items() if (term := blocked_terms.found_in(text))}


def clear(user: User, orders: Sequence[VideoOrder]) -> list[VideoOrder]:
    """The same orders, each with its clearance.

    Raises Refused for the first order that may not be made, and Unavailable if the moderation service gives no verdict.
    Call it outside of any transaction: it may wait for the service, and its verdicts must not be rolled back.
    """
    subjects = [Subject.of(order) for order in orders]
    blocked = {subject.digest: found for subject in subjects if (found := subject.blocked())}
    # Without a blocked term and without a service, the database is not touched.
    if (blocked or service.is_configured()) and not _are_repeats(user, orders):
        verdicts = _verdicts(user, {subject.digest: subject for subject in subjects}, blocked)
        for number, subject in enumerate(subjects):
            verdict = verdicts.get(subject.digest)
            if verdict and verdict.refuses:
                raise Refused(number, verdict)
    clearance = Clearance(user.pk, frozenset(subject.digest for subject in subjects))
    return [order.with_clearance(clearance) for order in orders]


def require_clearance(user: User, order: VideoOrder) -> None:
    """Raise NotCleared for an order without a valid clearance from `clear`. Never asks the service.

    An order without a clearance passes only if no service is configured and it contains no blocked term.
    """
    subject = Subject.of(order)
    if order.clearance is not None:
        is_clear = order.clearance.user_id == user.pk and subject.digest in order.clearance.digests
    else:
        is_clear = not service.is_configured() and not subject.blocked()
    if not is_clear:
        raise NotCleared("call moderation.gate.clear first")


def overrule(verdict: Verdict, staff: User) -> bool:
    """Allow this input of this user from now on. True for exactly one caller."""
    refused = Verdict.objects.filter(pk=verdict.pk, outcome=Outcome.REFUSED, overruled_at=None)
    return bool(refused.update(overruled_by=staff, overruled_at=timezone.now()))


def purge_expired() -> None:
    """Delete verdicts that are too old for an appeal, except those that staff overruled, which stay in force."""
    Verdict.objects.filter(overruled_at=None, at__lt=timezone.now() - KEPT).delete()


def _are_repeats(user: User, orders: Sequence[VideoOrder]) -> bool:
    """Whether all of these are repeats (by client key) of orders that were already placed."""
    keys = {order.client_key for order in orders}
    return None not in keys and user.videos.filter(client_key__in=keys).count() == len(keys)


def _verdicts(
    user: User, subjects: dict[str, Subject], blocked: dict[str, dict[str, str]]
) -> dict[str, Verdict]:
    """The verdicts by digest: earlier ones, or new ones from the blocked terms or the service."""
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
    # If one is refused, all are, so the service need not judge the others.
    if unjudged and service.is_configured() and not any(verdict.refuses for verdict in found.values()):
        new += _judged(user, unjudged)
    if new:
        # durable=True: inside a caller's transaction a refusal would be rolled back, and its locks held while waiting.
        with transaction.atomic(durable=True):
            Verdict.objects.bulk_create(new)
    return found | {verdict.digest: verdict for verdict in new}


def _known(user: User, digests: Iterable[str]) -> dict[str, Verdict]:
    """Earlier verdicts that still count, by digest: the latest one, unless staff overruled one."""
    counts = Q(at__gt=timezone.now() - REUSED) | Q(overruled_at__isnull=False)
    verdicts = user.verdicts.filter(counts, digest__in=digests).exclude(outcome=Outcome.UNASKED)
    by_precedence = sorted(verdicts, key=lambda verdict: (verdict.overruled_at is not None, verdict.at))
    return {verdict.digest: verdict for verdict in by_precedence}


def _judged(user: User, subjects: list[Subject]) -> list[Verdict]:
    """The service's verdict on each. Raises Unavailable if it gives none, unless MODERATION_FAIL_CLOSED is off."""
    try:
        pictures = _pictures(subjects)
        asked = [_questions(subject, pictures) for subject in subjects]
        answers = service.ask(question for questions in asked for question in questions)
    except Unavailable as error:
        log.error("Moderation gave no verdict: %s", error)
        if settings.MODERATION_FAIL_CLOSED:
            raise
        return [Verdict(user=user, digest=subject.digest, outcome=Outcome.UNASKED) for subject in subjects]
    verdicts = []
    for subject, questions in zip(subjects, asked, strict=True):
        refused: set[str] = set()
        categories: set[str] = set()
        for question, names in questions.items():
            answer = answers[question]
            if answer.is_flagged:
                # If the service does not say which input it flags, all of the question's inputs are refused.
                refused |= {names[kind] for kind in answer.kinds if kind in names} or set(names.values())
                categories |= set(answer.categories)
        verdicts.append(_verdict(user, subject, refused, categories, answer.model))
    return verdicts


def _questions(subject: Subject, pictures: dict[Upload, bytes]) -> dict[Question, dict[str, str]]:
    """The questions about an order, each with the inputs that the service's "text" and "image" stand for."""
    questions = {Question(subject.prompt): {"text": PROMPT}}
    if subject.upload:
        together = Question(subject.prompt, pictures[subject.upload])
        questions = {together: {"text": PROMPT, "image": PICTURE}}
    if subject.negative_prompt.strip():
        questions.setdefault(Question(subject.negative_prompt), {"text": NEGATIVE_PROMPT})
    if subject.last_frame and subject.last_frame != subject.upload:
        # The service takes only one picture per question.
        last = Question(subject.prompt, pictures[subject.last_frame])
        questions[last] = {"text": PROMPT, "image": LAST_FRAME}
    return questions


def _pictures(subjects: list[Subject]) -> dict[Upload, bytes]:
    """The bytes of all pictures, each read once. Raises Unavailable if one cannot be read from the storage."""
    pictures = {}
    try:
        for picture in {
            picture for subject in subjects for picture in (subject.upload, subject.last_frame) if picture
        }:
            with picture.file.open("rb") as file:
                pictures[picture] = file.read()
    except OSError as error:
        raise Unavailable(f"the picture to judge cannot be read: {error!r}") from error
    return pictures


def _verdict(
    user: User, subject: Subject, refused: Iterable[str], categories: Iterable[str], source: str
) -> Verdict:
    """An unsaved verdict. A refusal keeps its inputs, for an appeal."""
    verdict = Verdict(user=user, digest=subject.digest, outcome=Outcome.ALLOWED, source=source)
    if refused:
        verdict.outcome = Outcome.REFUSED
        verdict.inputs, verdict.categories = sorted(refused), sorted(categories)
        verdict.prompt, verdict.negative_prompt = subject.prompt, subject.negative_prompt
        verdict.upload, verdict.last_frame = subject.upload, subject.last_frame
    return verdict
