"""What staff do, in the admin or by the command line. Each deed has a reason and an entry in the audit log, written in the same transaction.

A request carries the id of the form it was sent with, so the same form sent twice (a double click, a reload)
is carried out once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import api_keys, payments, redeem_codes, staff_grants, stripe_gateway
from accounts.models import (
    ApiKey,
    CodeBatch,
    CreditEntry,
    Payment,
    StaffGrant,
    StripeEvent,
    User,
    in_smallest_unit,
    money,
)
from accounts.staff_grants import GrantRefused
from aivideo.models import AuditEntry
from videos.catalogue import sync
from videos.generation import lifecycle
from videos.models import Channel, Status, Verdict, Video, VideoModel
from videos.moderation import gate

Action = AuditEntry.Action
# The fields of a channel or model that is neither paused nor resting.
AT_WORK: dict[type[Channel] | type[VideoModel], dict[str, bool | int | None]] = {
    Channel: {"enabled": True, "failures": 0, "resumes_at": None},
    VideoModel: {"enabled": True},
}


T = TypeVar("T")


class ActionFailed(Exception):
    """The action could not be carried out. The text is shown to the member of staff."""


@dataclass(frozen=True)
class ActionRequest:
    """Who asks for an action, the reason (for the audit log), the form's id, and a note for the customer.

    `staff` is None for the command line.
    """

    staff: User | None
    reason: str
    form: UUID
    note: str = ""


def grant(request: ActionRequest, user: User, amount: int) -> bool:
    """Grant a user `amount` credits (> 0), or ask for a second person: see `is_waiting`. Raises ActionFailed for oneself."""

    def give() -> bool:
        staff_grants.grant(
            user, amount, giver=request.staff, reason=request.reason, note=request.note, form=request.form
        )
        return True

    return _do(request, Action.GRANT, _account(user), give, f"{amount} credits")


def complete_grants() -> None:
    """Write the record of grants that a process of 0.9.0 made beside this version: only the ledger and the audit log have them.

    An entry of which no deed of staff is known is left to the ledger check, which tells of it.
    """
    recorded = StaffGrant.objects.filter(reference=OuterRef("reference"))
    entries = CreditEntry.objects.filter(~Exists(recorded), kind="grant", reference__startswith="staff:")
    for entry in entries:
        deed = _deed_of(entry)
        if deed is None:
            continue
        # That version let staff grant to themselves, and the table of grants takes no such giver.
        to_oneself = deed.staff_id == entry.user_id
        StaffGrant.objects.get_or_create(
            pk=deed.form,
            defaults={
                "reference": entry.reference,
                "user_id": entry.user_id,
                "amount": entry.amount,
                "reason": f"To themselves: {deed.reason}"[:300] if to_oneself else deed.reason,
                "note": entry.note,
                "giver_id": None if to_oneself else deed.staff_id,
                "status": StaffGrant.Status.GRANTED,
                "created_at": entry.created_at,
            },
        )


def _deed_of(entry: CreditEntry) -> AuditEntry | None:
    try:
        form = UUID(entry.reference.removeprefix("staff:"))
    except ValueError:
        return None
    if entry.reference != f"staff:{form}":  # another way to write that UUID
        return None
    return AuditEntry.objects.filter(form=form, action=Action.GRANT, target=f"user:{entry.user_id}").first()


def is_waiting(request: ActionRequest) -> bool:
    """Whether the grant of this form needs a second person."""
    return StaffGrant.objects.filter(pk=request.form, status=StaffGrant.Status.WAITING).exists()


def confirm(request: ActionRequest, grant: StaffGrant) -> bool:
    """Grant what a colleague asked for. False if it does not wait any more. Raises ActionFailed for one's own."""
    return _decide(request, Action.CONFIRM, grant, staff_grants.confirm)


def decline(request: ActionRequest, grant: StaffGrant) -> bool:
    """Grant nothing of what was asked for. False if it does not wait any more."""
    return _decide(request, Action.DECLINE, grant, staff_grants.decline)


def _decide(
    request: ActionRequest, action: Action, grant: StaffGrant, verb: Callable[[StaffGrant, User], bool]
) -> bool:
    staff = _person(request)
    detail = f"{grant.amount} credits"
    return _do(request, action, _account(grant.user), lambda: verb(grant, staff), detail)


def refund(request: ActionRequest, video: Video) -> bool:
    """Refund a completed video; its owner keeps it. False if it was refunded before."""
    _not_to_oneself(request, video.user)
    detail = f"{video.credits} credits to {_account(video.user)}"
    return _do(
        request,
        Action.REFUND,
        video.reference,
        lambda: lifecycle.refund_completed(video, request.note),
        detail,
    )


def fail(request: ActionRequest, video: Video) -> bool:
    """Stop an unfinished video and refund it. False if it has ended."""

    def stop() -> bool:
        return lifecycle.fail(video, "stopped", request.reason, request.note)

    return _do(request, Action.FAIL, video.reference, stop, f"it was {video.status}")


def hurry(request: ActionRequest, video: Video) -> bool:
    """Retry a waiting video now. False if it waits for nothing."""
    return _do(
        request, Action.HURRY, video.reference, lambda: lifecycle.retry_now(video), f"it was {video.status}"
    )


def suspend(request: ActionRequest, user: User) -> bool:
    """Block a user and cancel their queued videos; running ones continue. False if they are suspended already."""

    def deactivate() -> bool:
        if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
            return False
        for video in user.videos.filter(status=Status.QUEUED):
            lifecycle.cancel(video, by_owner=False)
        return True

    return _do(request, Action.SUSPEND, _account(user), deactivate)


def readmit(request: ActionRequest, user: User) -> bool:
    """Let a suspended user sign in again. False if they are not suspended."""

    def reactivate() -> bool:
        return bool(User.objects.filter(pk=user.pk, is_active=False).update(is_active=True))

    return _do(request, Action.READMIT, _account(user), reactivate)


def revoke(request: ActionRequest, key: ApiKey) -> bool:
    """Revoke an API key. False if it was revoked before."""
    detail = f"{key} of {_account(key.user)}"
    return _do(request, Action.REVOKE, f"key:{key.pk}", lambda: api_keys.revoke(key), detail)


def pause(request: ActionRequest, thing: Channel | VideoModel) -> bool:
    """Stop sending new jobs to a channel, or taking new orders for a model. Running jobs continue."""

    def switch_off() -> bool:
        return bool(type(thing).objects.filter(pk=thing.pk, enabled=True).update(enabled=False))

    return _do(request, Action.PAUSE, _name(thing), switch_off, str(thing))


def resume(request: ActionRequest, thing: Channel | VideoModel) -> bool:
    """End a pause, or the rest of a channel whose provider could not be reached."""

    def switch_on() -> bool:
        stopped = type(thing).objects.filter(pk=thing.pk).exclude(**AT_WORK[type(thing)])
        return bool(stopped.update(**AT_WORK[type(thing)]))

    return _do(request, Action.RESUME, _name(thing), switch_on, str(thing))


def accept(request: ActionRequest, payment: Payment) -> bool:
    """Accept a held payment and grant its credits, after asking Stripe. False if it is no longer held.

    Raises ActionFailed for one's own payment, and if Stripe gives no usable answer.
    """
    _not_to_oneself(request, payment.user)
    detail = f"{payment.credits} credits to {_account(payment.user)}"
    # Before the transaction, so that none stays open while we wait for Stripe.
    payments.settle(payment, _ask_stripe)
    return _do(request, Action.ACCEPT, payment.reference, lambda: payments.accept(payment), detail)


def settle(request: ActionRequest, payment: Payment) -> bool:
    """Fetch a payment's current state from Stripe and apply it. Raises ActionFailed if Stripe gives no usable answer."""
    # Logged first, so that no transaction stays open while we wait for Stripe.
    _do(request, Action.SETTLE, payment.reference, lambda: True, f"it was {payment.status}")
    payments.settle(payment, _ask_stripe)
    return True


def pay_back(request: ActionRequest, payment: Payment, amount: Decimal | None) -> bool:
    """Refund money at Stripe: `amount` in the currency's main unit, such as 12.50, or all that is left. The credits go back with it.

    False if nothing is left. Raises ActionFailed for one's own payment, for an amount that is not there, and if Stripe refuses.
    """
    _not_to_oneself(request, payment.user)
    payment = payments.settle(payment, _ask_stripe)
    if AuditEntry.objects.filter(form=request.form).exists():
        raise ActionFailed(_("This was sent before. By now, %(back)s.") % {"back": _returned(payment)})
    if not payment.refundable:
        return False
    try:
        cents = payment.refundable if amount is None else in_smallest_unit(amount, payment.paid_currency)
    except ValueError:
        cents = 0
    if not 0 < cents <= payment.refundable:
        most = money(payment.refundable, payment.paid_currency)
        raise ActionFailed(_("At most %(most)s can be refunded.") % {"most": most})
    # Logged first: no money leaves without it. Two that send this form at once have the same key at Stripe.
    _do(request, Action.PAY_BACK, payment.reference, lambda: True, money(cents, payment.paid_currency))
    try:
        stripe_gateway.refund(payment, cents, str(request.form))
    except stripe_gateway.Unreachable as error:
        # It may have been refunded although the answer was lost.
        text = _("Stripe gave no usable answer: %(error)s %(back)s")
        raise ActionFailed(text % {"error": error, "back": _returned_by_now(payment)}) from error
    try:
        payments.settle(payment, _ask_stripe)
    except ActionFailed as failure:
        text = _(
            "The money is refunded, but the credits are not taken back yet: refresh the payment. %(why)s"
        )
        raise ActionFailed(text % {"why": failure}) from failure
    return True


def _returned_by_now(payment: Payment) -> str:
    """After a refund whose answer was lost: what Stripe says of it, or that it says nothing."""
    try:
        payment = payments.settle(payment, _ask_stripe)
    except ActionFailed:
        return _("The money may have been refunded all the same: refresh the payment before you try again.")
    return _("By now, %(back)s.") % {"back": _returned(payment)}


def _returned(payment: Payment) -> str:
    paid, back = money(payment.paid, payment.paid_currency), money(payment.refunded, payment.paid_currency)
    return _("%(back)s of %(paid)s have been refunded") % {"back": back, "paid": paid}


def close(request: ActionRequest, event: StripeEvent) -> bool:
    """Take a webhook that cannot be processed out of the money console: somebody has looked at it. False if it is processed."""

    def finish() -> bool:
        unsettled = StripeEvent.objects.filter(pk=event.pk, settled_at=None)
        return bool(unsettled.update(settled_at=timezone.now()))

    return _do(request, Action.CLOSE, f"event:{event.pk}"[:100], finish, event.problem)


def _ask_stripe(payment: Payment) -> payments.Truth:
    return _at_stripe(lambda: stripe_gateway.truth_of(payment))


def _at_stripe(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except (stripe_gateway.Unreachable, stripe_gateway.NotOurs) as error:
        raise ActionFailed(_("Stripe gave no usable answer: %(error)s") % {"error": error}) from error


def take_over(request: ActionRequest, channel: Channel, chosen: Sequence[sync.Difference]) -> bool:
    """Apply the chosen differences from a provider's model list to the catalog. False if none were chosen."""
    names = ", ".join(difference.provider_model for difference in chosen)
    return _do(request, Action.TAKE_OVER, _name(channel), lambda: sync.take_over(channel, chosen), names)


def create_codes(request: ActionRequest, batch: CodeBatch, count: int) -> list[str]:
    """Save a batch with `count` redeem codes, and return them. They cannot be read again later."""
    codes: list[str] = []

    def create() -> bool:
        batch.save()
        codes.extend(redeem_codes.create(batch, count))
        return True

    detail = f"{count} codes of {batch.credits} credits: {batch.name}"
    _do(request, Action.CODES, "codes", create, detail)
    return codes


def create_key(request: ActionRequest, user: User, name: str) -> str:
    """Create an API key for a user, and return its text. It cannot be read again later."""
    texts: list[str] = []

    def create() -> bool:
        texts.append(api_keys.create(user, name)[1])
        return True

    _do(request, Action.NEW_KEY, _account(user), create, name)
    return texts[0]


def overrule(request: ActionRequest, verdict: Verdict) -> bool:
    """Allow a refused input: from now on it passes for this user. False if it was overruled before."""
    detail = f"{', '.join(verdict.inputs)} of {_account(verdict.user)}"
    target = f"verdict:{verdict.pk}"
    return _do(request, Action.OVERRULE, target, lambda: gate.overrule(verdict, _person(request)), detail)


def log_changes(
    member: User, action: Action, target: str, before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    """Log which fields an admin form changed, in the transaction that saves it.

    `before` is empty for a new row, `after` for a deleted one.
    """
    names = [name for name in {**before, **after} if _shown(before.get(name)) != _shown(after.get(name))]
    changes = "; ".join(_change(name, before.get(name), after.get(name)) for name in names)
    if names:
        request = ActionRequest(member, _("Edited in the admin."), uuid4())
        _do(request, action, target, lambda: True, changes)


def _change(name: str, old: Any, new: Any) -> str:
    """A short description of one change; for a set, what was added and removed."""
    if isinstance(old, set) or isinstance(new, set):
        old, new = old or set(), new or set()
        added, removed = sorted(new - old), sorted(old - new)
        return f"{name}: {', '.join([*(f'+{item}' for item in added), *(f'−{item}' for item in removed)])}"
    return f"{name}: {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    return "–" if value in (None, "", set()) else str(sorted(value) if isinstance(value, set) else value)


def _do(
    request: ActionRequest, action: Action, target: str, apply: Callable[[], bool], detail: str = ""
) -> bool:
    """Apply and log the action, or do neither. The same form again returns True and changes nothing."""
    try:
        with transaction.atomic():
            AuditEntry.objects.create(
                form=request.form,
                staff=request.staff,
                action=action,
                target=target,
                detail=detail[:1000],
                reason=request.reason[:300],
            )
            if not apply():
                transaction.set_rollback(True)
                return False
    except GrantRefused as refusal:
        raise ActionFailed(str(refusal)) from refusal
    except IntegrityError:
        if AuditEntry.objects.filter(form=request.form).exists():
            return True
        raise
    return True


def _not_to_oneself(request: ActionRequest, user: User) -> None:
    if request.staff == user:
        raise ActionFailed(_("Nobody can do this for themselves. Ask another member of staff."))


def _person(request: ActionRequest) -> User:
    assert request.staff is not None, "the command line does not do this"
    return request.staff


def _account(user: User) -> str:
    """How the log refers to a person: no name or address, since it is never changed and people may leave."""
    return f"user:{user.pk}"


def _name(thing: Channel | VideoModel) -> str:
    return f"{thing._meta.model_name}:{thing.pk}"
