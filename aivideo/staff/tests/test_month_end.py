"""The figures of a month: each compared with what was done in it."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F, Sum
from django.utils import timezone

from accounts import guards, payments, stripe_gateway
from accounts.models import BalanceTransaction, CreditEntry, Payment
from aivideo import ledger_seals
from aivideo.staff import daily_totals, month_end
from tests.support.database import unguarded
from tests.support.fixtures import give, order, signed_in, spend
from tests.support.payments import buy
from tests.support.stripe_server import DISPUTE_FEE, FEE
from videos.generation import lifecycle
from videos.models import Video

pytestmark = pytest.mark.django_db
TABLES = [guard.table for guard in (*guards.MONEY, *ledger_seals.GUARDS)]


def figures(month):
    """The figures of the file by section and item, each as (currency, amount, credits, number)."""
    rows = list(csv.reader(io.StringIO(month_end.as_csv(month))))
    assert rows[0] == list(month_end.HEADER)
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    return {(section, item, currency): tuple(rest) for section, item, currency, *rest in rows[1:]}


def this_month():
    return month_end.parse(f"{timezone.now():%Y-%m}")


@pytest.fixture
def month(stripe, owner, pack):
    """Two sales with a tax, one of them half refunded, a dispute, and videos of which one fails; the money to the cent."""
    bought, refunded, disputed = (buy(owner, pack) for _ in range(3))
    stripe.pay(bought, tax=475)
    stripe.pay(refunded, discount=500)
    stripe.pay(disputed)
    stripe.refund(refunded, 1000)
    stripe.dispute(disputed)
    for payment in (bought, refunded, disputed):
        payments.settle(payment, stripe_gateway.truth_of)
    video = spend(owner, 30)
    Video.objects.filter(pk=video.pk).update(
        status="completed",
        ended_at=timezone.now(),
        next_attempt_at=None,
        cost=Decimal("0.4"),
        file="videos/x.mp4",
        sha256="0" * 64,
    )
    failed = order(owner)
    lifecycle.fail(failed, "generation_failed")
    Video.objects.filter(pk=failed.pk).update(cost=Decimal("0.1"))
    return this_month()


def test_the_sales_are_what_customers_paid(month):
    found = figures(month)
    assert found["sales", "paid", "USD"] == ("74.75", "", "3")
    assert found["sales", "of it tax", "USD"] == ("4.75", "", "")
    assert found["sales", "of it without tax", "USD"] == ("70.00", "", "")
    assert found["sales", "discounts, not in what was paid", "USD"] == ("5.00", "", "")


def test_what_stripe_booked_adds_up_to_what_is_left_there(month, stripe):
    found = figures(month)
    assert found["stripe", "charge", "USD"] == ("74.75", "", "3")
    assert found["stripe", "refund", "USD"] == ("-10.00", "", "1")
    assert found["stripe", "dispute", "USD"] == ("-25.00", "", "1")
    assert found["stripe", "fee", "USD"] == (f"{Decimal(-3 * FEE - DISPUTE_FEE) / 100}", "", "")
    net = sum(move["net"] for move in stripe.transactions.values())
    assert found["stripe", "net", "USD"] == (f"{Decimal(net) / 100}", "", "")


def test_what_is_owed_before_and_all_that_moved_is_what_is_owed_after(month, owner):
    found = {item: int(row[1]) for (section, item, _), row in figures(month).items() if section == "credits"}
    moved = sum(found[kind] for kind in CreditEntry.Kind.values)
    assert (found["owed before"] + moved, found["owed before"]) == (found["owed after"], 0)
    assert found["owed after"] == CreditEntry.objects.aggregate(n=Sum("amount"))["n"]
    assert (found["purchase"], found["claw_back"], found["charge"], found["refund"]) == (3000, -1500, -40, 10)


def test_each_model_says_what_it_brought_and_cost(month):
    found = {key[1:]: row for key, row in figures(month).items() if key[0] == "videos"}
    assert found["sora-2: completed", ""] == ("", "30", "1")
    assert found["sora-2: failed and canceled", ""] == ("", "", "1")
    assert Decimal(found["sora-2: cost of what was sold", "USD"][0]) == Decimal("-0.4")
    assert Decimal(found["sora-2: cost of what was not", "USD"][0]) == Decimal("-0.1")
    # 70 dollars without tax for 3,000 credits; 30 of them spent.
    assert found["sora-2: margin at the average price", "USD"][0] == "0.20"


def test_a_month_ends_where_the_next_begins(month, owner):
    """What happened in it is counted there, whether its days are closed or not; and next month begins with what was owed."""
    before = figures(month)
    days = timedelta(days=timezone.now().day)  # into the last month
    with unguarded(*TABLES):
        CreditEntry.objects.update(created_at=F("created_at") - days)
        BalanceTransaction.objects.update(created_at=F("created_at") - days)
        Payment.objects.update(charged_at=F("charged_at") - days, paid_at=F("paid_at") - days)
        Video.objects.update(ended_at=F("ended_at") - days)
    for close in (lambda: None, daily_totals.close):
        close()
        moved = figures(month_end.last())
        assert {key: row for key, row in moved.items() if key[0] != "month"} == {
            key: row for key, row in before.items() if key[0] != "month"
        }
        now = figures(month)
        assert now["credits", "owed before", ""] == moved["credits", "owed after", ""]
        assert now["credits", "purchase", ""] == ("", "0", "")
        assert not [key for key in now if key[0] in ("sales", "stripe", "videos")]
    give(owner, 7)
    assert figures(month)["credits", "grant", ""] == ("", "7", "")


def test_a_year_ends_as_other_months_do():
    month = month_end.parse("2025-12")
    assert (month.start, month.end) == (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def test_the_command_prints_what_the_admin_downloads(month, as_staff, owner, capsys):
    call_command("export_month", str(month))
    printed = capsys.readouterr().out
    answer = as_staff.get("/admin/money/month.csv", {"month": str(month)})
    assert answer.text == printed
    assert answer["Content-Disposition"] == f'attachment; filename="aivideo-{month}.csv"'
    assert signed_in(owner).get("/admin/money/month.csv", {"month": str(month)}).status_code != 200


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2999-01", "november"])
def test_what_is_no_month_that_has_begun_is_said(as_staff, text):
    answer = as_staff.get("/admin/money/month.csv", {"month": text}, follow=True)
    assert "Choose a month that has begun" in answer.text
    with pytest.raises(CommandError, match="is not a month that has begun"):
        call_command("export_month", text)
