"""What migrations complete in the rows of earlier versions. Each is run on rows as those versions left them."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from accounts import credits, payments
from accounts.models import CreditPack, Draw, Payment
from accounts.payments import Truth
from aivideo.ledger_check import violations
from tests.support.database import unguarded
from tests.support.fixtures import give, spend
from videos.generation import lifecycle

pytestmark = pytest.mark.django_db


class Editor:
    """The part of a schema editor that the migrations use. A real one refuses to begin inside of a test's transaction."""

    connection = connection

    def execute(self, sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)


def migrate(name):
    import_module(f"accounts.migrations.{name}").forwards(apps, Editor())


def wrong_lots():
    return [sentence for sentence in violations()[1] if "in lot" in sentence]


def test_what_two_claw_backs_drew_from_two_lots_is_written_down(owner):
    now = timezone.now()
    give(owner, 100, expires_at=now + timedelta(days=10))
    give(owner, 50, expires_at=now + timedelta(days=20))
    credits.claw_back(owner, 190, reference="first")  # 90 of them from the lots
    credits.claw_back(owner, 40, reference="second")
    # 0.9.0 did not write down what a claw-back drew.
    with unguarded("accounts_draw"):
        Draw.objects.all().delete()
    assert len(wrong_lots()) == 2
    for _again in range(2):
        migrate("0018_draws_of_before")
        by_lot = Draw.objects.values_list("lot__amount").annotate(n=Sum("amount")).order_by("lot__amount")
        by_claw_back = Draw.objects.values_list("charge__reference").annotate(n=Sum("amount")).order_by("n")
        assert list(by_lot) == [(50, 30), (100, 100)]
        assert list(by_claw_back) == [("second", 40), ("first", 90)]
        assert wrong_lots() == []


def test_what_a_refund_put_back_is_written_down(owner):
    give(owner, 100, expires_at=timezone.now() + timedelta(days=10))
    video = spend(owner, 5)
    lifecycle.fail(video, "generation_failed")
    with unguarded("accounts_draw"):
        Draw.objects.update(returned=None)
    migrate("0018_draws_of_before")
    assert Draw.objects.get().returned == 5
    assert violations()[1] == []


def test_a_draw_whose_charge_may_still_be_refunded_stays_as_it_is(owner):
    give(owner, 100, expires_at=timezone.now() + timedelta(days=10))
    spend(owner, 5)
    with unguarded("accounts_draw"):
        Draw.objects.update(returned=None)
    migrate("0018_draws_of_before")
    assert Draw.objects.get().returned is None
    assert violations()[1] == []


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ({}, ("paid", 2500, 0, 0)),
        ({"refunded": 833}, ("refunded", 2500, 831, 0)),
        ({"refunded": 2500}, ("refunded", 2500, 2500, 0)),
        ({"disputed": 2500, "is_contested": True}, ("disputed", 2500, 0, 2500)),
    ],
)
def test_the_money_of_an_earlier_payment_is_what_its_credits_say(owner, truth, expected):
    """The least money of which these credits are the share; `reconcile_stripe` asks for the cents."""
    pack = CreditPack.objects.create(name="Odd", credits=999, price=2500)
    payment = payments.order(owner, pack, Payment.Processor.STRIPE)
    payments.settle(payment, lambda _payment: Truth(is_paid=True, amount=2500, currency="usd", **truth))
    taken = Payment.objects.get().clawed_back
    with unguarded("accounts_payment"):
        Payment.objects.update(paid=0, paid_currency="", charged_at=None, refunded=0, disputed=0)
    migrate("0022_what_was_paid_before")
    payment = Payment.objects.get()
    assert (payment.status, payment.paid, payment.refunded, payment.disputed) == expected
    assert (payment.paid_currency, payment.charged_at, payment.clawed_back) == ("usd", payment.paid_at, taken)
    assert violations()[1] == []
