import csv
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.utils import timezone

from accounts import credits, payments, redeem_codes, statement
from accounts.models import CodeBatch, CreditPack, Payment
from accounts.statement import entries
from tests.support.api_client import Program
from tests.support.database import unguarded
from tests.support.fixtures import new_user, order, signed_in
from videos.generation import lifecycle
from videos.models import Video

pytestmark = pytest.mark.django_db


def csv_of(user, query=""):
    answer = signed_in(user).get(f"/credits/statement.csv{query}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="credits-')
    return list(csv.reader(StringIO(answer.getvalue().decode())))


def test_the_statement_is_a_file_for_a_spreadsheet(owner):
    credits.grant(owner, 5, reference="staff:1", note='Sorry, "really"')
    video = order(owner, "A heron in the reeds")
    lifecycle.fail(video, "generation_failed")
    head, refund, charge, gift, welcome = csv_of(owner)
    assert head == ["Time", "Kind", "For", "Reference", "Credits", "Balance"]
    name = f"video_{video.pk.hex}"
    assert refund[1:] == ["Refunded", "A heron in the reeds", name, "10", "105"]
    assert charge[1:] == ["Charged", "A heron in the reeds", name, "-10", "95"]
    assert gift[1:] == ["Granted", 'Sorry, "really"', "", "5", "105"]
    assert welcome[1:] == ["Granted", "Free credits", "", "100", "100"]


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")'])
def test_no_cell_of_it_is_a_formula(owner, note):
    credits.grant(owner, 5, reference="staff:1", note=note)
    assert csv_of(owner)[1][2] == f"'{note}"


def test_it_can_be_filtered_by_kind_on_the_page_and_in_the_file(owner):
    order(owner)
    assert [(line[1], line[5]) for line in csv_of(owner, "?kind=charge")[1:]] == [("Charged", "")]
    page = signed_in(owner).get("/credits/?kind=charge").text
    assert page.count("<tr>") == 2
    assert "statement.csv?kind=charge" in page
    assert entries(owner, "no such kind").count() == 2


def test_nobody_sees_the_statement_of_another(owner):
    credits.grant(owner, 5, reference="staff:1", note="a secret")
    other = new_user()
    assert len(csv_of(other)) == 2
    assert "a secret" not in signed_in(other).get("/credits/").text


def test_each_line_of_the_page_says_what_was_left_after_it(owner, monkeypatch):
    monkeypatch.setattr(statement, "SIZES", (2, 3))
    for prompt in ("A heron", "A kite", "A whale"):
        video = order(owner, prompt)
    Video.objects.filter(pk=video.pk).update(poster="posters/x.webp")
    client = signed_in(owner)

    def shown(query):
        page = client.get(f"/credits/{query}").text
        numbers = re.findall(r'<td class="number">([\d,−-]+)</td>', page)
        return re.findall(r"A (heron|kite|whale)</span>", page), numbers

    assert shown("") == (["whale", "kite", "heron"], ["70", "80", "90"])
    assert shown("?size=2") == (["whale", "kite"], ["70", "80"])
    assert shown("?size=2&page=2") == (["heron"], ["90", "100"])
    assert shown("?size=7") == shown("?size=x") == shown("")
    assert shown("?kind=charge") == (["whale", "kite", "heron"], [])
    page = client.get("/credits/").text
    assert f'src="/videos/{video.pk}/poster/"' in page
    assert f'href="/videos/{video.pk}/"' in page


def test_a_deleted_video_leaves_a_line_without_its_words(owner):
    video = order(owner, "A secret heron")
    lifecycle.cancel(video)
    lifecycle.delete(Video.objects.get(pk=video.pk))
    page = signed_in(owner).get("/credits/").text
    assert "A secret heron" not in page
    assert page.count("A deleted video") == 2


def test_customers_read_words_and_not_our_references(owner):
    batch = CodeBatch.objects.create(name="Spring fair", credits=5)
    redeem_codes.redeem(owner, redeem_codes.create(batch, 1)[0])
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    payment = payments.order(owner, pack, Payment.Processor.STRIPE)
    for disputed in (0, 2500, 0):
        truth = payments.Truth(
            is_paid=True, amount=2500, currency="usd", disputed=disputed, is_contested=True
        )
        payments.settle(payment, lambda _payment, truth=truth: truth)
    texts = [line[2] for line in csv_of(owner)[1:]]
    assert texts == [
        "A refund or dispute of your payment was withdrawn.",
        "Your payment was refunded or disputed.",
        "25.00 USD",
        "Spring fair",
        "Free credits",
    ]
    page = signed_in(owner).get("/credits/").text
    for reference in ("signup:", "code:", "payment:", "staff:"):
        assert reference not in page
        assert not any(reference in cell for line in csv_of(owner) for cell in line)


def test_a_line_of_a_payment_leads_to_its_receipt(owner):
    pack = CreditPack.objects.create(name="Some", credits=1000, price=2500)
    payment = payments.order(owner, pack, Payment.Processor.STRIPE)
    truth = payments.Truth(
        is_paid=True, amount=2500, currency="usd", receipt_url="https://pay.stripe.com/receipts/1"
    )
    payments.settle(payment, lambda _payment: truth)
    page = signed_in(owner).get("/credits/").text
    assert 'href="https://pay.stripe.com/receipts/1"' in page
    assert ">25.00 USD</a>" in page


def test_the_page_tells_what_running_videos_hold(owner):
    order(owner), order(owner)
    assert "20 credits are reserved for videos in progress." in signed_in(owner).get("/credits/").text


def test_the_page_asks_the_same_number_of_questions_however_long_the_statement(
    owner, django_assert_max_num_queries
):
    client = signed_in(owner)
    for number in range(60):
        credits.grant(owner, 1, reference=f"staff:{number}")
    with django_assert_max_num_queries(12):
        assert "Older" in client.get("/credits/").text


def test_pages_and_programs_are_shown_what_can_be_spent(owner):
    """Not what has expired, though nobody has swept it yet."""
    credits.grant(owner, 50, reference="gift:1", expires_at=timezone.now() + timedelta(days=1))
    program, page = Program(owner), signed_in(owner)
    assert "150 credits" in page.get("/").text
    with unguarded("accounts_lot"):
        owner.lots.update(expires_at=timezone.now())
    assert "100 credits" in page.get("/").text
    assert "50 credits expire" not in page.get("/credits/").text
    assert program.get("/v1/credits").json()["balance"] == 100
    quote = program.send("/v1/videos/quote", {"prompt": "A kite", "seconds": 4}).json()
    assert quote["balance"] == 100
    owner.refresh_from_db()
    assert owner.balance == 150
