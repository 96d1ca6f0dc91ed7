"""The figures of the dashboard and the money console are those of the rows, however they are counted."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import RequestFactory
from django.utils import timezone

from accounts import credits, payments, utc_days
from accounts.models import BalanceTransaction, CreditEntry, CreditPack, Payment, StripeEvent, User
from accounts.payments import Truth
from aivideo import tasks
from aivideo.models import LedgerCheck, LedgerDay, VideoDay
from aivideo.staff import daily_totals, dashboard, money_console
from tests.support.fixtures import give, new_user, order
from videos.models import Offer, Video, Worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _noon_of_today():
    """Not once for the file, which may be read on one day and run on the next."""
    global NOON
    NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def clock(monkeypatch, _noon_of_today):
    """The time of day is noon, or what a test says."""

    def set_to(at):
        monkeypatch.setattr(timezone, "now", lambda: at)

    set_to(NOON)
    return set_to


@pytest.fixture
def person(db):
    """Somebody without an entry of today, which would be older by its id than those of yesterday."""
    return User.objects.create(username="somebody")


def entry(user, amount, kind, age, hours=0):
    """An entry of so many days and hours before noon, beside the verbs, which know no yesterday."""
    at = NOON - timedelta(days=age, hours=hours)
    return CreditEntry.objects.create(
        user=user, amount=amount, kind=kind, reference=f"test:{uuid4()}", created_at=at
    )


def ended(user, status, age, cost=None, seconds=60):
    at = NOON - timedelta(days=age)
    video = order(user)
    Video.objects.filter(pk=video.pk).update(
        status=status,
        created_at=at - timedelta(seconds=seconds),
        ended_at=at,
        cost=cost,
        next_attempt_at=None,
        file=f"videos/{video.pk}.mp4",
        sha256="0" * 64,
    )
    return video


def shown(length=7, user=None):
    request = RequestFactory().get("/admin/", {"days": length})
    request.user = user or User(is_superuser=True, is_staff=True, is_active=True)
    return dashboard.callback(request, {})


def card(context, title):
    return next(card.value for _, group in context["cards"] for card in group if card.title == title)


def credits_of_all_days():
    since = utc_days.today() - timedelta(days=29)
    found = daily_totals.credits_by_day(since)
    return {(day, kind): n for day, kinds in found.items() for kind, n in kinds.items() if n}


def expected_credits():
    """The plain way: every entry, added up in Python."""
    totals = {}
    for e in CreditEntry.objects.all():
        day = e.created_at.date()
        if day > utc_days.today() - timedelta(days=30):
            totals[day, e.kind] = totals.get((day, e.kind), 0) + e.amount
    return totals


def test_credits_of_a_month_are_the_same_before_and_after_the_days_are_closed(clock, person):
    for age in (40, 31, 29, 8, 7, 6, 2, 1, 0):
        entry(person, 100 + age, "purchase", age)
        entry(person, -10, "charge", age, hours=11)
    before = credits_of_all_days()
    assert before == expected_credits()
    daily_totals.close()
    assert LedgerDay.objects.count() > 10
    assert credits_of_all_days() == before
    daily_totals.close()
    assert credits_of_all_days() == before
    entry(person, -10, "charge", 0)
    assert credits_of_all_days() == expected_credits()


def test_an_entry_with_a_clock_ahead_of_its_id_is_counted_once(clock, person):
    entry(person, 5, "purchase", 0)
    entry(person, 100, "purchase", 3)
    before = credits_of_all_days()
    daily_totals.close()
    assert LedgerDay.objects.count() == 2
    assert credits_of_all_days() == before == expected_credits()


def test_an_entry_that_came_late_to_its_day_is_counted_once(clock, person):
    entry(person, 100, "purchase", 2)
    daily_totals.close()
    entry(person, 7, "purchase", 2)
    assert credits_of_all_days() == expected_credits()
    daily_totals.close()
    assert credits_of_all_days() == expected_credits()
    assert LedgerDay.objects.get(day=utc_days.today() - timedelta(days=2), kind="purchase").credits == 107


def test_yesterday_is_closed_only_when_its_last_transactions_are_over(clock, person):
    entry(person, 100, "purchase", 1)
    clock(NOON.replace(hour=0, minute=30))
    daily_totals.close()
    assert not LedgerDay.objects.filter(kind="purchase").exists()
    clock(NOON.replace(hour=1, minute=1))
    daily_totals.close()
    assert LedgerDay.objects.get(kind="purchase").day == utc_days.today() - timedelta(days=1)


def test_two_who_close_the_same_days_count_them_once(clock, person, monkeypatch):
    entry(person, 100, "purchase", 1)
    first = daily_totals.last_counted

    def meanwhile():
        """Somebody else closes the days between our look and our write."""
        monkeypatch.setattr(daily_totals, "last_counted", first)
        daily_totals.close()
        return 0

    monkeypatch.setattr(daily_totals, "last_counted", meanwhile)
    daily_totals.close()
    assert credits_of_all_days() == expected_credits()


def test_videos_of_a_month_are_the_same_before_and_after_the_days_are_closed(clock):
    user = new_user()
    give(user, 1000)
    for age in (35, 29, 8, 7, 6, 1, 1, 0):
        ended(user, "completed", age, cost="0.4000")
        ended(user, "failed", age)
    since = utc_days.today() - timedelta(days=29)

    def count():
        return sorted(daily_totals.videos_by_day(since))

    before = count()
    assert sum(row[3] for row in before) == 14
    daily_totals.close()
    assert VideoDay.objects.exists()
    assert count() == before
    daily_totals.close()
    assert count() == before


def test_a_late_success_of_yesterday_moves_to_the_day_it_ended_on(clock, owner):
    video = ended(owner, "failed", 1)
    daily_totals.close()
    Video.objects.filter(pk=video.pk).update(status="completed", ended_at=NOON)
    daily_totals.close()
    found = list(daily_totals.videos_by_day(utc_days.today() - timedelta(days=29)))
    assert [(row[0], row[2], row[3]) for row in found] == [(utc_days.today(), "completed", 1)]


def test_the_cards_say_what_the_rows_say(clock, owner, settings):
    settings.TEST_CHECKOUT = False
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    bought = payments.order(owner, pack, Payment.Processor.STRIPE)
    truth = Truth(is_paid=True, amount=2500, currency="usd", refunded=500)
    payments.settle(bought, lambda _payment: truth)
    other = payments.order(owner, pack, Payment.Processor.TEST)
    payments.settle(other, lambda _payment: Truth(is_paid=True, amount=2500, currency="usd"))
    for _ in range(3):
        ended(owner, "completed", 0, cost="0.4000", seconds=50)
    ended(owner, "completed", 0, cost="0.4000", seconds=80)
    ended(owner, "failed", 0)
    ended(owner, "completed", 10, cost="0.4000")
    waiting = order(owner)
    Video.objects.filter(pk=waiting.pk).update(queued_at=NOON - timedelta(minutes=7))
    Worker.objects.create(name="w", seen_at=NOON)

    week = shown(7)
    said = {title: card(week, title) for title in ("Ready", "Failed", "Success rate", "Waiting", "Worker")}
    assert said == {
        "Ready": "4",
        "Failed": "1",
        "Success rate": "80.0 %",
        "Waiting": "1",
        "Worker": "Running",
    }
    assert (card(week, "Paid"), card(week, "Returned")) == ("25.00 USD", "5.00 USD")
    assert (card(week, "Provider cost"), card(shown(30), "Provider cost")) == ("1.60 USD", "2.00 USD")
    assert (card(week, "Sold"), card(week, "Clawed back"), card(week, "Granted")) == ("2,000", "200", "100")
    assert (card(week, "Spent"), card(week, "New users")) == ("70", "1")
    assert [m["median"] for m in week["models"]][:1] == ["50 s"]


def test_the_dashboards_money_is_all_that_came_and_went(clock, owner, settings):
    """Held and disputed payments took money, too; and of what was paid not all is left."""
    settings.TEST_CHECKOUT = False
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)

    def settle(**facts):
        payment = payments.order(owner, pack, Payment.Processor.STRIPE)
        moves = [
            BalanceTransaction(
                id=f"txn_{payment.pk}_{n}",
                category="charge" if amount > 0 else "dispute",
                amount=amount,
                fee=fee,
                net=amount - fee,
                currency="usd",
                created_at=NOON,
            )
            for n, (amount, fee) in enumerate(facts.pop("moves", ()))
        ]
        truth = Truth(**{"is_paid": True, "amount": 2500, "currency": "usd", **facts, "transactions": moves})
        return payments.settle(payment, lambda _payment: truth)

    settle(moves=[(2500, 103)])
    assert settle(amount=2400, moves=[(2400, 100)]).status == "held"
    assert settle(amount=1900, currency="eur").status == "held"
    assert settle(disputed=2500, is_contested=True, moves=[(2500, 103), (-2500, 1500)]).status == "disputed"
    week = shown(7)
    assert card(week, "Paid") == "19.00 EUR + 74.00 USD"
    assert card(week, "Returned") == "0.00 EUR + 25.00 USD"
    assert card(week, "Stripe's fees") == "18.06 USD"
    assert card(week, "Net") == "30.94 USD"


def test_a_period_that_nobody_offers_is_a_week(clock):
    for strange in ("", "0", "365", "-1", "x", "7'"):
        assert [is_on for *_, is_on in shown(strange)["periods"]] == [False, True, False]


def test_what_somebody_may_not_see_is_not_read_either(clock, django_assert_num_queries):
    nobody = User.objects.create(username="nobody", is_staff=True)
    nobody.has_perm = lambda permission: False
    with django_assert_num_queries(0):
        context = shown(7, nobody)
    assert (context["cards"], context["charts"], context["models"]) == ([], [], [])


def test_a_silent_worker_and_lost_requests_are_seen_at_once(clock, owner):
    video = order(owner)
    Video.objects.filter(pk=video.pk).update(status="unconfirmed", posted_at=NOON)
    Worker.objects.create(name="w", seen_at=NOON - timedelta(minutes=5))
    tones = {card.title: card.tone for card in shown()["cards"][0][1]}
    assert (tones["Unconfirmed"], tones["Worker"]) == ("bad", "bad")


# --- The money console ----------------------------------------------------------------------------


def test_the_drift_is_the_difference_between_accounts_and_ledger(clock, owner):
    credits.claw_back(owner, 250, reference="payment:x")
    entry_of_yesterday = entry(owner, 10, "grant", 1)
    User.objects.filter(pk=owner.pk).update(debt=140)
    assert money_console.drift() == 0
    daily_totals.close()
    assert (
        LedgerDay.objects.filter(last_entry__gte=entry_of_yesterday.pk).exists() or money_console.drift() == 0
    )
    assert money_console.drift() == 0
    User.objects.filter(pk=owner.pk).update(balance=5, debt=0)
    assert money_console.drift() == 145


def test_the_console_shows_everything_that_waits(as_staff, owner):
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    held = payments.order(owner, pack, Payment.Processor.STRIPE)
    payments.settle(held, lambda _payment: Truth(is_paid=True, amount=2400, currency="usd"))
    StripeEvent.objects.create(id="evt_unsettled", kind="charge.dispute.created", payment=held)
    debtor = new_user()
    credits.claw_back(debtor, 777, reference="payment:y")
    late, lost = order(owner), order(owner)
    Video.objects.filter(pk=late.pk).update(queued_at=timezone.now() - timedelta(days=1))
    Video.objects.filter(pk=lost.pk).update(status="unconfirmed", posted_at=timezone.now())
    LedgerCheck.objects.create(violations=["user 7 has lost a credit"])
    page = as_staff.get("/admin/money/").content.decode()
    for said in (
        "24.00 USD",
        "evt_unsettled",
        str(late.pk)[:8],
        str(lost.pk)[:8],
        "677",
        "user 7 has lost a credit",
    ):
        assert said in page, said


def test_the_console_lists_the_oldest_first_and_says_how_many_there_are_and_of_how_much(as_staff, owner):
    """Fifty disputes must not hide the one payment that waits for a decision."""
    pack = CreditPack.objects.create(name="Some", credits=10, price=250)
    euros = CreditPack.objects.create(name="Some", credits=10, price=300, currency="eur")
    made = []
    for number in range(money_console.MAX_SHOWN + 2):
        payment = payments.order(owner, euros if number == 0 else pack, Payment.Processor.STRIPE)
        age = timedelta(days=number)
        Payment.objects.filter(pk=payment.pk).update(status="disputed", created_at=timezone.now() - age)
        made.append(payment)
    held = payments.order(owner, pack, Payment.Processor.STRIPE)
    Payment.objects.filter(pk=held.pk).update(status="held", reason="paid 1.00 USD")
    lost = payments.order(owner, pack, Payment.Processor.STRIPE)
    Payment.objects.filter(pk=lost.pk).update(status="lost")
    page = as_staff.get("/admin/money/").content.decode()
    assert "52 · 3.00 EUR + 127.50 USD" in page
    assert "The first 50 of 52." in page
    assert "/admin/accounts/payment/?status__exact=disputed" in page
    assert "1 · 2.50 USD" in page
    assert str(held.pk) in page
    shown = [str(payment.pk) in page for payment in made]
    assert shown == [False, False] + [True] * 50
    assert page.index(str(made[-1].pk)) < page.index(str(made[2].pk))
    assert str(lost.pk) not in page


def test_the_nightly_check_keeps_what_it_finds(owner, caplog):
    tasks.check_ledger()
    assert LedgerCheck.objects.get().violations == []
    User.objects.filter(pk=owner.pk).update(balance=99)
    tasks.check_ledger()
    assert "has 99 credits" in LedgerCheck.objects.first().violations[0]
    assert "The ledger is wrong" in caplog.text


def test_the_cost_of_a_video_is_that_of_its_model_when_the_provider_was_done(owner):
    from videos.generation import lifecycle

    Offer.objects.update(cost_a_second="0.1500")
    video = order(owner)
    Video.objects.filter(pk=video.pk).update(status="in_progress", ref="job-1")
    video = Video.objects.get(pk=video.pk)
    assert lifecycle.finish(video)
    Offer.objects.update(cost_a_second="9")
    video.refresh_from_db()
    assert video.cost == Decimal("0.6000")
