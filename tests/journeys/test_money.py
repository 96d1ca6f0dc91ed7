"""Money in a real browser: a plan from its first month to its end, a dispute that is appealed, and what staff do about it."""

import csv
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from playwright.sync_api import expect

from tests.support.browser import balance, sign_in, staff_sign_in
from tests.support.fixtures import wait_until
from tests.support.installation import Site
from tests.support.stripe_server import KEY, SECRET, FakeStripe, sign


@pytest.fixture(scope="module")
def stripe():
    with FakeStripe() as fake:
        yield fake


@pytest.fixture(scope="module")
def site(tmp_path_factory, stripe):
    env = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_API_BASE": stripe.url}
    with Site(tmp_path_factory.mktemp("money"), **env) as site:
        code = "from accounts.models import Plan; Plan.objects.create(name='Maker', credits=500, price=900)"
        site.manage("shell", "--no-imports", "-c", code)
        yield site


def tell(site, stripe, kind, thing):
    body = stripe.event(kind, thing)
    headers = {"Stripe-Signature": sign(body), "Content-Type": "application/json"}
    answer = requests.post(f"{site.url}/webhooks/stripe/", data=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_plan_is_bought_renewed_disputed_and_canceled_and_staff_explain_and_refund(site, stripe, visit):
    page = sign_in(visit(), site)
    page.goto(f"{site.url}/credits/")
    with page.expect_event("requestfailed", lambda asked: "checkout.stripe.com" in asked.url):
        page.get_by_role("button", name="Subscribe for $9.00 a month").click(no_wait_after=True)
    [session] = stripe.sessions.values()
    made = stripe.billing.subscribe(SimpleNamespace(pk=session["client_reference_id"]))
    page = page.context.new_page()  # the first may still be busy showing that it could not reach Stripe
    page.goto(session["success_url"])
    expect(page.get_by_text("500 credits added")).to_be_visible()
    expect(page.get_by_text("Your plan: Maker")).to_be_visible()
    assert balance(page) == 600

    tell(site, stripe, "invoice.paid", stripe.billing.renew(made))
    page.reload()
    assert balance(page) == 1100

    # The bank takes the second month back, we lose, and appeal; only when that is won the credits are there again.
    payment = SimpleNamespace(session=None, intent=list(stripe.intents)[-1])
    dispute = stripe.dispute(payment)
    for status, kind in (("lost", "closed"), ("appeal_under_review", "updated")):
        dispute["status"] = status
        tell(site, stripe, f"charge.dispute.{kind}", dispute)
        page.reload()
        assert balance(page) == 600
    stripe.win(dispute)
    tell(site, stripe, "charge.dispute.closed", dispute)
    page.reload()
    assert balance(page) == 1100

    page.get_by_role("button", name="Cancel the plan").click()
    expect(page.get_by_text("Your plan is canceled. No further month will be charged.")).to_be_visible()
    assert made["cancel_at_period_end"]

    staff = staff_sign_in(site, visit, "boss", is_superuser=True)
    staff.goto(f"{site.url}/admin/accounts/user/?q=demo")
    staff.locator("tbody a[href*='/change/']").first.click()
    account = staff.locator(".staff-receipt").filter(has_text="Free credits")
    expect(account).to_contain_text("Purchased")
    expect(account).to_contain_text("1,100")

    staff.goto(f"{site.url}/admin/accounts/payment/")
    staff.locator("tbody a[href*='/change/']").last.click()
    staff.locator("a[href$='/pay_back/']").click()
    staff.get_by_label("Reason").fill("It was not what they expected")
    staff.get_by_role("button", name="Refund money", exact=True).click()
    expect(staff.get_by_text("Refunded. It may take")).to_be_visible()
    page.reload()
    assert balance(page) == 600
    assert [refund["amount"] for refund in stripe.refunds.values()] == [900]

    staff.goto(f"{site.url}/admin/money/")
    staff.fill("#month", f"{datetime.now(UTC):%Y-%m}")
    with staff.expect_download() as download:
        staff.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    found = {(row["section"], row["item"]): row for row in rows}
    net = sum(move["net"] for move in stripe.transactions.values())
    assert Decimal(found["stripe", "net"]["amount"]) == Decimal(net) / 100
    assert found["credits", "owed after"]["credits"] == "600"
    assert re.search("consistent", site.manage("check_ledger"))


def test_credits_that_run_low_are_bought_with_the_card_that_was_saved_once(site, stripe, visit):
    page = sign_in(visit(), site)
    page.goto(f"{site.url}/credits/")
    had = balance(page)
    page.get_by_role("link", name="Change what happens when credits run low").click()
    page.get_by_label("When I have fewer credits than").fill(str(had + 1))
    page.get_by_text("Buy a pack with my saved card").click()
    page.get_by_label("Pack", exact=True).select_option("1,000 credits for $20.00")
    page.get_by_label("Times a month, at most").fill("1")
    with page.expect_event("requestfailed", lambda asked: "checkout.stripe.com" in asked.url):
        page.get_by_role("button", name="Save").click(no_wait_after=True)
    session = stripe.cards.save(list(stripe.sessions.values())[-1])
    page = page.context.new_page()
    page.goto(session["success_url"])
    expect(page.get_by_text("Credits are bought with your saved card when they run low.")).to_be_visible()
    expect(page.get_by_text("1,000 are bought for $20.00 with Visa •••• 4242")).to_be_visible()

    def has_more():
        page.reload()
        return balance(page) == had + 1000

    wait_until(has_more)
    assert len(stripe.cards.drafts_and_open) == 0
    page.get_by_role("link", name="Change what happens when credits run low").click()
    page.get_by_text("Do nothing", exact=True).click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Nothing happens any more when your credits run low.")).to_be_visible()
    assert re.search("consistent", site.manage("check_ledger"))
