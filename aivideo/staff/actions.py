"""What staff may do by hand: each deed with a reason, and with a line in the audit log that lives or dies with it.

A deed names the form that it was sent with. The same form sent twice (a double click, a reload) is one deed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import api_keys, credits, payments, stripe_gateway
from accounts.models import ApiKey, Payment, User
from aivideo.models import AuditEntry
from videos.catalogue import sync
from videos.generation import lifecycle
from videos.models import Channel, Status, Verdict, Video, VideoModel
from videos.moderation import gate

Action = AuditEntry.Action
# The fields of one that is neither paused nor resting.
AT_WORK: dict[type[Channel] | type[VideoModel], dict[str, Any]] = {
    Channel: {"enabled": True, "failures": 0, "resumes_at": None},
    VideoModel: {"enabled": True},
}


class Failed(Exception):
    """Nothing came of a deed. The text says why to whoever wanted it."""


@dataclass(frozen=True)
class ActionRequest:
    """Who wants it, why, and the form that says so. The reason is for the audit log, `note` for the customer."""

    staff: User
    reason: str
    form: UUID
    note: str = ""


def grant(order: ActionRequest, user: User, amount: int) -> bool:
    """Give a person `amount` credits (> 0)."""

    def give() -> bool:
        return credits.grant(user, amount, reference=f"staff:{order.form}", note=order.note)

    return _do(order, Action.GRANT, f"user:{user.pk}", give, f"{amount} credits to {user}")


def refund(order: ActionRequest, video: Video) -> bool:
    """Return the credits of a finished video, which stays its owner's. False if they have returned before."""
    detail = f"{video.credits} credits to {video.user}"
    return _do(
        order, Action.REFUND, video.reference, lambda: lifecycle.refund_completed(video, order.note), detail
    )


def fail(order: ActionRequest, video: Video) -> bool:
    """End an unfinished video; its credits return. False if it has ended."""

    def stop() -> bool:
        return lifecycle.fail(video, "stopped", order.reason, order.note)

    return _do(order, Action.FAIL, video.reference, stop, f"it was {video.status}")


def hurry(order: ActionRequest, video: Video) -> bool:
    """Let a waiting video be looked at now. False where nothing waits."""
    return _do(
        order, Action.HURRY, video.reference, lambda: lifecycle.retry_now(video), f"it was {video.status}"
    )


def suspend(order: ActionRequest, user: User) -> bool:
    """Sign a person out for good and cancel what waits; what runs goes on. False if that was done before."""

    def shut_out() -> bool:
        if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
            return False
        for video in user.videos.filter(status=Status.QUEUED):
            lifecycle.cancel(video)
        return True

    return _do(order, Action.SUSPEND, f"user:{user.pk}", shut_out, str(user))


def readmit(order: ActionRequest, user: User) -> bool:
    """Let a suspended person sign in again."""

    def let_in() -> bool:
        return bool(User.objects.filter(pk=user.pk, is_active=False).update(is_active=True))

    return _do(order, Action.READMIT, f"user:{user.pk}", let_in, str(user))


def revoke(order: ActionRequest, key: ApiKey) -> bool:
    """Let a key work no more. False if it did not."""
    return _do(order, Action.REVOKE, f"key:{key.pk}", lambda: api_keys.revoke(key), f"{key} of {key.user}")


def pause(order: ActionRequest, thing: Channel | VideoModel) -> bool:
    """Take no new job at a channel, or no new order of a model. What runs goes on."""

    def switch_off() -> bool:
        return bool(type(thing).objects.filter(pk=thing.pk, enabled=True).update(enabled=False))

    return _do(order, Action.PAUSE, _name(thing), switch_off, str(thing))


def resume(order: ActionRequest, thing: Channel | VideoModel) -> bool:
    """Take jobs again: ends a pause, and the rest of a channel whose provider could not be reached."""

    def switch_on() -> bool:
        stopped = type(thing).objects.filter(pk=thing.pk).exclude(**AT_WORK[type(thing)])
        return bool(stopped.update(**AT_WORK[type(thing)]))

    return _do(order, Action.RESUME, _name(thing), switch_on, str(thing))


def accept(order: ActionRequest, payment: Payment) -> bool:
    """Give the credits of a payment that is held. False if it is not held any more."""
    detail = f"{payment.credits} credits to {payment.user}"
    return _do(order, Action.ACCEPT, payment.reference, lambda: payments.accept(payment), detail)


def settle(order: ActionRequest, payment: Payment) -> bool:
    """Ask Stripe what is true of a payment, and move it there. Raises Failed where Stripe cannot tell."""
    # Written down first: nobody else should wait in the database for Stripe's answer.
    _do(order, Action.SETTLE, payment.reference, lambda: True, f"it was {payment.status}")
    try:
        payments.settle(payment, stripe_gateway.truth_of)
    except (stripe_gateway.Unreachable, stripe_gateway.NotOurs) as error:
        raise Failed(_("Stripe gave no answer that we can use: %(error)s") % {"error": error}) from error
    return True


def take_over(order: ActionRequest, channel: Channel, chosen: Sequence[sync.Difference]) -> bool:
    """Make the catalogue say what a provider says of its models. False where nothing was chosen."""
    names = ", ".join(one.provider_model for one in chosen)
    return _do(order, Action.TAKE_OVER, _name(channel), lambda: sync.take_over(channel, chosen), names)


def overrule(order: ActionRequest, verdict: Verdict) -> bool:
    """Let what was refused be made: this input of this person passes from now on. False if that was done before."""
    detail = f"{', '.join(verdict.inputs)} of {verdict.user}"
    target = f"verdict:{verdict.pk}"
    return _do(order, Action.OVERRULE, target, lambda: gate.overrule(verdict, order.staff), detail)


def note(member: User, action: Action, target: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Write down, in the transaction of what a form of the admin saves, which of its fields changed, and how.

    A row that is new has nothing before; one that is deleted, nothing after.
    """
    names = [name for name in before | after if _shown(before.get(name)) != _shown(after.get(name))]
    changes = "; ".join(_change(name, before.get(name), after.get(name)) for name in names)
    if names:
        order = ActionRequest(member, _("On its page in the admin."), uuid4())
        _do(order, action, target, lambda: True, changes)


def _change(name: str, old: Any, new: Any) -> str:
    """In a few words; of a set, what came and what went."""
    if isinstance(old, set) or isinstance(new, set):
        old, new = old or set(), new or set()
        moves = [*(f"+{one}" for one in sorted(new - old)), *(f"−{one}" for one in sorted(old - new))]
        return f"{name}: {', '.join(moves)}"
    return f"{name}: {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    return "–" if value in (None, "", set()) else str(sorted(value) if isinstance(value, set) else value)


class _NothingDoneError(Exception):
    pass


def _do(
    order: ActionRequest, action: Action, target: str, deed: Callable[[], bool], detail: str = ""
) -> bool:
    """Do the deed and write it down, or neither. The same form again is True, and does nothing more."""
    try:
        with transaction.atomic():
            AuditEntry.objects.create(
                form=order.form,
                staff=order.staff,
                action=action,
                target=target,
                detail=detail[:1000],
                reason=order.reason[:300],
            )
            if not deed():
                raise _NothingDoneError
    except _NothingDoneError:
        return False
    except IntegrityError:
        if AuditEntry.objects.filter(form=order.form).exists():
            return True
        raise
    return True


def _name(thing: Channel | VideoModel) -> str:
    return f"{thing._meta.model_name}:{thing.pk}"
