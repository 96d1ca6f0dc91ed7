"""People who want credits when theirs run low, and what has become of that."""

from datetime import timedelta

from django.core import mail
from django.db.models import F

from accounts import guards, low_balance
from accounts.models import LowBalance, Payment
from aivideo.ledger_check import violations
from tests.support.database import unguarded
from tests.support.fixtures import signed_in, spend

TABLES = [guard.table for guard in guards.MONEY]


def ask(user, **form):
    return signed_in(user).post("/credits/low/", form)


def has(user):
    """Balance and debt, of a ledger that adds up."""
    user.refresh_from_db()
    assert violations()[1] == []
    return (user.balance, user.debt)


def state(user):
    low = LowBalance.objects.get(user=user)
    return (low.status, low.problem)


def subjects():
    found = [letter.subject for letter in mail.outbox]
    mail.outbox.clear()
    return found


def bought(user):
    """The statuses of what was bought automatically, oldest first."""
    made = user.top_ups.order_by("payment__created_at")
    return list(made.values_list("payment__status", "is_open"))


def while_stripe_is_down(stripe, saved, monkeypatch, step="/v1/invoices"):
    """A purchase is begun, and an hour passes."""
    real = stripe.post
    down = 503, {"error": {"message": "gone", "type": "api_error"}}
    spend(saved, 100)
    with monkeypatch.context() as patch:
        patch.setattr(stripe, "post", lambda path, *more: down if path.endswith(step) else real(path, *more))
        low_balance.attend()
    assert bought(saved) == [("created", True)]
    with unguarded(*TABLES):
        Payment.objects.update(created_at=F("created_at") - timedelta(hours=1))
