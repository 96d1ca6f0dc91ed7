from datetime import timedelta
from itertools import islice

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import credits, redeem_codes
from accounts.models import CodeBatch, RedeemCode
from accounts.redeem_codes import CodeRefused
from aivideo.ledger_check import violations
from tests.support.fixtures import new_user, signed_in
from tests.support.sabotage import becomes, omit, without

pytestmark = pytest.mark.django_db


def new_codes(count=1, **fields):
    batch = CodeBatch.objects.create(**{"name": "Welcome back", "credits": 50, **fields})
    return redeem_codes.create(batch, count)


def new_code(**fields):
    return new_codes(**fields)[0]


def balance(user):
    user.refresh_from_db()
    assert violations()[1] == []
    return user.balance


def refusal(user, text):
    with pytest.raises(CodeRefused) as refused:
        redeem_codes.redeem(user, text)
    return refused.value.reason


def test_a_code_gives_its_credits_once(owner):
    code, other = new_code(), new_user()
    assert redeem_codes.redeem(owner, code) == 50
    assert [refusal(user, code) for user in (owner, other)] == ["used", "used"]
    assert (balance(owner), balance(other)) == (150, 100)
    entry = owner.credit_entries.first()
    assert (entry.kind, entry.amount, entry.note) == ("grant", 50, "Welcome back")


@pytest.mark.parametrize(
    "spoil", [str.lower, lambda code: f"  {code.replace('-', ' ')}\n", lambda c: c.replace("-", "–")]
)
def test_it_does_not_matter_how_a_code_is_typed(owner, spoil):
    assert redeem_codes.redeem(owner, spoil(new_code())) == 50


@pytest.mark.parametrize(("digit", "typed"), [("1", "lIlI-iiii-LLLL-1111"), ("0", "OoOo-0000-oooo-OOOO")])
def test_letters_that_look_like_digits_are_read_as_digits(owner, monkeypatch, digit, typed):
    monkeypatch.setattr(redeem_codes, "ALPHABET", digit)
    new_code()
    assert redeem_codes.redeem(owner, typed) == 50


@pytest.mark.parametrize("text", ["", "   ", "AAAA-BBBB-CCCC-DDDD", "x" * 5000, "\x00", "\ud800", "💸"])
def test_what_is_no_code_gives_nothing(owner, text):
    new_code()
    assert refusal(owner, text) == "unknown"
    assert balance(owner) == 100


def test_a_code_can_be_redeemed_until_its_day(owner, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert redeem_codes.redeem(owner, new_code(redeem_until=now + timedelta(hours=1))) == 50
    assert refusal(owner, new_code(redeem_until=now)) == "expired"
    assert balance(owner) == 150


def test_the_credits_of_a_code_may_expire(owner):
    redeem_codes.redeem(owner, new_code(lasts_days=30))
    lot = owner.lots.get()
    assert (lot.left, round((lot.expires_at - timezone.now()) / timedelta(days=1))) == (50, 30)


def test_a_used_code_is_called_used_also_when_its_time_is_over(owner):
    code = new_code()
    redeem_codes.redeem(owner, code)
    CodeBatch.objects.update(redeem_until=timezone.now() - timedelta(days=1))
    assert refusal(owner, code) == "used"


def test_after_too_many_wrong_codes_even_a_right_one_has_to_wait(owner):
    other = new_user()
    assert [refusal(owner, f"{n}") for n in range(redeem_codes.MAX_WRONG)] == [
        "unknown"
    ] * redeem_codes.MAX_WRONG
    code = new_code()
    assert refusal(owner, code) == "too_many"
    assert balance(owner) == 100
    assert redeem_codes.redeem(other, code) == 50


@without(
    "the rule that a code is used once",
    "accounts.redeem_codes.redeem",
    omit("redeemed_at=None"),
    becomes("f'code:{code.pk}'", "f'code:{code.pk}:{user.pk}'"),
)
def test_A40_somebody_who_redeems_between_look_and_update_wins(owner, monkeypatch):
    code, other = new_code(), new_user()
    atomic = redeem_codes.transaction.atomic

    def overtaken():
        monkeypatch.undo()
        assert redeem_codes.redeem(other, code) == 50
        return atomic()

    monkeypatch.setattr(redeem_codes.transaction, "atomic", overtaken)
    assert refusal(owner, code) == "used"
    assert (balance(owner), balance(other)) == (100, 150)


def test_the_database_knows_no_code(owner):
    made = new_codes(20)
    rows = " ".join(f"{code.digest} {code}" for code in RedeemCode.objects.all())
    assert len(set(made)) == RedeemCode.objects.count() == 20
    assert not [code for code in made if code in rows or code.replace("-", "") in rows]


def test_staff_print_codes_with_a_command(owner, capsys):
    call_command("create_redeem_codes", "3", "--credits", "70", "--days", "10", "--lasting", "5")
    printed = capsys.readouterr().out.split()
    assert len(printed) == 3
    assert [redeem_codes.redeem(owner, code) for code in islice(printed, 2)] == [70, 70]
    assert balance(owner) == 240
    assert owner.lots.count() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ("0", "--credits", "5"),
        ("1", "--credits", "0"),
        ("1", "--credits", "-5"),
        ("1", "--credits", "5", "--days", "0"),
    ],
)
def test_the_command_makes_no_senseless_codes(wrong):
    with pytest.raises(CommandError, match="whole number"):
        call_command("create_redeem_codes", *wrong)
    assert CodeBatch.objects.count() == 0


# --- On the page ----------------------------------------------------------------------------------


def test_a_code_is_redeemed_on_the_credits_page(owner):
    answer = signed_in(owner).post("/credits/redeem/", {"code": new_code()}, follow=True)
    assert answer.redirect_chain == [("/credits/", 302)]
    assert "50 credits added." in answer.text
    assert balance(owner) == 150


def test_a_refused_code_stays_in_its_field_and_says_why(owner):
    client = signed_in(owner)
    for text, status, why in (
        ("", 422, "Enter a code."),
        ("wrong <b>", 422, "Invalid code."),
        (new_code(redeem_until=timezone.now()), 422, "This code expired on"),
    ):
        answer = client.post("/credits/redeem/", {"code": text})
        assert (answer.status_code, why in answer.text) == (status, True)
    page = client.post("/credits/redeem/", {"code": "wrong"}).text
    assert 'href="?' not in page  # it would lead back to here, where nothing can be read
    assert 'value="wrong &lt;b&gt;"' in client.post("/credits/redeem/", {"code": "wrong <b>"}).text
    assert balance(owner) == 100


def test_too_many_wrong_codes_are_answered_with_429(owner):
    client = signed_in(owner)
    answers = [client.post("/credits/redeem/", {"code": "wrong"}).status_code for _ in range(12)]
    assert answers == [422] * 10 + [429] * 2


def test_nobody_redeems_without_signing_in(client):
    assert client.post("/credits/redeem/", {"code": new_code()}).status_code == 302
    assert RedeemCode.objects.get().redeemed_by is None


def test_the_page_tells_what_expires_and_what_is_owed(owner):
    credits.grant(owner, 20, reference="x:1", expires_at=timezone.now() + timedelta(days=3))
    assert "20 credits expire on" in signed_in(owner).get("/credits/").text
    credits.claw_back(owner, 200, reference="x:1")
    assert "You owe 80 credits" in signed_in(owner).get("/credits/").text
