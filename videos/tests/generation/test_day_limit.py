"""What a person may spend in a day: by their own will, or that of staff."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from aivideo.ledger_check import violations
from aivideo.models import AuditEntry
from tests.support.api_client import error_of
from tests.support.database import unguarded
from tests.support.fixtures import order, signed_in, video_order
from tests.support.sabotage import drop, without
from tests.support.studio_page import form
from videos.generation import day_limit, lifecycle, ordering

pytestmark = pytest.mark.django_db


def limit(user, own=None, staff=None):
    user.credits_a_day, user.staff_credits_a_day = own, staff
    user.save()


@without("the limit of a day", "videos.generation.ordering.place", drop("day_limit.check"))
@pytest.mark.parametrize("limits", [{"own": 25}, {"staff": 25}, {"own": 25, "staff": 90}])
def test_nobody_spends_more_than_their_limit_in_a_day(owner, limits):
    limit(owner, **limits)
    order(owner), order(owner)
    with pytest.raises(day_limit.DayLimitReached, match="You have spent 20 today"):
        order(owner)
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (80, 2)
    assert violations()[1] == []


def test_what_was_refunded_or_spent_yesterday_leaves_room(owner):
    limit(owner, own=10)
    lifecycle.fail(order(owner), "generation_failed")
    order(owner)
    with unguarded("accounts_creditentry"):
        owner.credit_entries.update(created_at=timezone.now() - timedelta(days=1))
    order(owner)
    assert day_limit.spent_today(owner) == 10


def test_the_same_order_again_is_no_second_one(owner):
    limit(owner, own=10)
    key = str(uuid4())
    wanted = [video_order(client_key=key) for _ in range(2)]
    assert ordering.place(owner, wanted[0]) == ordering.place(owner, wanted[1])


def test_all_variations_count_together_and_none_is_made_if_they_are_too_many(owner):
    limit(owner, own=25)
    with pytest.raises(day_limit.DayLimitReached):
        ordering.place_all(owner, video_order(), 3)
    assert owner.videos.count() == 0


def test_the_studio_says_why_and_charges_nothing(owner):
    limit(owner, own=5)
    page = signed_in(owner)
    answer = page.post("/", form())
    assert answer.status_code == 429
    assert "can spend 5 credits a day" in answer.text
    assert "Nothing was charged" in answer.text
    assert int(answer["Retry-After"]) <= 24 * 3600


def test_a_program_hears_of_it_before_and_when_it_orders(owner, program):
    limit(owner, staff=5)
    asked = {"prompt": "A red kite over the sea"}
    assert program.send("/v1/videos/quote", asked).json()["error"]["code"] == "daily_limit_reached"
    answer = program.send("/v1/videos", asked)
    assert error_of(answer) == (429, None, "daily_limit_reached")
    assert 0 < int(answer["Retry-After"]) <= 24 * 3600
    assert owner.credit_entries.filter(kind="charge").count() == 0


def test_the_limit_is_set_and_removed_on_the_credits_page(owner):
    page = signed_in(owner)
    for bad in ("-1", "ten", "1.5", "9" * 10, "1" * 5000, "²"):
        answer = page.post("/credits/limit/", {"limit": bad})
        assert answer.status_code == 422
        assert "whole number" in answer.text
    for text, expected in (("30", 30), ("0", 0), (" ", None)):
        assert page.post("/credits/limit/", {"limit": text}).status_code == 302
        owner.refresh_from_db()
        assert day_limit.limit_of(owner) == expected


def test_staff_limit_a_person_and_the_audit_log_knows(owner, as_staff):
    url = f"/admin/accounts/user/{owner.pk}/change/"
    fields = dict(as_staff.get(url).context["adminform"].form.initial)
    unchanged = {name: value for name, value in fields.items() if isinstance(value, str)}
    as_staff.post(url, unchanged | {"is_active": "on", "staff_credits_a_day": "40", "credits_a_day": "1"})
    owner.refresh_from_db()
    assert (owner.staff_credits_a_day, owner.credits_a_day) == (40, None)
    assert "staff_credits_a_day: – → 40" in AuditEntry.objects.get(target=f"user:{owner.pk}").detail
    assert "limits your account to 40 credits a day" in signed_in(owner).get("/credits/").text
